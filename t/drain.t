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
    like $answer->{body}, qr/^$left $is still in flight/, 'and tells how many are left';
    like $answer->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'and when to ask again';
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
    ok !$caller->answered, 'as long as one is unfinished the caller is not answered';
    $own->answer('/own/4');
    my $answer = $caller->response;
    is $answer->{status}, 200, 'then it is';
    like $answer->{body}, qr{^Pause enabled\.\n}, 'as any other';
    ok !$newcomer->answered, 'who came meanwhile is held';
    is $t->status->{in_flight}, 0, 'nothing is in flight';
    is $_->response->{status}, 200, 'and whoever was on the way was answered' for values %to;
    ok $t->wait_log(qr/\[notice\].*app "basecamp": nothing is in flight, pause \d+/), 'the log says so';
    reopen();
    is $newcomer->response->{status}, 200, 'the pause ends as any';
};

subtest 'where nothing is in flight the answer comes at once' => sub {
    my $start = time;
    is $t->control('enable?wait=60s', timeout => 20)->{status}, 200, 'enable?wait=';
    cmp_ok time - $start, '<', 10, 'is not waited out';
    my $json = $t->control('enable?wait=60s&format=json', timeout => 20);
    is eval { decode_json($json->{body})->{state} }, 'paused', 'once more, in a pause, as JSON';
    reopen();
};

subtest 'a client that downloads slowly does not count' => sub {
    my $client = unfinished('/own/downloads/large');
    my $caller = waiter('enable?wait=20s');
    ok !$caller->answered, 'as long as the backend has not answered it does';
    $own->answer('/own/downloads/large', 2_000_000);
    is $caller->response->{status}, 200, 'once the answer is with nginx it does not';
    ok !$client->answered, 'though the client has not got it';
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
    is $t->status->{in_flight}, 3, 'two files and an echo are in flight';
    $clients[0]->close;
    $t->wait_for(sub { $t->status->{in_flight} == 2 }, 'two in flight');
    $clients[2]->close;
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    ok !$caller->answered, 'one that goes on is waited for';
    $clients[1]->close;
    is $caller->response->{status}, 200, 'until it is over';
    reopen();
};

subtest 'a client that is gone counts as long as the backend works for it' => sub {
    my $gone = unfinished('/own/gone');
    my $stubborn = unfinished('/own/stubborn/1');
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    my $stream = $http2->request('/own/stream');
    $own->wait('/own/stream');
    my $caller = waiter('enable?wait=20s');
    is $t->status->{in_flight}, 3, 'three are in flight, one over HTTP/2';
    $_->close for $gone, $stubborn;
    $http2->reset($stream);
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    ok !$caller->answered, 'where nginx lets the backend go on it is waited for';
    $own->answer('/own/stubborn/1');
    is $caller->response->{status}, 200, 'until it is done';
    $http2->close;
    reopen();
};

subtest 'a client that uploads slowly does not count once the backend has answered' => sub {
    my $client = $t->send('/own/streamed/1', method => 'POST', headers => {'Content-Length' => 100_000});
    $client->write('x' x 1000);
    $own->wait('/own/streamed/1');
    my $caller = waiter('enable?wait=20s');
    $own->answer('/own/streamed/1');
    is $caller->response->{status}, 200, 'though nginx still waits for the rest of its body';
    is $client->response->{status}, 200, 'it is answered';
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
    too_late($t->control('enable?wait=300ms'), 3, 'it is waited for');
    my $caller = waiter('enable?wait=20s');
    $own->answer("/own/$_") for 1 .. 3;
    is $caller->response->{status}, 200, 'until it is finished';
    is $_->response->{status}, 200, 'all are answered' for @clients;
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
    is_deeply [@$done{qw(answered failed timed_out)}], [1500, 0, 0], 'everybody is served';
    is $done->{statuses}{200}, 1500, 'by the backend';
    is_deeply [grep { !/^(?:200|504)$/ } keys %answers], [], 'and the callers are told 200 or 504';
    $t->wait_for(sub { $t->status->{in_flight} == 0 }, 'nothing in flight');
    pass 'in the end nothing is in flight';
};

subtest 'a WebSocket does not count, and is reported' => sub {
    my @sockets = map { $t->send("/sockets/$_", keepalive => 1, headers => {Upgrade => 'echo', Connection => 'upgrade'}) } 1 .. 3;
    is $_->response->{status}, 101, 'upgraded' for @sockets;
    is $t->control('enable?wait=20s', timeout => 20)->{status}, 200, 'nobody waits for it';
    is_deeply [@{$t->status}{qw(in_flight upgraded)}], [0, 3], 'the status tells how many there are';
    $sockets[0]->write('ping');
    my $echo = '';
    sysread $sockets[0]->socket, $echo, 4 if IO::Select->new($sockets[0]->socket)->can_read(10);
    is $echo, 'ping', 'they go on';
    $_->close for @sockets;
    ok $t->wait_for(sub { $t->status->{upgraded} == 0 }, 'none upgraded'), 'until they are closed';
    reopen();
};

subtest 'who bypassed the pause does not count, nor do places with intermission off' => sub {
    $t->control('enable');
    my @clients = (
        unfinished('/own/health'), unfinished('/own/agent', headers => {'User-Agent' => 'Pingdom'}), unfinished('/own/off/1'));
    is $t->control('enable?wait=20s', timeout => 20)->{status}, 200, 'nobody waits for them';
    is $own->waiting, 3, 'who are still with the backend';
    is $t->status->{in_flight}, 0, 'and not in flight';
    reopen();
    is $_->response->{status}, 200, 'they are answered' for @clients;
};

subtest 'what expires into the backend is in flight again' => sub {
    $t->reload(locations => $locations . 'location /own/short/ { set $intermission_max_time 0.2; intermission on; proxy_pass http://own; }');
    $t->control('enable');
    my $client = unfinished('/own/short/1');
    too_late($t->control('enable?wait=300ms'), 1, 'it is waited for');
    reopen();
    is $client->response->{status}, 200, 'it is answered';
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
    too_late($answer, 1, 'the caller comes too late');
    like $answer->{body}, qr/rolled back/, 'and that the pause was rolled back';
    is scalar(grep { $_->response->{status} == 200 } @held), 10, 'nobody whom it held sees an error';
    $t->came_ok([map { "/held/$_" } 1 .. 10], 'and they go out in order', after => $start);
    $t->wait_state('open');
    is $t->get('/after')->{status}, 200, 'the app is open';
    ok !$client->answered, 'what was on the way still is';
    $own->answer('/own/late');
    is $client->response->{status}, 200, 'and is answered in the end';
    is said(qr/\[notice\][^\n]*app "basecamp": rolled back, pause \d+/), $rolled + 1, 'the log says it once';
    $client = unfinished('/own/json');
    my $json = $t->control('enable?wait=100ms&format=json');
    like eval { decode_json($json->{body})->{error} } // '', qr/^1 request is still in flight/, 'in JSON it is an error';
    reopen();
};

subtest 'too late: what drained goes on draining' => sub {
    my $client = unfinished('/own/late');
    $t->control('enable');
    my @held;
    push @held, $t->send("/next/$_") and $t->wait_held($_) for 1 .. 5;
    $t->control('disable?spread=1h');
    my $before = $t->status;
    is $before->{state}, 'draining', 'an app drains';
    too_late($t->control('enable?wait=300ms'), 1, 'somebody pauses it and is too late');
    my $after = $t->status;
    is $after->{state}, 'draining', 'it drains again';
    cmp_ok $after->{held}, '>=', $before->{held} - 1, 'at its pace: as anew, one goes out at once';
    is $t->control('disable?spread=1h')->{status}, 304, 'at the same pace';
    $t->control('disable?spread=0');
    is scalar(grep { $_->response->{status} == 200 } @held), 5, 'until all have gone out';
    $t->came_ok([map { "/next/$_" } 1 .. 5], 'in order', after => $t->backend_log - 5);
    reopen();
    is $client->response->{status}, 200, 'nobody is cut off';
};

subtest 'too late: an earlier pause is as it was' => sub {
    my $client = unfinished('/own/late');
    $t->control('enable?for=60s&reason=first');
    my $before = $t->status;
    my $caller = $t->send('/_intermission/enable?wait=500ms&for=10m&reason=second');
    $t->wait_for(sub { $t->status->{reason} eq 'second' }, 'another reason');
    cmp_ok $t->status->{until}, 'gt', $before->{until}, 'as long as it waits the other end counts';
    too_late($caller->response, 1, 'it comes too late');
    my $after = $t->status;
    my @same = qw(state pause since until reason by);
    is_deeply [@$after{@same}], [@$before{@same}], 'the pause has its end and its reason again';
    my $rolled = said(qr/rolled back/);
    $t->control('enable?wait=100ms&for=1s&reason=third');
    is_deeply [@{$t->status}{@same}], [@$before{@same}], 'also where only the reason was another';
    is said(qr/rolled back/), $rolled + 1, 'and the log says so';
    reopen();
    is $client->response->{status}, 200, 'nobody is cut off';
};

subtest 'too late: an earlier pause whose lease has ended meanwhile is over' => sub {
    my $client = unfinished('/own/late');
    $t->control('enable?for=300ms');
    my $held = $t->send('/held');
    too_late($t->control('enable?wait=1s&for=1h'), 1, 'the caller comes too late');
    is $held->response->{status}, 200, 'who was held goes out';
    $t->wait_state('open');
    reopen();
    is $client->response->{status}, 200, 'nobody is cut off';
};

subtest 'too late: a stopped app is stopped again' => sub {
    my $client = unfinished('/own/late');
    $t->control('stop?for=60s&reason=broken');
    my $before = $t->status;
    my $caller = waiter('enable?wait=700ms&reason=mended');
    my $held = $t->send('/held');
    $t->wait_held(1);
    too_late($caller->response, 1, 'the caller comes too late');
    my $after = $t->status;
    is_deeply [@$after{qw(state pause until reason by)}], [@$before{qw(state pause until reason by)}], 'the app is stopped as it was';
    is $held->response->{status}, 503, 'who came meanwhile is answered as by that stop';
    reopen();
    is $client->response->{status}, 200, 'nobody on the way is cut off';
};

subtest 'keep=1: too late, and the pause stays' => sub {
    my $client = unfinished('/own/late');
    too_late($t->control('enable?wait=300ms&keep=1&for=60s'), 1, 'the caller comes too late');
    my $status = $t->status;
    is $status->{state}, 'paused', 'the app is paused';
    ok $status->{until}, 'with its lease';
    reopen();
    is $client->response->{status}, 200, 'nobody is cut off';
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
        is $_->response->{status}, 200, 'those held go out' for @held;
        $t->wait_state('open');
        is said(qr/rolled back/), $rolled + 1, 'the log says why';
        $caller->close if $way =~ /reset/;
        reopen();
        is $client->response->{status}, 200, 'nobody is cut off';
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
    is said(qr/rolled back/), $rolled + 1, 'the log says so';
    reopen();
    is $client->response->{status}, 200, 'nobody is cut off';
};

subtest 'a request counts as long as a copy of it is under way' => sub {
    my $client = $t->send('/own/copied/1');
    $own->wait('/own/copy');
    is $client->response->{status}, 200, 'it is answered';
    too_late($t->control('enable?wait=300ms'), 1, 'the copy is not');
    reopen();
    is $t->control('enable?wait=10s')->{status}, 200, 'both are';
    reopen();
};

subtest 'HTTP/2: the caller is answered as over HTTP/1.1' => sub {
    my $client = unfinished('/own/late');
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    is $http2->answer($http2->request('/_intermission/enable?wait=300ms'))->{status}, 504, 'too late';
    my $stream = $http2->request('/_intermission/enable?wait=20s');
    $t->wait_state('paused');
    $own->answer('/own/late');
    is $http2->answer($stream)->{status}, 200, 'in time';
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
    is $post->response->{status}, 415, 'no form';
    is $slow->response->{status}, 415, 'nor this';
    is $pipeline->response->{status}, 200, 'answered';
    $pipeline->{response} = undef;
    is $pipeline->response->{body}, "Pause enabled.\n", 'and then the request behind it';
    $_->close for $post, $slow;
    reopen();
    is $client->response->{status}, 200, 'nobody is cut off';
};

subtest 'disabled or stopped meanwhile: 409' => sub {
    my $client = unfinished('/own/late');
    for my $verb ('disable', 'stop') {
        my $caller = waiter('enable?wait=60s');
        my $keeper = $t->send('/_intermission/enable?wait=60s&keep=1&format=json');
        $t->wait_for(sub { $t->status->{pause} }, 'a pause');
        my $held = $t->send("/held/$verb");
        $t->wait_held(1);
        is $t->control($verb)->{status}, 200, "somebody's $verb";
        is $caller->response->{status}, 409, 'answers who waits: 409';
        my $answer = $keeper->response;
        is $answer->{status}, 409, 'with keep=1, too';
        like eval { decode_json($answer->{body})->{error} } // '', qr/somebody else/, 'and why';
        is $held->response->{status}, $verb eq 'stop' ? 503 : 200, 'those held go the way of the verb';
        is $t->status->{state}, $verb eq 'stop' ? 'stopped' : 'open', 'which is not rolled back';
        $t->control('disable');
        $t->wait_state('open');
    }
    reopen();
    is $client->response->{status}, 200, 'nobody is cut off';
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
    is $caller->response->{status}, said($line) > $ended ? 409 : 504, 'the caller is told';
    $t->wait_state('open');
    reopen();
    is $client->response->{status}, 200, 'nobody is cut off';
};

subtest "somebody else's enable was answered meanwhile: too late, but the pause stays as his" => sub {
    my $client = unfinished('/own/late');
    my $caller = waiter('enable?wait=800ms&reason=mine');
    is $t->control('enable?for=60s&reason=his')->{status}, 200, 'somebody pauses';
    too_late($caller->response, 1, 'who waited is too late');
    my $status = $t->status;
    is_deeply [@$status{qw(state reason)}], ['paused', 'his'], 'the pause stays';
    ok $status->{until}, 'with the lease of the one who was answered';
    unlike $caller->response->{body}, qr/not paused/, 'and the answer does not say otherwise';
    reopen();

    my $next = unfinished('/own/next');
    $caller = waiter('enable?wait=800ms');
    like $t->control('enable')->{status}, qr/^(?:200|304)$/, 'an enable that asks for nothing is answered too';
    too_late($caller->response, 1, 'who waited is too late');
    is $t->status->{state}, 'paused', 'the pause stays';
    reopen();
    is $_->response->{status}, 200, 'nobody is cut off' for $client, $next;
};

subtest 'two who wait' => sub {
    my $client = unfinished('/own/late');
    my @callers = map { waiter("enable?wait=20s&for=${_}0m") } 3, 6;
    ok !$_->answered, 'neither is answered' for @callers;
    $own->answer('/own/late');
    is $_->response->{status}, 200, 'then both are' for @callers;
    is $client->response->{status}, 200, 'as is the client';
    reopen();

    $client = unfinished('/own/later');
    my $short = waiter('enable?wait=500ms&for=1h&reason=short');
    my $long = $t->send('/_intermission/enable?wait=20s&for=60s&reason=long');
    my $held = $t->send('/held');
    too_late($short->response, 1, 'one of two comes too late');
    my $status = $t->status;
    is_deeply [@$status{qw(state reason)}], ['paused', 'long'], 'the app stays paused as the other asked';
    my $end = (decode_json($t->control('apps')->{body}))->{now};
    cmp_ok substr($status->{until}, 0, 13), 'le', substr(_later($end, 120), 0, 13), 'until when the other asked';
    ok !$held->answered && !$long->answered, 'and holds who came meanwhile';
    $own->answer('/own/later');
    is $long->response->{status}, 200, 'the other is answered in time';
    is $t->status->{state}, 'paused', 'and has his pause';
    reopen();
    is $_->response->{status}, 200, 'nobody sees an error' for $held, $client;
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
        like $answer->{body}, qr/"$wrong{$request}"/, "names $wrong{$request}";
    }
    for my $request ('enable?wait=5s', 'enable?wait=6s') {
        is $t->control($request, at => '/leased')->{status}, 400, "$request where intermission_lease is 5s";
    }
    is $t->status->{state}, 'open', 'nothing is paused';
    is $t->control('enable?wait=4s', at => '/leased')->{status}, 200, 'wait below the lease is fine';
    is $t->control('enable?wait=6s&for=10s', at => '/leased')->{status}, 200, 'so is one below for=';
    reopen();
    is $t->control('enable?wait=1s&id=1')->{status}, 409, 'id= of another pause: 409';
    $t->control('enable');
    is $t->control('enable?wait=1s&new=1')->{status}, 409, 'new=1 in a pause: 409';
    reopen();
};

subtest 'an app that was never paused: what it has already is counted' => sub {
    my @clients = map { unfinished("/own/fresh/$_") } 1 .. 3;
    my $other = unfinished('/own/other');
    too_late($t->control('enable?wait=300ms', at => '/fresh'), 3, 'its first enable knows how many there are');
    my $caller = $t->send('/fresh/enable?wait=20s');
    $t->wait_state('paused', at => '/fresh');
    $own->answer("/own/fresh/$_") for 1 .. 3;
    is $caller->response->{status}, 200, "and waits for these, not for another app's";
    is $_->response->{status}, 200, 'who are answered' for @clients;
    $t->control('disable', at => '/fresh');
    reopen();
    is $other->response->{status}, 200, 'as is the other';
};

subtest 'the table of those who wait is full: 503, and nothing has changed' => sub {
    my $client = unfinished('/own/late');
    my @callers = map { $t->send('/_intermission/enable?wait=60s&format=json') } 1 .. 70;
    my @over = @{$t->wait_for(sub { my @over = grep { $_->answered } @callers; @over == 6 ? \@over : undef }, 'six answers')};
    is_deeply [map { $_->response->{status} } @over], [(503) x 6], 'of 70 callers 64 wait';
    like eval { decode_json($_->response->{body})->{error} } // '', qr/too many/, 'the others are told why' for @over;
    is $t->status->{state}, 'paused', 'and the pause of those who wait goes on';
    $own->answer('/own/late');
    is scalar(grep { $_->response->{status} == 200 } @callers), 64, 'who are answered in the end';
    reopen();
    is $client->response->{status}, 200, 'and nobody is cut off';
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
