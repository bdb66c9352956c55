# While a released request is delayed, the requests behind it are still held: the operator's verbs work for them.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Dns;
use Test::More;
use Time::HiRes ();

# Starts an nginx that resolves two names. known.test is known already; the name server does not answer for dead.test.
sub start {
    my ($dns, %conf) = @_;
    my $probe = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 1) or die "no port: $!";
    my $port = $probe->sockport;
    close $probe;
    my $t = Intermission->new(
        backend => ['--listen', "127.0.0.1:$port"],
        http => 'map $uri $host_of_app { ~^/known/ known.test; default dead.test; }',
        %conf,
        locations => <<"CONF",
resolver 127.0.0.1:@{[$dns->port]} ipv6=off;
resolver_timeout @{[$conf{timeout} // '10s']};
set \$app_name basecamp;
location / { intermission on; proxy_pass http://\$host_of_app:$port; }
location /_intermission { intermission_control; }
CONF
    );
    $t->get('/known/warm');
    $dns->freeze;
    return $t;
}

# Holds 141 requests and resumes. The 41st is delayed on its way, so 100 stay held behind it. Returns the three crowds.
sub halted {
    my ($t) = @_;
    $t->control('enable');
    my @crowds = $t->crowd('--count', 40, '--path', '/known/{i}');
    $t->wait_held(40);
    push @crowds, $t->crowd('--count', 1, '--path', '/dead', '--expect', '200,502,503');
    $t->wait_held(41);
    push @crowds, $t->crowd('--count', 100, '--path', '/known/late/{i}', '--expect', '200,503');
    $t->wait_held(141);
    $t->control('disable');
    $t->wait_held(100);
    return @crowds;
}

subtest 'stop answers the requests behind a delayed one' => sub {
    my $dns = Intermission::Dns->new;
    my $t = start($dns, workers => 1);
    my ($first, $delayed, $behind) = halted($t);
    my $start = Time::HiRes::time();
    $t->control('stop');
    is $behind->done->{statuses}{503}, 100, 'stop while a released request is delayed: the requests behind it are answered with 503';
    cmp_ok Time::HiRes::time() - $start, '<', 2, 'stop while a released request is delayed: the requests behind it are answered soon';
    $dns->thaw;
    is $delayed->done->{statuses}{200}, 1, 'stop while a released request is delayed: the released request is answered';
    is $t->status->{totals}{stopped}, 100, 'stop while a released request is delayed: the requests behind it count as stopped';
    is_deeply [grep { $_->{target} =~ /late/ } $t->backend_log], [], 'stop while a released request is delayed: the app gets none of the requests behind it';
    $t->control('disable');
    $t->clean_ok(allow => [qr{DNS response}]);
};

subtest 'enable holds the requests behind a delayed one' => sub {
    my $dns = Intermission::Dns->new;
    my $t = start($dns, workers => 1);
    my ($first, $delayed, $behind) = halted($t);
    $t->control('enable');
    $dns->thaw;
    is $delayed->done->{statuses}{200}, 1, 'enable while a released request is delayed: the released request is answered';
    is $t->control('enable?wait=5s')->{status}, 200, 'enable while a released request is delayed: then nothing is in flight';
    Time::HiRes::sleep(0.3);
    my $status = $t->status;
    is "$status->{state} $status->{held}", 'paused 100', 'enable while a released request is delayed: the requests behind it stay held';
    is_deeply [grep { $_->{target} =~ /late/ } $t->backend_log], [], 'enable while a released request is delayed: the app gets none of the requests behind it';
    $t->control('disable');
    is $behind->done->{statuses}{200}, 100, 'enable while a released request is delayed: the requests behind it are answered when the pause ends';
    is $t->ticket_inversions, 0, 'enable while a released request is delayed: the app gets them in order';
    $t->clean_ok(allow => [qr{DNS response}]);
};

subtest 'disable?wait= waits for a delayed request' => sub {
    my $dns = Intermission::Dns->new;
    my $t = start($dns, workers => 1);
    $t->control('enable');
    my $held = $t->send('/dead');
    $t->wait_held(1);
    my $answer = $t->control('disable?wait=300ms');
    is $answer->{status}, 504, 'the last released request is delayed: disable?wait= is answered with 504';
    like $answer->{body}, qr/^no request is held any more, but the last one is delayed on its way to the app$/m, 'the last released request is delayed: the answer says so';
    is $t->status->{held}, 0, 'the last released request is delayed: the status counts no held request';
    $dns->thaw;
    is $held->response->{status}, 200, 'the last released request is answered';
    $t->wait_state('open');
    $t->clean_ok;
};

done_testing;
