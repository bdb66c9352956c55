# enable?wait= over reloads, deaths and quits: of the worker whose caller waits, and of workers with requests in flight.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Quiet qw($t $own instance connections said);
use Test::More;

my $locations = <<'END_OF_CONF';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /own/ { intermission on; proxy_pass http://own; }
location /own/short/ { set $intermission_max_time 0.2; intermission on; proxy_pass http://own; }
location = /pid { return 200 $pid; }
location /_intermission { intermission_control; }
END_OF_CONF

sub start {
    my (%conf) = @_;
    $conf{http} = 'upstream own { server unix:@DIR@/own.sock; }' . ($conf{http} // '');
    instance(workers => 2, http2 => 0, locations => $locations, %conf);
}

# A request that the app has and does not answer; on this connection, or on a new one.
sub unfinished {
    my ($target, $client) = @_;
    $client = $client ? $client->request($target) : $t->send($target);
    $own->wait($target);
    return $client;
}

# A caller that waits, on this connection, or on a new one. Returns when the app is paused.
sub waiter {
    my ($verb, $client) = @_;
    $client = $client ? $client->request("/_intermission/$verb") : $t->send("/_intermission/$verb");
    $t->wait_state('paused');
    return $client;
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

start();

subtest 'a long request on an old worker keeps the caller waiting' => sub {
    my $client = unfinished('/own/old');
    $t->reload;
    $t->reload;
    is scalar(old_worker(1)), 1, 'an old worker stays for its unfinished request';
    is $t->control('enable?wait=300ms')->{status}, 504, 'enable?wait= while an old worker has a request: 504 in time';
    $t->wait_state('open');
    my $caller = waiter('enable?wait=20s');
    is $t->status->{in_flight}, 1, "the old worker's request is in flight";
    ok !$caller->answered, 'the caller waits while the old worker has a request';
    $own->answer('/own/old');
    is $caller->response->{status}, 200, "the old worker's request is finished: the caller is answered with 200";
    is $client->response->{status}, 200, "the old worker's request is answered";
    $t->wait_old_workers_gone;
    reopen();
};

subtest 'a caller that waits on a worker that has become an old one is answered' => sub {
    for my $late (0, 1) {
        my $client = unfinished('/own/1');
        my $caller = waiter($late ? 'enable?wait=3s' : 'enable?wait=20s');
        $t->reload;
        is $t->status->{state}, 'paused', 'a reload keeps a pause that waits';
        my $held = $t->send('/held');
        $t->wait_for(sub { $t->status->{held} || $held->answered }, 'the new request to be held');
        $own->answer('/own/1') if !$late;
        is $caller->response->{status}, $late ? 504 : 200, $late ? 'the caller on an old worker comes too late: 504' : 'the caller on an old worker is answered: 200';
        if ($late) {
            is $held->response->{status}, 200, 'too late on an old worker: the held request goes out';
            $own->answer('/own/1');
        }
        else {
            ok !$held->answered, 'in time on an old worker: the request that came meanwhile stays held';
            is $t->control('disable')->{status}, 200, 'in time on an old worker: the pause can be ended';
            is $held->response->{status}, 200, 'in time on an old worker: the held request goes out when the pause ends';
        }
        is $client->response->{status}, 200, 'the request of the old worker is not cut off';
        $t->wait_old_workers_gone;
        reopen();
    }
};

subtest 'the first pause of an app, after a reload, counts requests of old workers too' => sub {
    my @clients = map { unfinished("/own/$_") } 1 .. 3;
    $t->reload;
    push @clients, map { unfinished("/own/$_") } 4 .. 6;
    my $caller = waiter('enable?wait=20s');
    is $t->status->{in_flight}, 6, 'old and new workers count what they have in flight';
    $own->answer("/own/$_") for 1 .. 5;
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    ok !$caller->answered, 'the caller waits for the last of six requests';
    $own->answer('/own/6');
    is $caller->response->{status}, 200, 'the caller is answered after the last of six requests';
    is $_->response->{status}, 200, 'all six requests are answered' for @clients;
    $t->wait_old_workers_gone;
    reopen();
};

subtest 'a worker that is killed with requests in flight does not keep the caller waiting' => sub {
    my %to = connections();
    my ($victim, $other) = sort keys %to;
    my $cut = unfinished('/own/cut', $to{$victim});
    my $client = unfinished('/own/1', $to{$other});
    my $caller = waiter('enable?wait=20s', {connections()}->{$other});
    is $t->status->{in_flight}, 2, 'two workers have a request in flight each';
    $t->kill_worker($victim);
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    ok !$caller->answered, "one worker is killed: the caller waits for the other's request";
    $own->answer('/own/1');
    is $caller->response->{status}, 200, 'one worker is killed: the caller does not wait for its request';
    is $client->response->{status}, 200, "one worker is killed: the other's client is answered";
    $cut->close;
    reopen();
};

subtest 'the worker that waits is killed: rolled back by the others' => sub {
    my %to = connections();
    my ($victim, $other) = sort keys %to;
    my ($rolled, $client) = (said(qr/rolled back/), unfinished('/own/1', $to{$other}));
    my $caller = waiter('enable?wait=60s', $to{$victim});
    $t->freeze($victim);    # so that the other workers hold the new requests
    my @held = map { $t->send("/held/$_") } 1 .. 3;
    $t->wait_held(3);
    kill KILL => $victim;
    is scalar(grep { $_->response->{status} == 200 } @held), 3, "the caller's worker is killed: held requests go out";
    is $caller->response->{status}, 0, "the caller's worker is killed: the caller's connection is closed";
    $t->wait_for(sub { $t->workers == 2 }, 'another worker to be up');
    is $t->status->{state}, 'open', "the caller's worker is killed: the app is open";
    is said(qr/rolled back, pause/), $rolled + 1, "the caller's worker is killed: the log says rolled back once";
    $own->answer('/own/1');
    is $client->response->{status}, 200, "the caller's worker is killed: the request in flight is answered";
    reopen();
};

subtest 'an old worker that waits is killed, and there is no other call: rolled back all the same' => sub {
    my ($victim, $other) = ($t->workers)[0, 1];
    my %to = connections();
    my $client = unfinished('/own/1', $to{$other});
    my $caller = waiter('enable?wait=60s', $to{$victim});
    $t->reload;
    my @held = map { $t->send("/held/$_") } 1 .. 3;
    $t->wait_held(3);
    kill KILL => $victim;
    is scalar(grep { $_->response->{status} == 200 } @held), 3, "the caller's old worker is killed: held requests go out though no worker is started";
    $own->answer('/own/1');
    is $client->response->{status}, 200, "the caller's old worker is killed: the request in flight is answered";
    $caller->close;
    $t->wait_old_workers_gone;
    reopen();
};

subtest 'worker_shutdown_timeout ends the wait of an old worker: rolled back' => sub {
    $t->reload(main => 'worker_shutdown_timeout 3s;');
    my ($rolled, $old) = (said(qr/rolled back/), unfinished('/own/1'));
    my $caller = waiter('enable?wait=60s');
    $t->reload;
    my $new = unfinished('/own/short/1');    # it expires, and is then in flight on a new worker
    my $held = $t->send('/held');
    $t->wait_held(1);
    is $caller->response->{status}, 504, 'worker_shutdown_timeout: the caller is answered before nginx closes the connection';
    is $held->response->{status}, 200, 'worker_shutdown_timeout: the held request goes out';
    is said(qr/rolled back/), $rolled + 1, 'worker_shutdown_timeout: the log says rolled back';
    $own->answer('/own/short/1');
    is $new->response->{status}, 200, "worker_shutdown_timeout: a new worker's client is not cut off";
    $old->close;
    $t->wait_old_workers_gone;
    $t->reload(main => '');
    reopen();
};

subtest 'a worker that does not report does not count as one without requests' => sub {
    my %to = connections();
    my ($silent, $other) = sort keys %to;
    $t->freeze($silent);
    my $answer = $to{$other}->request('/_intermission/enable?wait=500ms', keepalive => 1)->response;
    is $answer->{status}, 504, 'a worker stands still: the caller is answered with 504';
    like $answer->{body}, qr/^1 worker has not reported its requests in flight yet/, 'a worker stands still: the answer says that it has not reported';
    $to{$other}->request('/_intermission/enable?wait=20s');
    kill CONT => $silent;
    is $to{$other}->response->{status}, 200, 'the worker goes on: a caller is answered with 200';
    reopen();
};

subtest 'nginx quits while a caller waits: the caller is answered, and nginx ends' => sub {
    my $client = unfinished('/own/1');
    my $caller = waiter('enable?wait=60s');
    my $held = $t->send('/held');
    $t->wait_held(1);
    kill QUIT => $t->master;
    my $answer = $caller->response;
    is $answer->{status}, 504, 'nginx quits: the waiting caller is answered with 504 at once';
    like $answer->{body}, qr/^1 request is still in flight: this call was rolled back/, 'nginx quits: the answer tells how many requests are in flight';
    like $held->response->{status}, qr/^(?:200|503)$/, 'nginx quits: the held request is answered';
    ok !$client->answered, 'nginx quits: the request in flight goes on';
    $own->answer('/own/1');
    is $client->response->{status}, 200, 'nginx quits: the request in flight is answered';
    ok $t->end_nginx(seconds => 10), 'nginx quits: nginx ends after its last request';
};

subtest 'nginx quits while a caller waits with keep=1, or for a drain' => sub {
    $t->start_nginx;
    my $client = unfinished('/own/1');
    my $keeper = waiter('enable?wait=60s&keep=1');
    kill QUIT => $t->master;
    is $keeper->response->{status}, 504, 'nginx quits: a caller with keep=1 is answered with 504';
    $own->answer('/own/1');
    is $client->response->{status}, 200, 'nginx quits with keep=1: the request in flight is answered';
    ok $t->end_nginx(seconds => 10), 'nginx quits with keep=1: nginx ends';

    $t->start_nginx;
    $t->control('enable');
    my @held = map { $t->send("/held/$_") } 1 .. 20;
    $t->wait_held(20);
    my $drainer = $t->send('/_intermission/disable?wait=60s&spread=2s');
    $t->wait_state('draining');
    kill QUIT => $t->master;
    is $drainer->response->{status}, 200, 'nginx quits in a drain: the drain goes on, and its caller is answered with 200';
    is scalar(grep { $_->response->{status} == 200 } @held), 20, 'nginx quits in a drain: all held requests are answered';
    ok $t->end_nginx(seconds => 10), 'nginx quits in a drain: nginx ends';
    $t->start_nginx;
};

$t->clean_ok(killed_process => 1, allow => [qr/open socket #\d+ left/]);

subtest 'a pause that may still be rolled back is not in the state file' => sub {
    start(http => "\nintermission_state_file state;");
    my $kill_all = sub {
        $t->freeze($t->workers);    # so that no worker notices the death of another
        kill KILL => $t->master, $t->workers;
        $t->end_nginx;
        $own->answer_all;
        $t->start_nginx;
    };
    my $client = unfinished('/own/1');
    my $caller = waiter('enable?wait=60s&reason=maybe');
    $kill_all->();
    is $t->status->{state}, 'open', 'nginx is killed while a caller waits: open after the restart';
    unlike $t->error_log, qr/still paused/, 'nginx is killed while a caller waits: the log tells of no restored pause';

    $client = unfinished('/own/2');
    $t->control('enable?for=1h&reason=first');
    my $before = $t->status;
    $caller = $t->send('/_intermission/enable?wait=60s&for=3h&reason=maybe');
    $t->wait_for(sub { $t->status->{reason} eq 'maybe' }, 'the reason of enable?wait= in the status');
    $kill_all->();
    is_deeply [@{$t->status}{qw(state reason until)}], [@$before{qw(state reason until)}], 'nginx is killed while a caller waits in an earlier pause: that pause is restored';
    $t->control('disable');
    $t->wait_state('open');

    is $t->control('enable?wait=20s&reason=sure', timeout => 20)->{status}, 200, 'enable?wait= is answered with 200 before nginx is killed';
    $kill_all->();
    is_deeply [@{$t->status}{qw(state reason)}], ['paused', 'sure'], 'an enable?wait= that was answered with 200 is in the state file';
    $t->control('disable');
    $t->wait_state('open');

    $client = unfinished('/own/3');
    is $t->control('enable?wait=200ms&keep=1&reason=kept')->{status}, 504, 'enable?wait= with keep=1 comes too late before nginx is killed';
    $kill_all->();
    is_deeply [@{$t->status}{qw(state reason)}], ['paused', 'kept'], 'a pause kept by keep=1 is in the state file';
    $t->control('disable');
    $t->wait_state('open');

    $client = unfinished('/own/4');
    is $t->control('enable?wait=200ms&reason=late')->{status}, 504, 'enable?wait= is rolled back before nginx is killed';
    $kill_all->();
    is $t->status->{state}, 'open', 'a pause that was rolled back is not in the state file';

    $client = unfinished('/own/5');
    $caller = waiter('enable?wait=60s&reason=mine');
    $t->control('enable?reason=his');
    $kill_all->();
    is_deeply [@{$t->status}{qw(state reason)}], ['paused', 'his'], "the pause of another caller, answered meanwhile, is in the state file";
    $t->control('disable');
    $t->wait_state('open');
    $t->clean_ok(killed_process => 1);
};

done_testing;
