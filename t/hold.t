# What happens to a held request: it is passed on whole, or expires.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use IO::Select;
use Test::More;
use Time::HiRes 'time';

sub location {
    my ($name, $lines) = @_;
    return "location /$name { $lines intermission on; proxy_pass http://backend; }\n";
}

my $control = "location /_intermission { intermission_control; }\n";

# The backend's lines, by target.
sub at_backend {
    my ($t) = @_;
    return {map { $_->{target} => $_ } $t->backend_log};
}

# The pid of the worker that holds a request, from the error log.
sub holder {
    my ($t, $target) = @_;
    my $line = qr/\[info\] (\d+)#[^\n]*intermission: [^\n]*held[^\n]*"\w+ \Q$target\E /;
    return $t->wait_for(sub { $t->error_log =~ $line ? $1 : undef }, "the line of the worker that holds $target");
}

# Reads from the client's socket until the pattern matches. Returns all that was read.
sub read_until {
    my ($client, $pattern) = @_;
    my ($input, $end) = ('', time + 10);
    until ($input =~ $pattern) {
        my $left = $end - time;
        last if $left <= 0 || !IO::Select->new($client->socket)->can_read($left);
        sysread $client->socket, $input, 65536, length $input or last;
    }
    return $input;
}

subtest 'a request whose max_time is over goes on out of turn' => sub {
    my $t = Intermission->new(
        workers => 2,
        locations => $control . location('', '')
            . location('short', 'set $intermission_max_time 0.3;')
            . 'location /off { proxy_pass http://backend; }',
    );
    is $t->get('/before')->{status}, 200, 'a request passes while the app is open';
    $t->control('enable');
    my $first = $t->send('/first');
    $t->wait_held(1);
    my $short = $t->send('/short');
    is $short->response->{status}, 200, 'a request that was held for its max_time is passed on';
    ok !$first->answered, 'an expired request is passed on out of turn: the one ahead stays held';
    is $t->get('/off')->{status}, 200, 'a place without intermission is never held';
    is $t->get('/up')->{status}, 200, 'a health check is never held';

    my $leaver = $t->send('/leaver');
    $t->wait_held(2);
    $leaver->close;
    $t->wait_held(1);
    $t->control('disable');
    is $first->response->{status}, 200, 'the request ahead of the expired one is released in the end';

    my $shown = sub {
        my $line = $t->logged($_[0]);
        return [@$line{qw(status intermission position)}];
    };
    my $time = sub { $t->logged($_[0])->{hold_time} };
    is_deeply $shown->('/before'), [200, 'PASSED', '-'], 'access log: PASSED';
    is_deeply $shown->('/first'), [200, 'HELD', 0], 'access log: HELD, with 0 ahead';
    is_deeply $shown->('/short'), [200, 'EXPIRED', 1], 'access log: EXPIRED, with 1 ahead';
    is_deeply $shown->('/up'), [200, 'BYPASSED', '-'], 'access log: BYPASSED';
    is_deeply $shown->('/leaver'), [499, 'LEFT', 1], 'access log: LEFT';
    is_deeply $shown->('/off'), [200, '-', '-'], 'access log: no status where intermission is off';
    is $time->($_), '-', "access log: no hold_time for $_" for '/before', '/up', '/off';
    like $time->($_), qr/^\d+\.\d{3}$/, "access log: a hold_time with milliseconds for $_" for '/first', '/short', '/leaver';
    cmp_ok $time->('/short'), '>=', 0.3, 'access log: the hold_time of the expired request is its max_time';
    cmp_ok $time->('/first'), '>=', $time->('/short'), 'access log: the request ahead was held longer than the expired one';
    my $totals = $t->status->{totals};
    is_deeply [@$totals{qw(held released expired left bypassed)}], [3, 1, 1, 1, 1], 'the totals agree with the access log';
    ok !at_backend($t)->{'/leaver'}, 'a request whose client left never reaches the app';
    $t->clean_ok;
};

subtest 'intermission_expired answers a request whose max_time is over' => sub {
    my $t = Intermission->new(
        workers => 2,
        http => 'proxy_intercept_errors on;',
        locations => $control . join('',
            map({ location($_, "set \$intermission_max_time 0.2; intermission_expired $_;") } 429, 503, 504),
            location('page', 'set $intermission_max_time 0.2; intermission_expired 503; error_page 503 /sorry;'),
            location('ok', 'set $intermission_max_time 0.2; intermission_expired 504; error_page 504 =200 @asleep;'),
            'location = /sorry { intermission on; return 200 "Back soon.\n"; }',
            'location @asleep { intermission on; proxy_pass http://backend/asleep$request_uri; }'),
    );
    $t->control('enable');
    my %asked = map { $_ => $t->send("/$_/x", keepalive => 1) } 429, 503, 504, 'page', 'ok';
    my %got = map { $_ => $asked{$_}->response } keys %asked;
    is $got{$_}{status}, $_, "intermission_expired $_ answers $_" for 429, 503, 504;
    is $got{$_}{headers}{'retry-after'}, 10, "intermission_expired $_ sends Retry-After" for 503, 504;
    is $got{429}{headers}{'retry-after'}, undef, 'intermission_expired 429 sends no Retry-After';
    is_deeply [$got{page}{status}, $got{page}{body}], [503, "Back soon.\n"], "the site's own page is shown for an expired request";
    is $got{page}{headers}{'retry-after'}, 10, "the site's own page for an expired request has Retry-After";
    is $got{ok}{status}, 200, 'error_page may answer an expired request with another status';
    is_deeply [map { $_->{target} } $t->backend_log], ['/asleep/ok/x'], "only error_page's own request reaches the app";
    is $t->status->{totals}{expired}, 5, 'the status counts five expired requests';
    is $t->status->{totals}{held}, 5, 'the error_page of an expired request is not held';
    is $t->logged('/504/x')->{intermission}, 'EXPIRED', 'access log: an answered request is EXPIRED';

    my $body = $t->send('/504/body', body => 'x' x 5000, keepalive => 1);
    is $body->response->{status}, 504, 'an expired request with a body is answered with 504';
    is $body->request('/503/next', keepalive => 1)->response->{status}, 503, 'an expired request with a body: the connection goes on';
    my $late = $t->send('/504/late', keepalive => 1, method => 'POST', headers => {'Content-Length' => 5000});
    is $late->response->{status}, 504, 'an expired request whose body has not come is answered with 504';
    $late->write('x' x 5000);
    is $late->request('/503/next', keepalive => 1)->response->{status}, 503, 'an expired request whose body comes late: the connection goes on';
    $t->control('disable');
    $t->clean_ok;

    my @codes = (400, 402, 404, 413, 418, 451, 493, 500, 502, 505, 599);
    $t = Intermission->new(workers => 2, locations => $control . join '',
        map { location($_, "set \$intermission_max_time 0.2; intermission_expired $_;") } @codes);
    $t->control('enable');
    my @all = map { $t->send("/$_") } @codes;
    is_deeply [map { $_->response->{status} } @all], \@codes, 'each status that intermission_expired allows is the answer';
    is $t->backend_log, 0, 'no request that was answered by intermission_expired reaches the app';
    $t->control('disable');
    $t->clean_ok;
};

subtest 'a request that expires in a drain is not passed on out of turn' => sub {
    # A frozen worker makes the drain last.
    my $t = Intermission->new(
        workers => 2,
        locations => $control . location('', '')
            . location('pass', 'set $intermission_max_time 0.2;')
            . location('answer', 'set $intermission_max_time 0.8; intermission_expired 504;'),
    );
    $t->control('enable');
    my $head = $t->send('/head');
    $t->wait_held(1);
    my $holder = holder($t, '/head');
    $t->freeze($holder);
    $t->control('disable');
    $t->wait_state('draining');
    my $pass = $t->send('/pass');
    $t->wait_held(2);
    my $answer = $t->send('/answer');
    is $answer->response->{status}, 504, 'intermission_expired 504 answers while draining too';
    ok !$pass->answered, 'a request that expires in a drain is not passed on out of turn';
    kill CONT => $holder;
    is $_->response->{status}, 200, 'requests that were not passed on out of turn go on in their turn' for $head, $pass;
    $t->came_ok(['/head', '/pass'], 'an expired request in a drain: the app gets it in its turn');
    is $t->logged('/pass')->{intermission}, 'HELD', 'access log: a request that expires in a drain is HELD';
    $t->wait_state('open');
    $t->clean_ok;
};

subtest 'each request of a kept connection is held for itself' => sub {
    my $t = Intermission->new(workers => 2);
    my $client = $t->send('/0', keepalive => 1);
    is $client->response->{status}, 200, 'keepalive: the request before the pause is answered';
    for my $round (1 .. 5) {
        $t->control('enable');
        $client->request("/$round", keepalive => 1);
        $t->wait_held(1);
        $t->control('disable');
        is $client->response->{status}, 200, "keepalive: request $round on the connection is held and released";
        $t->wait_state('open');
    }
    is $t->status->{totals}{held}, 5, 'keepalive: each of five requests was held once';

    $t->control('enable');
    my $both = $t->send('', raw => join '', map { "GET /together$_ HTTP/1.1\r\nHost: x\r\n\r\n" } 1, 2);
    $t->wait_held(1);
    my $apart = $t->send('/apart1', keepalive => 1);
    $t->wait_held(2);
    $apart->write("GET /apart2 HTTP/1.1\r\nHost: x\r\n\r\n");
    $t->control('disable');
    for my $pipeline ([$both, 'together'], [$apart, 'apart']) {
        my ($connection, $name) = @$pipeline;
        is $connection->response->{status}, 200, "$name: the first of two pipelined requests is answered";
        $connection->{response} = undef;
        is $connection->response->{status}, 200, "$name: the second of two pipelined requests is answered";
        my %at = map { $_->{target} => $_->{seq} } $t->backend_log;
        cmp_ok $at{"/${name}1"}, '<', $at{"/${name}2"}, "$name: the app gets pipelined requests in order";
    }
    $t->wait_state('open');

    $t->clean_ok;
};

subtest 'bodies that come before, during or after the hold arrive whole' => sub {
    my $t = Intermission->new(
        workers => 2,
        locations => $control
            . location('buffered', '')
            . location('streamed', 'proxy_request_buffering off; proxy_http_version 1.1;'),
    );
    $t->control('enable');
    my (@posts, %asked);
    for my $place ('buffered', 'streamed') {
        for my $size (10, 1_000_000) {
            for my $framing ('sized', 'chunked') {
                for my $when ('before', 'during', 'after') {
                    my $target = "/$place/$size/$framing/$when";
                    my $content = 'x' x $size;
                    my $chunks = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack '(a60000)*', $content;
                    my $head = $framing eq 'sized' ? "Content-Length: $size" : 'Transfer-Encoding: chunked';
                    $head = "POST $target HTTP/1.1\r\nHost: x\r\nConnection: close\r\n$head\r\n\r\n";
                    my $body = $framing eq 'sized' ? $content : "${chunks}0\r\n\r\n";
                    my $post = {target => $target, size => $size, when => $when, output => $head, body => $body};
                    $post->{client} = $t->send('', raw => '');
                    push @posts, $post;
                }
            }
        }
    }
    # Writes as much of each body as its socket takes without waiting.
    my $push = sub {
        for my $post (@posts) {
            my $written = syswrite $post->{client}->socket, $post->{output};
            substr $post->{output}, 0, $written // 0, '';
        }
    };
    my $body_of = sub { $_->{output} .= $_->{body} for grep { $_->{when} eq $_[0] } @posts };
    $body_of->('before');
    $push->();
    $t->wait_held(scalar @posts);
    $body_of->('during');
    $push->();
    is $t->status->{held}, scalar @posts, 'parts of bodies that come during the hold disturb no held request';
    $t->control('disable');
    $body_of->('after');
    $t->wait_for(sub { $push->(); !grep { !$_->{client}->answered } @posts }, 'all requests with bodies to be answered');
    my $arrived = at_backend($t);
    for my $post (@posts) {
        my ($answer, $line) = ($post->{client}->response, $arrived->{$post->{target}} // {});
        is_deeply [$answer->{status}, @$line{qw(length ended)}], [200, $post->{size}, 'whole'], "the body arrives whole: $post->{target}";
        $post->{client}->close;    # nginx lingers behind a body until its client closes
    }
    $t->clean_ok;
};

subtest 'a client that sends Expect is told to go on when it is released' => sub {
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $expecting = $t->send('/expecting', method => 'POST', headers => {Expect => '100-continue', 'Content-Length' => 5});
    $t->wait_held(1);
    ok !IO::Select->new($expecting->socket)->can_read(0), 'Expect: a held client is not told to send its body';
    my $old = $t->send('', raw => "GET /old HTTP/1.0\r\n\r\n");
    $t->wait_held(2);
    $t->control('disable');
    like read_until($expecting, qr/\r\n\r\n/), qr{^HTTP/1.1 100 }, 'Expect: a released client is told to send its body';
    $expecting->write('12345');
    is $expecting->response->{status}, 200, 'Expect: the released request is answered';
    is $old->response->{status}, 200, 'a client of HTTP/1.0, with neither Host nor User-Agent, is held and released';
    my @whole = sort map { "$_->{target} $_->{length}" } $t->backend_log;
    is_deeply \@whole, ['/expecting 5', '/old 0'], 'Expect and HTTP/1.0: both requests come to the app whole';
    $_->close for $expecting, $old;
    $t->clean_ok;
};

subtest 'a client that asks for an upgrade is held, then upgraded' => sub {
    my $t = Intermission->new(
        workers => 2,
        server => 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;',
        locations => $control . location('', ''),
    );
    $t->control('enable');
    my $upgrade = $t->send('/upgrade', keepalive => 1, headers => {Upgrade => 'echo', Connection => 'upgrade'});
    $t->wait_held(1);
    $t->control('disable');
    is $upgrade->response->{status}, 101, 'a connection that asks for an upgrade is held, then upgraded';
    $upgrade->write('ping');
    is read_until($upgrade, qr/ping/), 'ping', 'the upgraded connection talks to the app';
    $upgrade->close;
    $t->clean_ok;
};

subtest 'streams of HTTP/2 expire like other requests' => sub {
    my $t = Intermission->new(
        workers => 2, http2 => 1,
        locations => $control
            . location('pass', 'set $intermission_max_time 0.3;')
            . location('answer', 'set $intermission_max_time 0.3; intermission_expired 503;'),
    );
    $t->control('enable');
    my ($pass, $answer) = map { $t->crowd_http2('--count', 20, '--connections', 1, '--path', "/$_/{i}") } 'pass', 'answer';
    is $pass->done->{statuses}{200}, 20, 'HTTP/2: expired streams are passed on';
    is $answer->done->{statuses}{503}, 20, 'HTTP/2: expired streams are answered with 503';
    is $t->backend_log, 20, 'HTTP/2: the app gets only the streams that are passed on';
    $t->control('disable');
    $t->clean_ok;
};

done_testing;
