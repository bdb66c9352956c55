# enable?wait= is answered when the requests at the app are finished, and which requests these are.

use strict;
use warnings;
use lib 't/lib';
use Intermission::Quiet;
use Intermission::Http2;
use IO::Select;
use JSON::PP;
use Test::More;
use Time::HiRes 'time';

instance();

subtest 'enable?wait= is answered when the last request of any worker is finished' => sub {
    my %to = connections();
    my $number = 0;
    for my $client (values %to) {
        $client->request('/own/' . ++$number);
        $own->wait("/own/$number");
    }
    my $caller = $t->send('/_intermission/enable?wait=20s&reason=drain');
    $t->wait_state('paused');
    is $t->status->{in_flight}, 4, 'the status counts what four workers have passed on';
    my $newcomer = $t->send('/new');
    $t->wait_held(1);
    $own->answer("/own/$_") for 1 .. 3;
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    ok !$caller->answered, 'the caller waits while one of four requests is unfinished';
    $own->answer('/own/4');
    my $answer = $caller->response;
    is $answer->{status}, 200, 'all four requests are finished: the caller is answered with 200';
    like $answer->{body}, qr{^Pause enabled\.\n}, 'all four requests are finished: the answer is Pause enabled';
    ok !$newcomer->answered, 'a request that comes meanwhile is held';
    is $t->status->{in_flight}, 0, 'all four requests are finished: nothing is in flight';
    is $_->response->{status}, 200, 'the requests in flight are answered' for values %to;
    ok $t->wait_log(qr/\[notice\].*app "basecamp": nothing is in flight, pause \d+/), 'the log says that nothing is in flight';
    reopen();
    is $newcomer->response->{status}, 200, 'the new request is answered when the pause ends';
};

subtest 'enable?wait= with nothing in flight is answered at once' => sub {
    my $start = time;
    is $t->control('enable?wait=60s', timeout => 20)->{status}, 200, 'nothing in flight: enable?wait= is answered with 200';
    cmp_ok time - $start, '<', 10, 'nothing in flight: enable?wait= does not wait for its time to pass';
    my $json = $t->control('enable?wait=60s&format=json', timeout => 20);
    is eval { decode_json($json->{body})->{state} }, 'paused', 'nothing in flight: enable?wait= in a pause is answered as JSON';
    reopen();
};

subtest 'a client that downloads slowly does not count' => sub {
    my $client = unfinished('/own/downloads/large');
    my $caller = waiter('enable?wait=20s');
    ok !$caller->answered, 'a slow download counts as long as the app has not answered';
    $own->answer('/own/downloads/large', 2_000_000);
    is $caller->response->{status}, 200, 'a slow download does not count once nginx has the answer';
    ok !$client->answered, 'the slow client has not got the answer yet';
    $client->close;
    reopen();
};

subtest 'without an upstream a request counts until it is finished' => sub {
    my $directory = $t->dir . '/files';
    mkdir $directory;
    Intermission::write_file("$directory/$_", 'x' x 100_000) for 'one', 'two';
    my @clients = map { $t->send($_) } '/files/one', '/files/two', '/echo/';
    $t->wait_for(sub { $_->answered; length $_->{input} }, 'each download to have begun') for @clients;
    my $caller = waiter('enable?wait=20s');
    is $t->status->{in_flight}, 3, 'two files and an echo without an upstream: three in flight';
    $clients[0]->close;
    $t->wait_for(sub { $t->status->{in_flight} == 2 }, 'two requests in flight');
    $clients[2]->close;
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    ok !$caller->answered, 'one request without an upstream goes on: the caller waits';
    $clients[1]->close;
    is $caller->response->{status}, 200, 'all requests without an upstream are over: the caller is answered with 200';
    reopen();
};

subtest 'a client that is gone counts as long as the app works for it' => sub {
    my $gone = unfinished('/own/gone');
    my $stubborn = unfinished('/own/stubborn/1');
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    my $stream = $http2->request('/own/stream');
    $own->wait('/own/stream');
    my $caller = waiter('enable?wait=20s');
    is $t->status->{in_flight}, 3, 'three requests are in flight, one of them over HTTP/2';
    $_->close for $gone, $stubborn;
    $http2->reset($stream);
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    ok !$caller->answered, 'proxy_ignore_client_abort: the caller waits for a request whose client is gone';
    $own->answer('/own/stubborn/1');
    is $caller->response->{status}, 200, 'proxy_ignore_client_abort: the caller is answered when the app is done';
    $http2->close;
    reopen();
};

subtest 'a client that uploads slowly does not count once the app has answered' => sub {
    my $client = $t->send('/own/streamed/1', method => 'POST', headers => {'Content-Length' => 100_000});
    $client->write('x' x 1000);
    $own->wait('/own/streamed/1');
    my $caller = waiter('enable?wait=20s');
    $own->answer('/own/streamed/1');
    is $caller->response->{status}, 200, 'the app has answered a slow upload: the caller is answered with 200';
    is $client->response->{status}, 200, 'the slow upload is answered';
    $client->close;
    reopen();
};

subtest 'released requests are in flight' => sub {
    $t->control('enable');
    my @clients = map { $t->send("/own/$_") } 1 .. 3;
    $t->wait_held(3);
    $t->control('disable');
    $own->wait(map { "/own/$_" } 1 .. 3);
    $t->wait_state('open');
    too_late($t->control('enable?wait=300ms'), 3, 'enable?wait= after a drain: too late for three released requests');
    my $caller = waiter('enable?wait=20s');
    $own->answer("/own/$_") for 1 .. 3;
    is $caller->response->{status}, 200, 'the released requests are finished: the caller is answered with 200';
    is $_->response->{status}, 200, 'the released requests are answered' for @clients;
    reopen();
};

subtest 'pauses under load: no request is cut off or answered with an error' => sub {
    my $start = $t->backend_log;
    my $load = $t->crowd('--count', 1500, '--rate', 700, '--path', '/load/{i}?delay=40');
    my %answers;
    until ($t->backend_log >= $start + 1300) {
        $answers{$t->control('enable?wait=' . (5 + int rand 80) . 'ms')->{status}}++;
        $t->control('disable') if $t->status->{state} eq 'paused';
    }
    reopen();
    note "answers: @{[%answers]}";
    my $done = $load->done;
    is_deeply [@$done{qw(answered failed timed_out)}], [1500, 0, 0], 'pauses under load: 1500 requests are answered, none fails';
    is $done->{statuses}{200}, 1500, 'pauses under load: the app answers all requests';
    is_deeply [grep { !/^(?:200|504)$/ } keys %answers], [], 'pauses under load: the callers are answered with 200 or 504';
    $t->wait_for(sub { $t->status->{in_flight} == 0 }, 'no request in flight');
    pass 'pauses under load: in the end nothing is in flight';
};

subtest 'a WebSocket does not count, and is reported' => sub {
    my @sockets = map { $t->send("/sockets/$_", keepalive => 1, headers => {Upgrade => 'echo', Connection => 'upgrade'}) } 1 .. 3;
    is $_->response->{status}, 101, 'three WebSockets are upgraded' for @sockets;
    is $t->control('enable?wait=20s', timeout => 20)->{status}, 200, 'open WebSockets do not keep enable?wait= waiting';
    is_deeply [@{$t->status}{qw(in_flight upgraded)}], [0, 3], 'the status counts open WebSockets apart from what is in flight';
    $sockets[0]->write('ping');
    my $echo = '';
    sysread $sockets[0]->socket, $echo, 4 if IO::Select->new($sockets[0]->socket)->can_read(10);
    is $echo, 'ping', 'an open WebSocket goes on in the pause';
    $_->close for @sockets;
    ok $t->wait_for(sub { $t->status->{upgraded} == 0 }, 'no upgraded connection'), 'closed WebSockets are not counted any more';
    reopen();
};

subtest 'requests that bypassed the pause, or where intermission is off, do not count' => sub {
    $t->control('enable');
    my @clients = (
        unfinished('/own/health'), unfinished('/own/agent', headers => {'User-Agent' => 'Pingdom'}), unfinished('/own/off/1'));
    is $t->control('enable?wait=20s', timeout => 20)->{status}, 200, 'enable?wait= does not wait for requests that bypassed the pause';
    is $own->waiting, 3, 'the requests that bypassed the pause are with the app';
    is $t->status->{in_flight}, 0, 'the requests that bypassed the pause are not in flight';
    reopen();
    is $_->response->{status}, 200, 'the requests that bypassed the pause are answered' for @clients;
};

subtest 'an expired request that is passed on is in flight' => sub {
    $t->reload(locations => $locations . 'location /own/short/ { set $intermission_max_time 0.2; intermission on; proxy_pass http://own; }');
    $t->control('enable');
    my $client = unfinished('/own/short/1');
    too_late($t->control('enable?wait=300ms'), 1, 'enable?wait= is too late for an expired request');
    reopen();
    is $client->response->{status}, 200, 'the expired request is answered';
};

subtest 'a request counts as long as its mirror is unfinished' => sub {
    my $client = $t->send('/own/copied/1');
    $own->wait('/own/copy');
    is $client->response->{status}, 200, 'the request with a mirror is answered';
    too_late($t->control('enable?wait=300ms'), 1, 'enable?wait= is too late for the mirror of a request');
    reopen();
    is $t->control('enable?wait=10s')->{status}, 200, 'the mirror is finished: enable?wait= is answered with 200';
    reopen();
};

subtest 'an app that was never paused: its requests are counted' => sub {
    my @clients = map { unfinished("/own/fresh/$_") } 1 .. 3;
    my $other = unfinished('/own/other');
    too_late($t->control('enable?wait=300ms', at => '/fresh'), 3, 'the first enable?wait= of an app counts what is in flight');
    my $caller = $t->send('/fresh/enable?wait=20s');
    $t->wait_state('paused', at => '/fresh');
    $own->answer("/own/fresh/$_") for 1 .. 3;
    is $caller->response->{status}, 200, "the first enable?wait= of an app waits for that app's requests only";
    is $_->response->{status}, 200, 'the requests of the fresh app are answered' for @clients;
    $t->control('disable', at => '/fresh');
    reopen();
    is $other->response->{status}, 200, "the other app's request is answered";
};

$t->clean_ok(at => ['/_intermission', '/fresh']);
done_testing;
