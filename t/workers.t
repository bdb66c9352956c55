# Each worker gets an entry in the worker table in the end. No app is quiet while a worker has no entry.

use strict;
use warnings;
use lib 't/lib';
use IO::Select;
use Intermission;
use Test::More;

my $http = 'intermission_zone 128k;';

subtest 'the smallest zone has entries for ten workers and their reloads' => sub {
    my $t = Intermission->new(workers => 10, http => $http);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 200, '--expect', '503');
    $t->wait_held(200);
    $t->reload;
    my $more = $t->crowd('--count', 200, '--first', 200, '--expect', '503');
    $t->wait_held(400);
    unlike $t->error_log, qr/table is full/, 'the smallest zone has entries for ten workers and their reloads';
    is $t->status->{totals}{rejected}, 0, 'workers of the smallest zone reject no request';
    ok $t->stop(signal => 'QUIT', seconds => 10), 'nginx with the smallest zone quits';
    is $_->done->{statuses}{503}, 200, 'all requests of the smallest zone are answered with 503' for $crowd, $more;
};

subtest 'a worker without an entry keeps every app from being quiet' => sub {
    # The table was made for one worker.
    my $t = Intermission->new(workers => 1, http => $http);
    $t->reload(workers => 17);
    $t->wait_log(qr/worker table is full/);
    my $answer = $t->control('enable?wait=2s');
    is $answer->{status}, 504, 'no app is quiet while a worker has no entry';
    $t->reload(workers => 12);
    $t->wait_for(sub { $t->control('enable?wait=2s')->{status} == 200 }, 'the app to be quiet, when all workers have an entry', 20);
    my $crowd = $t->crowd('--count', 300);
    $t->wait_held(300);
    is $t->status->{totals}{rejected}, 0, 'workers that got their entry late hold';
    $t->control('disable');
    is $crowd->done->{statuses}{200}, 300, 'workers that got their entry late release';
    $t->clean_ok(allow => [qr/worker table is full/]);
};

subtest 'a worker that stands still without an entry is not forgotten' => sub {
    my $t = Intermission->new(workers => 1, http => $http);
    $t->control('enable');
    my $held = $t->send('/held');
    $t->wait_held(1);
    $t->reload(workers => 17);
    my @without;
    $t->wait_for(sub { 2 == (@without = $t->error_log =~ /\[error\] (\d+)#.*worker table is full/g) }, 'two workers without an entry');
    $t->freeze(@without);
    is $t->control('enable?wait=5s', timeout => 20)->{status}, 504, 'no app is quiet while a worker without an entry stands still';
    $t->reload(workers => 12);
    my $answer;
    # A new worker that has no entry yet answers enable?wait= with 503.
    $t->wait_for(sub { ($answer = $t->control('enable?wait=2s')->{status}) != 503 }, 'an answer of a worker that has an entry', 20);
    is $answer, 504, 'no app is quiet while a worker without an entry stands still, even an old worker';
    kill KILL => @without;
    $t->wait_for(sub { $t->control('enable?wait=2s')->{status} == 200 }, 'the app to be quiet, when the workers without an entry are dead', 20);
    pass 'the app is quiet when the worker without an entry is dead';
    $t->control('disable');
    is $held->response->{status}, 200, 'the held request is released when the worker without an entry is dead';
    $t->clean_ok(allow => [qr/worker table is full/], killed_process => 1);
};

subtest 'old workers give their entries to new ones' => sub {
    # Four generations of 64 workers. Old workers stay for their WebSockets, but give their entries to new workers.
    my $t = Intermission->new(
        workers => 64, http => $http, events => 'worker_connections 256;',
        locations => $Intermission::Conf::LOCATIONS . <<'END',
location /sockets/ { proxy_pass http://backend; proxy_http_version 1.1; add_header X-Pid $pid always;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
END
    );
    my (@sockets, @slow);
    my $caller = $t->send('/', raw => "GET /_intermission/enable?wait=5s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
    for my $generation (1 .. 4) {
        my @new = map { $t->send("/sockets/$_", keepalive => 1, headers => {Upgrade => 'echo', Connection => 'upgrade'}) } 1 .. 100;
        my %pids = map { $_->response->{headers}{'x-pid'} => 1 } @new;
        push @sockets, @new;
        # The rest of this request comes only when its old worker has no entry any more.
        my $head = "GET /slow/$generation HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
        push @slow, $t->send('/', raw => "GET /up HTTP/1.1\r\nHost: a\r\n\r\n$head");
        $slow[-1]->response;
        $slow[-1]{response} = undef;
        cmp_ok scalar(keys %pids), '>', 1, "generation $generation: some workers have WebSockets";
        $t->reload;
    }
    cmp_ok scalar($t->old_workers), '>', 4, 'generation by generation old workers linger';
    my $answer;
    $t->wait_for(sub { ($answer = $t->control('enable?wait=2s'))->{status} == 200 }, 'the app to be quiet, when every new worker has an entry', 20);
    is $answer->{status}, 200, 'an app is quiet: every new worker has an entry';
    $caller->write("\r\n");
    is $caller->response->{status}, 200, 'enable?wait= on an old worker without an entry is answered with 200';
    my $crowd = $t->crowd('--count', 300);
    $t->wait_held(300);
    $_->write("\r\n") for @slow;
    $t->wait_held(304);
    is $t->status->{totals}{rejected}, 0, 'new workers, and old workers that get a request again, reject nothing';
    $t->control('disable');
    is $crowd->done->{statuses}{200}, 300, 'all held requests of new workers are answered';
    is $_->response->{status}, 200, 'a held request of an old worker is answered' for @slow;
    is $t->position_inversions, 0, 'requests of new and old workers are released in order';
    for my $socket (@sockets[0, -1]) {
        $socket->write('ping');
        my $echo = '';
        sysread $socket->socket, $echo, 4 if IO::Select->new($socket->socket)->can_read(10);
        is $echo, 'ping', 'the WebSockets of old workers go on';
    }
    $_->close for @sockets;
    $t->wait_old_workers_gone;
    $t->clean_ok(allow => [qr/worker table is full/]);
};

done_testing;
