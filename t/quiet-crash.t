# A worker that holds the lock dies while an enable?wait= begins, is answered or is rolled back: an answered
# pause stays, a pause that was not answered is rolled back, and no caller waits for ever.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Upstream;
use Test::More;

my $faulty = $ENV{TEST_NGINX_FAULTY} // Intermission::root() . '/target/faults/ngx_http_intermission_module.so';
plan skip_all => 'no module with faults: scripts/test builds it' if !-e $faulty;

my $t = Intermission->new(
    workers => 3, module => $faulty,
    http => 'upstream own { server unix:@DIR@/own.sock; }',
    locations => <<'END_OF_CONF',
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /own/ { intermission on; proxy_pass http://own; }
location /_intermission { intermission_control; }
END_OF_CONF
);
chmod 0777, $t->dir;
my $own = Intermission::Upstream->new($t);

sub arm { Intermission::write_file($t->dir . '/fault', $_[0]) }

# Calls a verb, and calls again if its worker dies.
sub surely {
    my ($verb) = @_;
    return $t->wait_for(sub { $t->control($verb)->{status} =~ /^(?:200|304)$/ }, $verb);
}

sub app_state { return eval { $t->status->{state} } // '' }

# A caller that waits. A worker that was told to die in an earlier round may die now: then the call is
# repeated, and so is the request in flight.
sub waiting {
    my ($verb, $client) = @_;
    my $caller = $t->send("/_intermission/$verb");
    $t->wait_for(sub {
        if ($$client->answered) {
            $own->answer_all;
            $$client = $t->send('/own/1');
        }
        $caller = $t->send("/_intermission/$verb") if $caller->answered;
        return app_state() eq 'paused' && !$caller->answered;
    }, 'the caller to wait in a paused app', 20);
    return $caller;
}

my %moment = (
    begins => sub { my ($step) = @_; arm($step); $t->send('/_intermission/enable?wait=150ms') },
    'is rolled back' => sub {
        my ($step, $client) = @_;
        my $caller = waiting('enable?wait=400ms', $client);
        arm($step);
        return $caller;
    },
    'is answered' => sub {
        my ($step, $client) = @_;
        my $caller = waiting('enable?wait=20s', $client);
        arm($step);
        $own->answer_all;
        return $caller;
    },
);

for my $moment (sort keys %moment) {
    subtest "a worker dies while enable?wait= $moment" => sub {
        my ($wrong, $deaths) = (0, 0);
        for my $step (0 .. 24) {
            my $before = () = $t->error_log =~ /exited on signal 9/g;
            my $client = $t->send('/own/1');
            $t->wait_for(sub {
                $client = $t->send('/own/1') if $client->answered;
                return $own->waiting;
            }, 'a request at the app');
            my $caller = $moment{$moment}($step, \$client);
            my $held = $t->send('/held');
            my $answer = $caller->response(15);
            # After a 200 the pause must be there, after a 504 it must be gone.
            my %state = (200 => qr/^paused$/, 504 => qr/^(?:open|draining)$/, 0 => qr/./);
            my $state = $t->wait_for(sub { app_state() }, 'the status to be answered');
            my $is_wrong = ($answer->{error} // '') eq 'timeout' || $state !~ ($state{$answer->{status}} // qr/^$/);
            $wrong++, diag "step $step: $answer->{status} ", $answer->{error} // '', ", then $state" if $is_wrong;
            surely('disable');
            my $end = $held->response(15);
            # The worker that held the request may be the one that died.
            $wrong++, diag "step $step: held: $end->{status} ", $end->{error} // ''
                if $end->{status} != 200 && ($end->{error} // 'timeout') eq 'timeout';
            $own->answer_all;
            my $last = $client->response(15);
            $wrong++, diag 'in flight: ', $last->{error} // $last->{status}
                if $last->{status} != 200 && ($last->{error} // 'timeout') eq 'timeout';
            unlink $t->dir . '/fault';
            $t->wait_for(sub { $t->workers == 3 }, 'three workers to be up');
            $t->wait_for(sub { app_state() eq 'open' }, 'the app to be open');
            $t->wait_for(sub { (eval { $t->status->{in_flight} } // 1) == 0 }, 'no request in flight');
            $deaths++ if $before < (() = $t->error_log =~ /exited on signal 9/g);
        }
        is $wrong, 0, "enable?wait= $moment: the state is what the caller was answered, and no caller or client waits for ever";
        cmp_ok $deaths, '>', 8, "enable?wait= $moment: in more than eight rounds a worker died ($deaths)";
    };
}

$t->clean_ok(killed_process => 1);
done_testing;
