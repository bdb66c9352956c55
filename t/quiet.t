# enable?wait=: whoever pauses is answered when what the app has already is finished; else nothing
# has happened.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Http2;
use Intermission::Upstream;
use IO::Select;
use JSON::PP;
use Test::More;
use Time::HiRes 'time';

my $locations = <<'END_OF_CONF';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /own/ { set $intermission_health_check_path /own/health; set $intermission_privileged_user_agent Pingdom;
    intermission on; proxy_pass http://own; }
location /own/downloads/ { limit_rate 20k; intermission on; proxy_pass http://own; }
location /own/off/ { intermission off; proxy_pass http://own; }
location /own/fresh/ { set $app_name fresh; intermission on; proxy_pass http://own; }
location /files/ { root @DIR@; limit_rate 2k; intermission on; }
location /echo/ { intermission on; try_files /none @echo; }
location @echo { limit_rate 10; return 200 "ECHO"; }
location /own/copied/ { mirror /copy; intermission on; proxy_pass http://backend; }
location /copy { internal; proxy_pass http://own/own/copy; }
location /own/stubborn/ { proxy_ignore_client_abort on; intermission on; proxy_pass http://own; }
location /own/streamed/ { proxy_request_buffering off; proxy_http_version 1.1; intermission on; proxy_pass http://own; }
location /sockets/ { intermission on; proxy_pass http://backend; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
location = /pid { return 200 $pid; }
location /_intermission { intermission_control; }
location /leased { intermission_control; intermission_lease 5s; }
location /fresh { set $app_name fresh; intermission_control; }
END_OF_CONF

$locations =~ s/ECHO/'echo ' x 200/e;

sub instance {
    my (%conf) = @_;
    my $t = Intermission->new(
        workers => 4, http2 => 1, locations => $locations,
        http => 'upstream own { server unix:@DIR@/own.sock; }',
        server => 'listen 127.0.0.2:@PORT@ reuseport;', %conf,
    );
    return ($t, Intermission::Upstream->new($t));
}

my ($t, $own) = instance();

# A connection to each worker, kept alive.
sub connections {
    my %to;
    my @workers = $t->workers;
    $t->wait_for(sub {
        my $client = $t->send('/pid', to => '127.0.0.2:' . $t->port, keepalive => 1);
        $to{$client->response->{body}} //= $client;
        return @workers == keys %to;
    }, 'a connection to each worker');
    return %to;
}

# A request that the backend has, and does not answer.
sub unfinished {
    my ($target, %opt) = @_;
    my $client = $t->send($target, %opt);
    $own->wait($target);
    return $client;
}

# A request that waits until nothing is in flight, once it is at work.
sub waiter {
    my ($verb, %opt) = @_;
    my $client = $t->send("/_intermission/$verb", %opt);
    $t->wait_state('paused');
    return $client;
}

# The answer to a waiter who came too late, with how many were left.
sub too_late {
    my ($answer, $left, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $answer->{status}, 504, $what;
    my $is = $left == 1 ? 'request is' : 'requests are';
    like $answer->{body}, qr/^$left $is still in flight/, "$what: the answer tells how many are left";
    like $answer->{headers}{'retry-after'}, qr/^[1-9]\d*$/, "$what: the answer says when to ask again";
}

# How often the log says something.
sub said {
    my ($pattern) = @_;
    return scalar(() = $t->error_log =~ /$pattern/g);
}

sub reopen {
    $own->answer_all;
    $t->control('disable?spread=0&concurrency=0');
    $t->wait_state('open');
}

subtest 'the answer comes when the last request of any worker is finished' => sub {
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
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    ok !$caller->answered, 'the caller waits while one of four requests is unfinished';
    $own->answer('/own/4');
    my $answer = $caller->response;
    is $answer->{status}, 200, 'all four requests are finished: the caller is answered 200';
    like $answer->{body}, qr{^Pause enabled\.\n}, 'all four requests are finished: the answer is Pause enabled';
    ok !$newcomer->answered, 'a request that comes meanwhile is held';
    is $t->status->{in_flight}, 0, 'all four requests are finished: nothing is in flight';
    is $_->response->{status}, 200, 'the requests in flight are answered' for values %to;
    ok $t->wait_log(qr/\[notice\].*app "basecamp": nothing is in flight, pause \d+/), 'the log says that nothing is in flight';
    reopen();
    is $newcomer->response->{status}, 200, 'the newcomer is answered when the pause ends';
};

subtest 'where nothing is in flight the answer comes at once' => sub {
    my $start = time;
    is $t->control('enable?wait=60s', timeout => 20)->{status}, 200, 'nothing in flight: enable?wait= is answered 200';
    cmp_ok time - $start, '<', 10, 'nothing in flight: enable?wait= does not wait for its time to pass';
    my $json = $t->control('enable?wait=60s&format=json', timeout => 20);
    is eval { decode_json($json->{body})->{state} }, 'paused', 'nothing in flight: enable?wait= in a pause is answered as JSON';
    reopen();
};

subtest 'a client that downloads slowly does not count' => sub {
    my $client = unfinished('/own/downloads/large');
    my $caller = waiter('enable?wait=20s');
    ok !$caller->answered, 'a slow download counts as long as the backend has not answered';
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
    $t->wait_for(sub { $_->answered; length $_->{input} }, 'a download that has begun') for @clients;
    my $caller = waiter('enable?wait=20s');
    is $t->status->{in_flight}, 3, 'two files and an echo without an upstream: three in flight';
    $clients[0]->close;
    $t->wait_for(sub { $t->status->{in_flight} == 2 }, 'two in flight');
    $clients[2]->close;
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    ok !$caller->answered, 'one without an upstream goes on: the caller waits';
    $clients[1]->close;
    is $caller->response->{status}, 200, 'all without an upstream are over: the caller is answered 200';
    reopen();
};

subtest 'a client that is gone counts as long as the backend works for it' => sub {
    my $gone = unfinished('/own/gone');
    my $stubborn = unfinished('/own/stubborn/1');
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    my $stream = $http2->request('/own/stream');
    $own->wait('/own/stream');
    my $caller = waiter('enable?wait=20s');
    is $t->status->{in_flight}, 3, 'three requests are in flight, one of them over HTTP/2';
    $_->close for $gone, $stubborn;
    $http2->reset($stream);
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    ok !$caller->answered, 'proxy_ignore_client_abort: the caller waits for a request whose client is gone';
    $own->answer('/own/stubborn/1');
    is $caller->response->{status}, 200, 'proxy_ignore_client_abort: the caller is answered when the backend is done';
    $http2->close;
    reopen();
};

subtest 'a client that uploads slowly does not count once the backend has answered' => sub {
    my $client = $t->send('/own/streamed/1', method => 'POST', headers => {'Content-Length' => 100_000});
    $client->write('x' x 1000);
    $own->wait('/own/streamed/1');
    my $caller = waiter('enable?wait=20s');
    $own->answer('/own/streamed/1');
    is $caller->response->{status}, 200, 'the backend has answered a slow upload: the caller is answered 200';
    is $client->response->{status}, 200, 'the slow upload is answered';
    $client->close;
    reopen();
};

subtest 'what a drain has let go is in flight' => sub {
    $t->control('enable');
    my @clients = map { $t->send("/own/$_") } 1 .. 3;
    $t->wait_held(3);
    $t->control('disable');
    $own->wait(map { "/own/$_" } 1 .. 3);
    $t->wait_state('open');
    too_late($t->control('enable?wait=300ms'), 3, 'enable?wait= after a drain: too late for three released requests');
    my $caller = waiter('enable?wait=20s');
    $own->answer("/own/$_") for 1 .. 3;
    is $caller->response->{status}, 200, 'the released requests are finished: the caller is answered 200';
    is $_->response->{status}, 200, 'the released requests are answered' for @clients;
    reopen();
};

subtest 'under load, again and again: no request is cut off or answered with an error' => sub {
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
    is $done->{statuses}{200}, 1500, 'pauses under load: the backend answers all requests';
    is_deeply [grep { !/^(?:200|504)$/ } keys %answers], [], 'pauses under load: the callers are answered 200 or 504';
    $t->wait_for(sub { $t->status->{in_flight} == 0 }, 'nothing in flight');
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
    ok $t->wait_for(sub { $t->status->{upgraded} == 0 }, 'none upgraded'), 'closed WebSockets are not counted any more';
    reopen();
};

subtest 'who bypassed the pause does not count, nor do places with intermission off' => sub {
    $t->control('enable');
    my @clients = (
        unfinished('/own/health'), unfinished('/own/agent', headers => {'User-Agent' => 'Pingdom'}), unfinished('/own/off/1'));
    is $t->control('enable?wait=20s', timeout => 20)->{status}, 200, 'enable?wait= does not wait for requests that bypassed the pause';
    is $own->waiting, 3, 'the requests that bypassed the pause are with the backend';
    is $t->status->{in_flight}, 0, 'the requests that bypassed the pause are not in flight';
    reopen();
    is $_->response->{status}, 200, 'the requests that bypassed the pause are answered' for @clients;
};

subtest 'what expires into the backend is in flight again' => sub {
    $t->reload(locations => $locations . 'location /own/short/ { set $intermission_max_time 0.2; intermission on; proxy_pass http://own; }');
    $t->control('enable');
    my $client = unfinished('/own/short/1');
    too_late($t->control('enable?wait=300ms'), 1, 'enable?wait= is too late for an expired request');
    reopen();
    is $client->response->{status}, 200, 'the expired request is answered';
};

subtest 'too late: the pause never was, and those held go out in order' => sub {
    my ($client, $rolled) = (unfinished('/own/late'), said(qr/rolled back/));
    my $start = $t->backend_log;
    my $caller = waiter('enable?wait=1s');
    my @held;
    for (1 .. 10) {
        push @held, $t->send("/held/$_");
        $t->wait_held(scalar @held);
    }
    my $answer = $caller->response;
    too_late($answer, 1, 'enable?wait= comes too late: 504');
    like $answer->{body}, qr/rolled back/, 'the 504 says that the pause was rolled back';
    is scalar(grep { $_->response->{status} == 200 } @held), 10, 'rolled back: the held requests are answered';
    $t->came_ok([map { "/held/$_" } 1 .. 10], 'rolled back: the held requests go out in order', after => $start);
    $t->wait_state('open');
    is $t->get('/after')->{status}, 200, 'rolled back: the app is open';
    ok !$client->answered, 'rolled back: the request in flight goes on';
    $own->answer('/own/late');
    is $client->response->{status}, 200, 'rolled back: the request in flight is answered in the end';
    is said(qr/\[notice\][^\n]*app "basecamp": rolled back, pause \d+/), $rolled + 1, 'rolled back: the log says so once';
    $client = unfinished('/own/json');
    my $json = $t->control('enable?wait=100ms&format=json');
    like eval { decode_json($json->{body})->{error} } // '', qr/^1 request is still in flight/, 'too late as JSON: an error';
    reopen();
};

subtest 'too late: what drained goes on draining' => sub {
    my $client = unfinished('/own/late');
    $t->control('enable');
    my @held;
    push @held, $t->send("/next/$_") and $t->wait_held($_) for 1 .. 5;
    $t->control('disable?spread=1h');
    my $before = $t->status;
    is $before->{state}, 'draining', 'the app drains before enable?wait=';
    too_late($t->control('enable?wait=300ms'), 1, 'enable?wait= during a drain is too late');
    my $after = $t->status;
    is $after->{state}, 'draining', 'rolled back into a drain: the app drains again';
    cmp_ok $after->{held}, '>=', $before->{held} - 1, 'rolled back into a drain: the pace begins anew, with one request at once';
    is $t->control('disable?spread=1h')->{status}, 304, 'rolled back into a drain: the pace is the same';
    $t->control('disable?spread=0');
    is scalar(grep { $_->response->{status} == 200 } @held), 5, 'rolled back into a drain: all held requests are answered';
    $t->came_ok([map { "/next/$_" } 1 .. 5], 'rolled back into a drain: released in order', after => $t->backend_log - 5);
    reopen();
    is $client->response->{status}, 200, 'rolled back into a drain: the request in flight is answered';
};

subtest 'too late: an earlier pause is as it was' => sub {
    my $client = unfinished('/own/late');
    $t->control('enable?for=60s&reason=first');
    my $before = $t->status;
    my $caller = $t->send('/_intermission/enable?wait=500ms&for=10m&reason=second');
    $t->wait_for(sub { $t->status->{reason} eq 'second' }, 'another reason');
    cmp_ok $t->status->{until}, 'gt', $before->{until}, 'enable?wait= in a pause: its lease counts while it waits';
    too_late($caller->response, 1, 'enable?wait= in a pause is too late');
    my $after = $t->status;
    my @same = qw(state pause since until reason by);
    is_deeply [@$after{@same}], [@$before{@same}], 'rolled back into a pause: end and reason are as before';
    my $rolled = said(qr/rolled back/);
    $t->control('enable?wait=100ms&for=1s&reason=third');
    is_deeply [@{$t->status}{@same}], [@$before{@same}], 'rolled back into a pause: end and reason are as before also where the lease was not changed';
    is said(qr/rolled back/), $rolled + 1, 'rolled back into a pause: the log says so';
    reopen();
    is $client->response->{status}, 200, 'rolled back into a pause: the request in flight is answered';
};

subtest 'too late: an earlier pause whose lease has ended meanwhile is over' => sub {
    my $client = unfinished('/own/late');
    $t->control('enable?for=300ms');
    my $held = $t->send('/held');
    too_late($t->control('enable?wait=1s&for=1h'), 1, 'enable?wait= is too late, and the earlier lease has ended');
    is $held->response->{status}, 200, 'the earlier lease has ended: the held request goes out';
    $t->wait_state('open');
    reopen();
    is $client->response->{status}, 200, 'the earlier lease has ended: the request in flight is answered';
};

subtest 'too late: a stopped app is stopped again' => sub {
    my $client = unfinished('/own/late');
    $t->control('stop?for=60s&reason=broken');
    my $before = $t->status;
    my $caller = waiter('enable?wait=700ms&reason=mended');
    my $held = $t->send('/held');
    $t->wait_held(1);
    too_late($caller->response, 1, 'enable?wait= of a stopped app is too late');
    my $after = $t->status;
    is_deeply [@$after{qw(state pause until reason by)}], [@$before{qw(state pause until reason by)}], 'rolled back into a stop: the app is stopped as before';
    is $held->response->{status}, 503, 'rolled back into a stop: the request that was held meanwhile is answered 503';
    reopen();
    is $client->response->{status}, 200, 'rolled back into a stop: the request in flight is answered';
};

subtest 'keep=1: too late, and the pause stays' => sub {
    my $client = unfinished('/own/late');
    too_late($t->control('enable?wait=300ms&keep=1&for=60s'), 1, 'enable?wait= with keep=1 is too late');
    my $status = $t->status;
    is $status->{state}, 'paused', 'keep=1: the app stays paused';
    ok $status->{until}, 'keep=1: the pause has its lease';
    reopen();
    is $client->response->{status}, 200, 'keep=1: the request in flight is answered';
};

for my $way ('HTTP/1.1', 'HTTP/2', 'HTTP/2, a reset stream') {
    subtest "the caller goes away ($way): rolled back" => sub {
        my ($client, $rolled) = (unfinished('/own/late'), said(qr/rolled back/));
        my ($caller, $stream);
        if ($way eq 'HTTP/1.1') { $caller = $t->send('/_intermission/enable?wait=60s') }
        else {
            $caller = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
            $stream = $caller->request('/_intermission/enable?wait=60s');
        }
        $t->wait_state('paused');
        my @held = map { $t->send("/held/$_") } 1 .. 3;
        $t->wait_held(3);
        $way =~ /reset/ ? $caller->reset($stream) : $caller->close;
        is $_->response->{status}, 200, "the caller goes away ($way): held requests go out" for @held;
        $t->wait_state('open');
        is said(qr/rolled back/), $rolled + 1, "the caller goes away ($way): the log says rolled back";
        $caller->close if $way =~ /reset/;
        reopen();
        is $client->response->{status}, 200, "the caller goes away ($way): the request in flight is answered";
    };
}

subtest 'a caller whose body comes late goes away: rolled back' => sub {
    my ($client, $rolled) = (unfinished('/own/late'), said(qr/rolled back/));
    my $head = "POST /_intermission/enable?wait=60s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        . "Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    my $caller = $t->send('/', raw => $head);
    $t->wait_for(sub { $t->status->{state} eq 'open' }, 'nothing is changed before all of it is there');
    $caller->write('reason=ab');
    $t->wait_state('paused');
    $caller->close;
    $t->wait_state('open');
    is said(qr/rolled back/), $rolled + 1, 'a caller with a late body goes away: the log says rolled back';
    reopen();
    is $client->response->{status}, 200, 'a caller with a late body goes away: the request in flight is answered';
};

subtest 'a request counts as long as a copy of it is under way' => sub {
    my $client = $t->send('/own/copied/1');
    $own->wait('/own/copy');
    is $client->response->{status}, 200, 'the request with a copy is answered';
    too_late($t->control('enable?wait=300ms'), 1, 'enable?wait= is too late for the copy of a request');
    reopen();
    is $t->control('enable?wait=10s')->{status}, 200, 'the copy is finished: enable?wait= is answered 200';
    reopen();
};

subtest 'HTTP/2: the caller is answered as over HTTP/1.1' => sub {
    my $client = unfinished('/own/late');
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    is $http2->answer($http2->request('/_intermission/enable?wait=300ms'))->{status}, 504, 'HTTP/2: a caller who is too late is answered 504';
    my $stream = $http2->request('/_intermission/enable?wait=20s');
    $t->wait_state('paused');
    $own->answer('/own/late');
    is $http2->answer($stream)->{status}, 200, 'HTTP/2: a caller is answered 200 when all is finished';
    $http2->close;
    reopen();
};

subtest 'what else the caller sends disturbs nobody' => sub {
    my $client = unfinished('/own/late');
    my $post = $t->send('/_intermission/enable?wait=60s', method => 'POST', body => 'x' x 200_000);
    my $slow = $t->send('/_intermission/enable?wait=60s', method => 'POST', headers => {'Content-Length' => 5000});
    my $line = "HTTP/1.1\r\nHost: x\r\n";
    my $pipeline = $t->send('', raw => "GET /_intermission/enable?wait=60s $line\r\nGET /_intermission/status $line" . "Connection: close\r\n\r\n");
    $t->wait_state('paused');
    $slow->write('x' x 5000);
    $own->answer('/own/late');
    is $post->response->{status}, 415, 'a caller with a large body that is no form: 415';
    is $slow->response->{status}, 415, 'a caller with a slow body that is no form: 415';
    is $pipeline->response->{status}, 200, 'a caller with another request behind it in the pipeline: 200';
    $pipeline->{response} = undef;
    is $pipeline->response->{body}, "Pause enabled.\n", "the second request of the caller's pipeline is answered";
    $_->close for $post, $slow;
    reopen();
    is $client->response->{status}, 200, 'odd callers do not cut off the request in flight';
};

subtest 'disabled or stopped meanwhile: 409' => sub {
    my $client = unfinished('/own/late');
    for my $verb ('disable', 'stop') {
        my $caller = waiter('enable?wait=60s');
        my $keeper = $t->send('/_intermission/enable?wait=60s&keep=1&format=json');
        $t->wait_for(sub { $t->status->{pause} }, 'a pause');
        my $held = $t->send("/held/$verb");
        $t->wait_held(1);
        is $t->control($verb)->{status}, 200, "$verb while two callers wait: 200";
        is $caller->response->{status}, 409, "$verb while a caller waits: the caller is answered 409";
        my $answer = $keeper->response;
        is $answer->{status}, 409, "$verb while a caller with keep=1 waits: the caller is answered 409";
        like eval { decode_json($answer->{body})->{error} } // '', qr/somebody else/, "$verb while a caller waits: the 409 says that somebody else did it";
        is $held->response->{status}, $verb eq 'stop' ? 503 : 200, "$verb while a caller waits: held requests are answered as by the verb";
        is $t->status->{state}, $verb eq 'stop' ? 'stopped' : 'open', "$verb while a caller waits is not rolled back";
        $t->control('disable');
        $t->wait_state('open');
    }
    reopen();
    is $client->response->{status}, 200, 'the other verbs do not cut off the request in flight';
};

subtest 'the lease ends meanwhile: 409' => sub {
    # Every wait is shorter than its lease: only a worker that stands still gets there.
    my %to = connections();
    my ($pid) = sort keys %to;
    my $client = unfinished('/own/late');
    my $caller = delete $to{$pid};
    my $line = qr/lease ended/;
    my $ended = said($line);
    $caller->request('/_intermission/enable?wait=500ms&for=600ms&reason=frozen', keepalive => 1);
    $t->wait_log(qr/paused by .*"frozen"/);
    $t->freeze($pid);
    $t->wait_for(sub { said($line) > $ended }, 'the end of the lease') if !$caller->answered;
    kill CONT => $pid;
    # If all went slowly he had timed out before.
    is $caller->response->{status}, said($line) > $ended ? 409 : 504, 'the lease ends while a caller waits: 409';
    $t->wait_state('open');
    reopen();
    is $client->response->{status}, 200, 'the lease ends while a caller waits: the request in flight is answered';
};

subtest "somebody else's enable was answered meanwhile: too late, but the pause stays as his" => sub {
    my $client = unfinished('/own/late');
    my $caller = waiter('enable?wait=800ms&reason=mine');
    is $t->control('enable?for=60s&reason=his')->{status}, 200, "another caller's enable is answered 200";
    too_late($caller->response, 1, "another caller's enable: the one that waits is too late");
    my $status = $t->status;
    is_deeply [@$status{qw(state reason)}], ['paused', 'his'], "another caller's enable: the pause stays with its reason";
    ok $status->{until}, "another caller's enable: the pause has its lease";
    unlike $caller->response->{body}, qr/not paused/, "another caller's enable: the 504 does not say that the app is open";
    reopen();

    my $next = unfinished('/own/next');
    $caller = waiter('enable?wait=800ms');
    like $t->control('enable')->{status}, qr/^(?:200|304)$/, "another caller's enable without parameters is answered";
    too_late($caller->response, 1, "another caller's enable without parameters: the one that waits is too late");
    is $t->status->{state}, 'paused', "another caller's enable without parameters: the pause stays";
    reopen();
    is $_->response->{status}, 200, "another caller's enable does not cut off requests in flight" for $client, $next;
};

subtest 'two who wait' => sub {
    my $client = unfinished('/own/late');
    my @callers = map { waiter("enable?wait=20s&for=${_}0m") } 3, 6;
    ok !$_->answered, 'two callers wait: neither is answered yet' for @callers;
    $own->answer('/own/late');
    is $_->response->{status}, 200, 'two callers wait: both are answered 200' for @callers;
    is $client->response->{status}, 200, 'two callers wait: the request in flight is answered';
    reopen();

    $client = unfinished('/own/later');
    my $short = waiter('enable?wait=500ms&for=1h&reason=short');
    my $long = $t->send('/_intermission/enable?wait=20s&for=60s&reason=long');
    my $held = $t->send('/held');
    too_late($short->response, 1, 'the first of two callers is too late');
    my $status = $t->status;
    is_deeply [@$status{qw(state reason)}], ['paused', 'long'], 'the first of two callers is too late: the app stays paused as the second asked';
    my $end = (decode_json($t->control('apps')->{body}))->{now};
    cmp_ok substr($status->{until}, 0, 13), 'le', substr(_later($end, 120), 0, 13), "the first of two callers is too late: the end is the second's";
    ok !$held->answered && !$long->answered, 'the first of two callers is too late: a newcomer stays held';
    $own->answer('/own/later');
    is $long->response->{status}, 200, 'the second of two callers is answered 200';
    is $t->status->{state}, 'paused', 'the second of two callers has its pause';
    reopen();
    is $_->response->{status}, 200, 'two callers: no client sees an error' for $held, $client;
};

subtest 'bad parameters: 400, and nothing has changed' => sub {
    my %wrong = (
        'enable?wait=10s&for=10s' => 'wait', 'enable?for=5s&wait=10s' => 'wait', 'enable?keep=1' => 'keep',
        'enable?keep=1&for=10s' => 'keep', 'enable?wait=10s&keep=2' => 'keep', 'enable?wait=0' => 'wait',
        'enable?wait=soon' => 'wait', 'enable?wait=1&wait=2' => 'wait', 'disable?keep=1' => 'keep',
        'disable?wait=-1' => 'wait', 'stop?wait=1s' => 'wait', 'status?wait=1s' => 'wait',
    );
    for my $request (sort keys %wrong) {
        my $answer = $t->control($request);
        is $answer->{status}, 400, $request;
        like $answer->{body}, qr/"$wrong{$request}"/, "$request: the answer names $wrong{$request}";
    }
    for my $request ('enable?wait=5s', 'enable?wait=6s') {
        is $t->control($request, at => '/leased')->{status}, 400, "$request where intermission_lease is 5s";
    }
    is $t->status->{state}, 'open', 'bad parameters have paused nothing';
    is $t->control('enable?wait=4s', at => '/leased')->{status}, 200, 'wait= shorter than intermission_lease: 200';
    is $t->control('enable?wait=6s&for=10s', at => '/leased')->{status}, 200, 'wait= shorter than for=: 200';
    reopen();
    is $t->control('enable?wait=1s&id=1')->{status}, 409, 'id= of another pause: 409';
    $t->control('enable');
    is $t->control('enable?wait=1s&new=1')->{status}, 409, 'new=1 in a pause: 409';
    reopen();
};

subtest 'an app that was never paused: what it has already is counted' => sub {
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

subtest 'the table of those who wait is full: 503, and nothing has changed' => sub {
    my $client = unfinished('/own/late');
    my @callers = map { $t->send('/_intermission/enable?wait=60s&format=json') } 1 .. 70;
    my @over = @{$t->wait_for(sub { my @over = grep { $_->answered } @callers; @over == 6 ? \@over : undef }, 'six answers')};
    is_deeply [map { $_->response->{status} } @over], [(503) x 6], 'of 70 callers 64 wait';
    like eval { decode_json($_->response->{body})->{error} } // '', qr/too many/, 'beyond 64 callers: the answer says too many' for @over;
    is $t->status->{state}, 'paused', 'beyond 64 callers: the pause of the others goes on';
    $own->answer('/own/late');
    is scalar(grep { $_->response->{status} == 200 } @callers), 64, 'the 64 callers who wait are answered 200';
    reopen();
    is $client->response->{status}, 200, 'many callers do not cut off the request in flight';
};

# A time of RFC 3339, so many seconds later.
sub _later {
    my ($time, $seconds) = @_;
    my ($year, $month, $day, $hour, $minute, $second) = $time =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)/;
    require Time::Local;
    my @later = gmtime(Time::Local::timegm($second, $minute, $hour, $day, $month - 1, $year) + $seconds);
    return sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $later[5] + 1900, $later[4] + 1, @later[3, 2, 1, 0];
}

$t->clean_ok(at => ['/_intermission', '/fresh']);
done_testing;
