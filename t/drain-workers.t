# enable?wait= over reloads, deaths and quits: the worker that waits, and those that are waited for.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Upstream;
use Test::More;

my $locations = <<'END_OF_CONF';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /own/ { intermission on; proxy_pass http://own; }
location /own/short/ { set $intermission_max_time 0.2; intermission on; proxy_pass http://own; }
location = /pid { return 200 $pid; }
location /_intermission { intermission_control; }
END_OF_CONF

my ($t, $own);

sub instance {
    my (%conf) = @_;
    $conf{http} = 'upstream own { server unix:@DIR@/own.sock; }' . ($conf{http} // '');
    $t = Intermission->new(workers => 2, locations => $locations, server => 'listen 127.0.0.2:@PORT@ reuseport;', %conf);
    $own = Intermission::Upstream->new($t);
}

# A connection to each worker, kept alive, by its pid.
sub connections {
    my %to;
    my @workers = $t->workers;
    $t->wait_for(sub {
        my $client = $t->send('/pid', to => '127.0.0.2:' . $t->port, keepalive => 1);
        $to{$client->response->{body}} //= $client;
        return @workers == grep { $to{$_} } @workers;
    }, 'a connection to each worker');
    return map { $_ => $to{$_} } @workers;
}

# A request that the backend has, and does not answer; on a connection or on one of its own.
sub unfinished {
    my ($target, $client) = @_;
    $client = $client ? $client->request($target) : $t->send($target);
    $own->wait($target);
    return $client;
}

# A caller who waits, on a connection or on one of its own, once he is at work.
sub waiter {
    my ($verb, $client) = @_;
    $client = $client ? $client->request("/_intermission/$verb") : $t->send("/_intermission/$verb");
    $t->wait_state('paused');
    return $client;
}

sub said {
    my ($pattern) = @_;
    return scalar(() = $t->error_log =~ /$pattern/g);
}

sub old_worker {
    my ($number) = @_;
    return @{$t->wait_for(sub { my @old = $t->old_workers; @old == $number ? \@old : undef }, "$number old workers")};
}

sub reopen {
    $own->answer_all;
    $t->control('disable');
    $t->wait_state('open');
}

instance();

subtest 'a long request on an old worker keeps the caller waiting' => sub {
    my $client = unfinished('/own/old');
    $t->reload;
    $t->reload;
    is scalar(old_worker(1)), 1, 'an old worker stays for it';
    is $t->control('enable?wait=300ms')->{status}, 504, 'one who comes too late is told';
    $t->wait_state('open');
    my $caller = waiter('enable?wait=20s');
    is $t->status->{in_flight}, 1, 'it is in flight';
    ok !$caller->answered, 'another waits';
    $own->answer('/own/old');
    is $caller->response->{status}, 200, 'until it is finished';
    is $client->response->{status}, 200, 'as it would have been';
    $t->wait_old_workers_gone;
    reopen();
};

subtest 'a caller who waits on what has become an old worker is answered' => sub {
    for my $late (0, 1) {
        my $client = unfinished('/own/1');
        my $caller = waiter($late ? 'enable?wait=3s' : 'enable?wait=20s');
        $t->reload;
        is $t->status->{state}, 'paused', 'the pause lives through a reload';
        my $held = $t->send('/held');
        $t->wait_for(sub { $t->status->{held} || $held->answered }, 'a newcomer held');
        $own->answer('/own/1') if !$late;
        is $caller->response->{status}, $late ? 504 : 200, $late ? 'too late' : 'in time';
        if ($late) {
            is $held->response->{status}, 200, 'rolled back: who was held goes out';
            $own->answer('/own/1');
        }
        else {
            ok !$held->answered, 'who came is held on';
            is $t->control('disable')->{status}, 200, 'until the pause ends';
            is $held->response->{status}, 200, 'and goes out';
        }
        is $client->response->{status}, 200, 'and nobody was cut off';
        $t->wait_old_workers_gone;
        reopen();
    }
};

subtest 'a reload in which the app is first paused counts right' => sub {
    my @clients = map { unfinished("/own/$_") } 1 .. 3;
    $t->reload;
    push @clients, map { unfinished("/own/$_") } 4 .. 6;
    my $caller = waiter('enable?wait=20s');
    is $t->status->{in_flight}, 6, 'old and new workers say what they have';
    $own->answer("/own/$_") for 1 .. 5;
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one left');
    ok !$caller->answered, 'the last one is waited for';
    $own->answer('/own/6');
    is $caller->response->{status}, 200, 'and not longer';
    is $_->response->{status}, 200, 'all are answered' for @clients;
    $t->wait_old_workers_gone;
    reopen();
};

subtest 'a worker that is killed with requests in flight does not keep the caller waiting' => sub {
    my %to = connections();
    my ($victim, $other) = sort keys %to;
    my $cut = unfinished('/own/cut', $to{$victim});
    my $client = unfinished('/own/1', $to{$other});
    my $caller = waiter('enable?wait=20s', {connections()}->{$other});
    is $t->status->{in_flight}, 2, 'two are in flight';
    $t->kill_worker($victim);
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    ok !$caller->answered, 'the other is waited for';
    $own->answer('/own/1');
    is $caller->response->{status}, 200, 'what the dead one had is not';
    is $client->response->{status}, 200, "only the dead one's client is cut off";
    $cut->close;
    reopen();
};

subtest 'the worker that waits is killed: rolled back by the others' => sub {
    my %to = connections();
    my ($victim, $other) = sort keys %to;
    my ($rolled, $client) = (said(qr/rolled back/), unfinished('/own/1', $to{$other}));
    my $caller = waiter('enable?wait=60s', $to{$victim});
    $t->freeze($victim);    # so that the others hold those who come
    my @held = map { $t->send("/held/$_") } 1 .. 3;
    $t->wait_held(3);
    kill KILL => $victim;
    is scalar(grep { $_->response->{status} == 200 } @held), 3, 'those held go out';
    is $caller->response->{status}, 0, 'the caller sees that his connection is lost';
    $t->wait_for(sub { $t->workers == 2 }, 'another worker');
    is $t->status->{state}, 'open', 'the app is open';
    is said(qr/rolled back, pause/), $rolled + 1, 'the log says so, once';
    $own->answer('/own/1');
    is $client->response->{status}, 200, 'what was in flight is answered';
    reopen();
};

subtest 'an old worker that waits is killed, and nobody calls: rolled back all the same' => sub {
    my ($victim, $other) = ($t->workers)[0, 1];
    my %to = connections();
    my $client = unfinished('/own/1', $to{$other});
    my $caller = waiter('enable?wait=60s', $to{$victim});
    $t->reload;
    my @held = map { $t->send("/held/$_") } 1 .. 3;
    $t->wait_held(3);
    kill KILL => $victim;
    is scalar(grep { $_->response->{status} == 200 } @held), 3, 'those held go out, though no other worker is started';
    $own->answer('/own/1');
    is $client->response->{status}, 200, 'what was in flight is answered';
    $caller->close;
    $t->wait_old_workers_gone;
    reopen();
};

subtest 'worker_shutdown_timeout ends the wait of an old worker: rolled back' => sub {
    $t->reload(main => 'worker_shutdown_timeout 3s;');
    my ($rolled, $old) = (said(qr/rolled back/), unfinished('/own/1'));
    my $caller = waiter('enable?wait=60s');
    $t->reload;
    my $new = unfinished('/own/short/1');    # it expires, and is in flight where no timeout ends it
    my $held = $t->send('/held');
    $t->wait_held(1);
    is $caller->response->{status}, 504, 'the caller is answered before nginx closes the connection';
    is $held->response->{status}, 200, 'who was held goes out';
    is said(qr/rolled back/), $rolled + 1, 'as the log says';
    $own->answer('/own/short/1');
    is $new->response->{status}, 200, 'nobody else is cut off';
    $old->close;
    $t->wait_old_workers_gone;
    $t->reload(main => '');
    reopen();
};

subtest 'a worker that says nothing is not taken for one that has nothing' => sub {
    my %to = connections();
    my ($silent, $other) = sort keys %to;
    $t->freeze($silent);
    my $answer = $to{$other}->request('/_intermission/enable?wait=500ms', keepalive => 1)->response;
    is $answer->{status}, 504, 'the caller comes too late';
    like $answer->{body}, qr/^1 worker has not said what is in flight/, 'and is told why';
    $to{$other}->request('/_intermission/enable?wait=20s');
    kill CONT => $silent;
    is $to{$other}->response->{status}, 200, 'once it has spoken it is well';
    reopen();
};

subtest 'nginx quits while somebody waits: he is answered, and nginx does not hang' => sub {
    my $client = unfinished('/own/1');
    my $caller = waiter('enable?wait=60s');
    my $held = $t->send('/held');
    $t->wait_held(1);
    kill QUIT => $t->master;
    my $answer = $caller->response;
    is $answer->{status}, 504, 'at once: too late';
    like $answer->{body}, qr/^1 request is still in flight: rolled back/, 'with what is left';
    like $held->response->{status}, qr/^(?:200|503)$/, 'who was held is answered';
    ok !$client->answered, 'what is in flight goes on';
    $own->answer('/own/1');
    is $client->response->{status}, 200, 'and is answered';
    ok $t->end_nginx(seconds => 10), 'then nginx is gone';
};

subtest 'nginx quits while somebody waits with keep=1, or for a drain' => sub {
    $t->start_nginx;
    my $client = unfinished('/own/1');
    my $keeper = waiter('enable?wait=60s&keep=1');
    kill QUIT => $t->master;
    is $keeper->response->{status}, 504, 'keep=1: too late';
    $own->answer('/own/1');
    is $client->response->{status}, 200, 'what is in flight is answered';
    ok $t->end_nginx(seconds => 10), 'then nginx is gone';

    $t->start_nginx;
    $t->control('enable');
    my @held = map { $t->send("/held/$_") } 1 .. 20;
    $t->wait_held(20);
    my $drainer = $t->send('/_intermission/disable?wait=60s&spread=2s');
    $t->wait_state('draining');
    kill QUIT => $t->master;
    is $drainer->response->{status}, 200, 'a drain goes on, and who waits for it is answered';
    is scalar(grep { $_->response->{status} == 200 } @held), 20, 'as are those held';
    ok $t->end_nginx(seconds => 10), 'then nginx is gone';
    $t->start_nginx;
};

$t->clean_ok(killed_process => 1, allow => [qr/open socket #\d+ left/]);

subtest 'a pause that may yet be rolled back is not in the state file' => sub {
    instance(http => "\nintermission_state_file state;");
    my $kill_all = sub {
        $t->freeze($t->workers);    # all at once: nobody is to see another's death
        kill KILL => $t->master, $t->workers;
        $t->end_nginx;
        $own->answer_all;
        $t->start_nginx;
    };
    my $client = unfinished('/own/1');
    my $caller = waiter('enable?wait=60s&reason=maybe');
    $kill_all->();
    is $t->status->{state}, 'open', 'all is killed while somebody waits: open after the restart';
    unlike $t->error_log, qr/still paused/, 'and the log says nothing of a pause';

    $client = unfinished('/own/2');
    $t->control('enable?for=1h&reason=first');
    my $before = $t->status;
    $caller = $t->send('/_intermission/enable?wait=60s&for=3h&reason=maybe');
    $t->wait_for(sub { $t->status->{reason} eq 'maybe' }, 'a pause that may be changed');
    $kill_all->();
    is_deeply [@{$t->status}{qw(state reason until)}], [@$before{qw(state reason until)}], 'over an earlier pause: that one is';
    $t->control('disable');
    $t->wait_state('open');

    is $t->control('enable?wait=20s&reason=sure', timeout => 20)->{status}, 200, 'one that was answered';
    $kill_all->();
    is_deeply [@{$t->status}{qw(state reason)}], ['paused', 'sure'], 'is in the file';
    $t->control('disable');
    $t->wait_state('open');

    $client = unfinished('/own/3');
    is $t->control('enable?wait=200ms&keep=1&reason=kept')->{status}, 504, 'one that came too late with keep=1';
    $kill_all->();
    is_deeply [@{$t->status}{qw(state reason)}], ['paused', 'kept'], 'is, too';
    $t->control('disable');
    $t->wait_state('open');

    $client = unfinished('/own/4');
    is $t->control('enable?wait=200ms&reason=late')->{status}, 504, 'one that was rolled back';
    $kill_all->();
    is $t->status->{state}, 'open', 'is not';

    $client = unfinished('/own/5');
    $caller = waiter('enable?wait=60s&reason=mine');
    $t->control('enable?reason=his');
    $kill_all->();
    is_deeply [@{$t->status}{qw(state reason)}], ['paused', 'his'], "somebody else's, answered meanwhile, is";
    $t->control('disable');
    $t->wait_state('open');
    $t->clean_ok(killed_process => 1);
};

done_testing;
