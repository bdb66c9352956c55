# A request is held in the same way however it comes: over HTTP/2, unix sockets, proxies in front,
# gRPC, WebSockets, and with slow bodies.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Http2;
use IO::Select;
use IO::Socket::UNIX;
use Socket qw(inet_aton);
use Test::More;
use Time::HiRes 'time';

my $control = "location /_intermission { intermission_control; }\n";

# What the app got of each body: target => "length ended".
sub arrived {
    my ($t) = @_;
    return {map { $_->{target} => "$_->{length} $_->{ended}" } $t->backend_log};
}

# Reads from the socket until the pattern matches. $input: what was read before. Returns all of it.
sub read_until {
    my ($socket, $pattern, $input) = @_;
    $input //= '';
    my $end = time + 10;
    until ($input =~ $pattern) {
        my $left = $end - time;
        last if $left <= 0 || !IO::Select->new($socket)->can_read($left);
        sysread $socket, $input, 65536, length $input or last;
    }
    return $input;
}

sub unchunked {
    my ($chunks) = @_;
    my $content = '';
    $content .= substr($chunks, 0, hex $1, '') while $chunks =~ s/^(?:\r\n)?([0-9a-f]+)\r\n//;
    return $content;
}

subtest 'HTTP/2: each stream is held by itself' => sub {
    my $t = Intermission->new(workers => 2, http2 => 1);
    my $to = 'unix:' . $t->dir . '/http2.sock';
    my ($one, $other) = map { Intermission::Http2->new(to => $to) } 1, 2;
    $t->control('enable');
    my %stream;
    for my $number (1 .. 4) {
        $stream{$number} = $one->request("/one/$number");
        $t->wait_held($number);
    }
    my @others = map { $other->request("/other/$_") } 1 .. 3;
    $t->wait_held(7);
    $one->reset($stream{2});
    $t->wait_held(6);
    is $t->logged('/one/2')->{intermission}, 'LEFT', 'HTTP/2: one of several held streams is reset';
    $one->request('/one/hasty', reset => 1);
    is $t->logged('/one/hasty')->{intermission}, 'LEFT', 'HTTP/2: a stream that is reset right behind its request is out of the line';
    is $t->status->{held}, 6, 'HTTP/2: other streams stay held when some are reset';
    $stream{5} = $one->request('/one/5');
    $t->wait_held(7);
    ok $one->ping, 'HTTP/2: a connection with held streams answers a PING';
    is $one->answer($one->request('/up'))->{status}, 200, 'HTTP/2: a connection with held streams answers a health check';
    $other->close;
    $t->wait_held(4);
    is $t->logged("/other/$_")->{intermission}, 'LEFT', "HTTP/2: a connection is lost: its held streams end too: $_" for 1 .. 3;
    $t->control('disable');
    is $one->answer($stream{$_})->{status}, 200, "HTTP/2: stream $_ is released" for 1, 3, 4, 5;
    $t->came_ok(['/up', map { "/one/$_" } 1, 3, 4, 5], 'HTTP/2: only streams that stay come to the app, in order');
    $t->wait_state('open');

    $t->control('enable');
    my $stopped = $one->request('/stopped');
    $t->wait_held(1);
    $t->control('stop');
    is $one->answer($stopped)->{status}, 503, 'HTTP/2: a stop answers a held stream';
    $t->control('disable');
    is $one->answer($one->request('/after'))->{status}, 200, 'HTTP/2: the connection of a stopped stream goes on';
    $one->close;
    $t->clean_ok;
};

subtest 'HTTP/2: bodies of held streams keep to flow control' => sub {
    my $t = Intermission->new(workers => 2, http2 => 1, locations => $control . <<'END');
location / { intermission on; proxy_pass http://backend; }
location /streamed { intermission on; proxy_pass http://backend; proxy_http_version 1.1; proxy_request_buffering off; }
END
    my $to = 'unix:' . $t->dir . '/http2.sock';
    my ($client, $gone) = map { Intermission::Http2->new(to => $to) } 1, 2;
    $t->control('enable');
    my $window = $client->{initial};
    my $large = 'x' x 1_000_000;
    my %post = map { $_ => $client->request($_, body => $large) } '/large', '/streamed/large';
    $t->wait_held(2);
    $post{$_} = $client->request($_, body => 'x' x 1000) for '/small', '/streamed/small';
    $t->wait_held(4);
    $post{$_} = $client->request($_, body => 'x' x 1000, open => 1) for '/open', '/streamed/open';
    $t->wait_held(6);
    my $reset = $client->request('/gone/reset', body => $large);
    $t->wait_held(7);
    $gone->request('/gone/lost', body => $large);
    $t->wait_held(8);
    ok $client->ping, 'HTTP/2: bodies that are held stop no connection';
    is_deeply [map { $client->sent($post{$_}) } '/large', '/streamed/large'], [$window, $window], 'HTTP/2: a held body is sent up to its window and no further';
    is $client->answer($client->request('/up'))->{status}, 200, 'HTTP/2: other streams are answered while bodies are held';
    $client->reset($reset);
    $gone->close;
    $t->wait_held(6);
    $client->data($post{$_}, 'y' x 1000) for '/open', '/streamed/open';
    ok $client->ping, 'HTTP/2: more of a body may come while its request is held';
    $t->control('disable');
    $client->data($post{$_}, 'z' x 1000, end => 1) for '/open', '/streamed/open';
    is $client->answer($post{$_})->{status}, 200, "HTTP/2: a stream with a body is released: $_" for sort keys %post;
    my $arrived = arrived($t);
    is_deeply [map { delete $arrived->{"$_/large"} } '', '/streamed'], [('1000000 whole') x 2], 'HTTP/2: a body larger than the window comes whole';
    is_deeply [map { delete $arrived->{"$_/small"} } '', '/streamed'], [('1000 whole') x 2], 'HTTP/2: a body that fits into the window comes whole';
    is_deeply [map { delete $arrived->{"$_/open"} } '', '/streamed'], [('3000 whole') x 2], 'HTTP/2: a body that comes before, during and after the hold comes whole';
    is_deeply $arrived, {'/up' => '0 whole'}, 'HTTP/2: no body of a reset or lost stream comes to the app';
    $client->close;
    $t->clean_ok;
};

subtest 'unix sockets and the PROXY protocol carry held requests' => sub {
    my $t = Intermission->new(
        workers => 2,
        server => 'listen unix:@DIR@/site.sock; listen unix:@DIR@/proxied.sock proxy_protocol; set_real_ip_from unix:; real_ip_header proxy_protocol;',
        locations => <<'END',
location / { intermission on; proxy_pass http://backend; }
location /_intermission { allow 127.0.0.1; allow 203.0.113.7; allow 2001:db8::7; deny all; intermission_control; }
location /local { allow unix:; deny all; intermission_control; }
END
    );
    my ($site, $proxied) = map { 'unix:' . $t->dir . "/$_.sock" } 'site', 'proxied';
    is $t->control('enable', at => '/local', to => $site)->{status}, 200, 'unix socket: enable is answered';
    is $t->status->{by}, 'unix:', 'unix socket: the status says by unix:';
    is $t->control('disable', to => $site)->{status}, 403, 'unix socket: a control endpoint for 127.0.0.1 only answers 403';
    my @held;
    my $hold = sub { push @held, $t->send(@_); $t->wait_held(scalar @held) };
    $hold->('/1', to => $site);
    $hold->('/2');
    $hold->('/leaver', to => $site);
    (pop @held)->close;
    $t->wait_held(2);
    is $t->logged('/leaver')->{intermission}, 'LEFT', 'unix socket: a client that leaves is out of the line';
    $hold->('/3', to => $site);
    $hold->('', to => $proxied, raw => "PROXY TCP4 203.0.113.9 192.0.2.1 40000 80\r\nGET /4 HTTP/1.1\r\nHost: x\r\n\r\n");
    like $t->wait_log(qr/held, ticket.*"GET \/4 /) && $t->error_log, qr/held, ticket .*client: 203\.0\.113\.9, .*"GET \/4 /, 'PROXY protocol: the log has the real address';
    my $slow = $t->send('', to => $proxied, raw => "PROXY TCP4 203.0.113.9 192.0.2.1 40001 80\r\nGET ");
    $hold->('/5');
    $slow->write("/6 HTTP/1.1\r\nHost: x\r\n\r\n");
    push @held, $slow;
    $t->wait_held(scalar @held);
    my $leaver = $t->send('', to => $proxied, raw => "PROXY UNKNOWN\r\nGET /leaver2 HTTP/1.1\r\nHost: x\r\n\r\n");
    $t->wait_held(@held + 1);
    $leaver->close;
    $t->wait_held(scalar @held);
    is $t->logged('/leaver2')->{intermission}, 'LEFT', 'PROXY protocol: a client that leaves behind the proxy is out of the line';

    my $verb = sub {
        my ($proxy, $verb) = @_;
        return $t->send('', to => $proxied, raw => "${proxy}GET /_intermission/$verb HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")->response->{status};
    };
    my $tcp6 = "PROXY TCP6 2001:db8::7 2001:db8::1 40002 80\r\n";
    my $second = "\r\n\r\n\0\r\nQUIT\n" . pack 'CCn a4a4nn', 0x21, 0x11, 12, inet_aton('203.0.113.7'), inet_aton('192.0.2.1'), 40003, 80;
    is $verb->("PROXY TCP4 203.0.113.9 192.0.2.1 40004 80\r\n", 'disable'), 403, 'PROXY protocol: control is refused to a real address that is not allowed';
    is $verb->($second, 'disable'), 200, 'PROXY protocol, version 2: control is open to a real address that is allowed';
    $t->wait_log(qr/\[notice\].*the default app: resumed by 203\.0\.113\.7, pause \d+/);
    is $_->response->{status}, 200, 'unix socket, PROXY protocol and TCP: all held requests are released' for @held;
    $t->came_ok([map { "/$_" } 1 .. 6], 'unix socket, PROXY protocol and TCP: released in the order of their tickets');
    $_->close for @held;
    $t->wait_state('open');
    is $verb->($tcp6, 'enable'), 200, 'PROXY protocol: control over IPv6 is answered';
    is $t->status->{by}, '2001:db8::7', 'PROXY protocol: the status has the real IPv6 address';
    $t->control('disable');
    $t->clean_ok(allow => [qr/access forbidden by rule/]);
};

subtest 'realip by a header gives each request its address' => sub {
    # With a header the address belongs to the request, not to the connection.
    my $t = Intermission->new(
        workers => 2,
        server => 'set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP;',
        locations => <<'END',
location / { intermission on; proxy_pass http://backend; }
location /_intermission { allow 127.0.0.1; allow 198.51.100.0/24; deny all; intermission_control; }
END
    );
    my $from = sub { return headers => {'X-Real-IP' => $_[0]} };
    is $t->control('enable', $from->('198.51.100.9'))->{status}, 200, 'realip: control by a real address that is allowed';
    is $t->status->{by}, '198.51.100.9', 'realip: the status has the real address';
    $t->wait_log(qr/\[notice\].*paused by 198\.51\.100\.9/);
    is $t->control('disable', $from->('203.0.113.1'))->{status}, 403, 'realip: control is refused to a real address that is not allowed';
    my $client = $t->send('/first', keepalive => 1, $from->('203.0.113.2'));
    $t->wait_held(1);
    $t->wait_log(qr/held, ticket .*client: 203\.0\.113\.2, .*"GET \/first /);
    $t->control('disable');
    is $client->response->{status}, 200, 'realip: the first request of a connection is held and released';
    $t->wait_state('open');
    $t->control('enable');
    $client->request('/second', $from->('203.0.113.3'));
    $t->wait_held(1);
    ok $t->wait_log(qr/held, ticket .*client: 203\.0\.113\.3, .*"GET \/second /), 'realip: the log has the real address of each request of a connection';
    $t->control('disable', $from->('198.51.100.8'));
    is $client->response->{status}, 200, 'realip: the second request of a connection is held and released';
    ok $t->wait_log(qr/\[notice\].*resumed by 198\.51\.100\.8/), 'realip: the log of disable has the real address';
    $t->clean_ok(allow => [qr/access forbidden by rule/]);
};

subtest 'gRPC calls are held and released' => sub {
    my $t = Intermission->new(
        workers => 2,
        server => 'listen 127.0.0.2:@PORT@ http2; listen unix:@DIR@/site.sock http2;',
        http => <<'END',
server {
    listen unix:@DIR@/grpc.sock http2;
    location / {
        add_trailer grpc-status 0;
        add_trailer grpc-message $http_x_position;
        proxy_set_header X-Position $http_x_position;
        proxy_hide_header Content-Type; add_header Content-Type application/grpc;
        proxy_pass http://backend;
    }
}
END
        locations => $control . 'location / { intermission on; grpc_set_header X-Position $intermission_position; grpc_pass grpc://unix:@DIR@/grpc.sock; }',
    );
    my $message = $t->dir . '/message';
    open my $file, '>', $message or die "$message: $!";
    print {$file} pack 'CNa*', 0, 5, 'hello';
    close $file;
    my $call = sub {
        my ($target) = @_;
        pipe my $output, my $stdout or die "pipe: $!";
        my @command = ('/usr/bin/env', 'nghttp', '-v', '--timeout=20', '-d', $message, '-H', 'content-type: application/grpc', '-H', 'te: trailers',
            'http://127.0.0.2:' . $t->port . $target);
        Intermission::Process::start('nghttp', \@command, stdout => $stdout);
        return $output;
    };
    $t->control('enable');
    my @calls;
    for my $number (1 .. 3) {
        push @calls, $call->("/echo.Echo/$number");
        $t->wait_held($number);
    }
    my $stream = Intermission::Http2->new(to => 'unix:' . $t->dir . '/site.sock');
    my %grpc = (headers => {'content-type' => 'application/grpc', te => 'trailers'});
    my $upload = $stream->request('/echo.Echo/upload', %grpc, open => 1, body => pack 'CNa*', 0, 5, 'hello');
    $t->wait_held(4);
    my $cancelled = $stream->request('/echo.Echo/cancelled', %grpc, open => 1, body => pack 'CNa*', 0, 5, 'hello');
    $t->wait_held(5);
    $stream->reset($cancelled);
    $t->wait_held(4);
    is $t->backend_log, 0, 'gRPC: calls are held';
    $t->control('disable');
    $stream->data($upload, pack('CNa*', 0, 5, 'world'), end => 1);
    for my $number (1 .. 3) {
        my $output = do { local $/; readline $calls[$number - 1] };
        like $output, qr/:status: 200.*grpc-status: 0/s, "gRPC: call $number is released, and its trailers come";
        like $output, qr/grpc-message: ${\($number - 1)}\b/, "gRPC: call $number gets its own trailers";
    }
    is $stream->answer($upload)->{status}, 200, 'gRPC: a stream of messages goes on where it was held';
    is_deeply [map { "$_->{target} $_->{length}" } sort { $a->{position} <=> $b->{position} } $t->backend_log],
        ['/echo.Echo/1 10', '/echo.Echo/2 10', '/echo.Echo/3 10', '/echo.Echo/upload 20'], 'gRPC: all messages arrive; none of the call that was cancelled';
    $stream->close;
    $t->clean_ok;
};

subtest 'WebSockets are held before they are upgraded' => sub {
    my $t = Intermission->new(
        workers => 2,
        locations => $control . <<'END',
location / { intermission on; proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
END
    );
    my $upgrade = "HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    $t->control('enable');
    my $eager = $t->send('', raw => "GET /eager $upgrade" . 'early');
    $t->wait_held(1);
    $eager->write(' frames');
    my $leaver = $t->send('', raw => "GET /leaver $upgrade" . 'early');
    $t->wait_held(2);
    $leaver->close;
    $t->wait_held(1);
    is $t->logged('/leaver')->{intermission}, 'LEFT', 'WebSocket: a client that leaves behind its first frames is out of the line';
    $t->control('disable');
    is $eager->response->{status}, 101, 'WebSocket: a released client is upgraded';
    is read_until($eager->socket, qr/frames/, $eager->{input}), 'early frames', 'WebSocket: what a client has sent before its release is not lost';
    $t->wait_state('open');

    $t->control('enable');
    $eager->write('ping');
    is read_until($eager->socket, qr/ping/), 'ping', 'WebSocket: an open one goes on in the next pause';
    my $next = $t->send('', raw => "GET /next $upgrade");
    $t->wait_held(1);
    $t->control('disable');
    is $next->response->{status}, 101, 'WebSocket: a client of the next pause is held and upgraded';
    $eager->write('pong');
    is read_until($eager->socket, qr/pong/), 'pong', 'WebSocket: an open one goes on beside a new one';
    $_->close for $eager, $next;
    $t->came_ok(['/eager', '/next'], 'WebSocket: a client that left never comes to the app');
    $t->clean_ok;
};

subtest "held requests whose bodies take long are not ended by nginx's own timeouts" => sub {
    my $t = Intermission->new(
        workers => 2, http2 => 1,
        server => 'client_body_timeout 1s; client_header_timeout 1s; send_timeout 1s; keepalive_timeout 1s;',
        locations => $control . <<'END',
location / { intermission on; proxy_pass http://backend; }
location /streamed { intermission on; proxy_pass http://unix:@DIR@/own.sock:; proxy_http_version 1.1; proxy_request_buffering off; }
END
    );
    my $own = IO::Socket::UNIX->new(Local => $t->dir . '/own.sock', Listen => 10) or die "own.sock: $!";
    chmod 0777, $t->dir . '/own.sock';
    $t->control('enable');
    my $get = $t->send('/get');
    $t->wait_held(1);
    my $sized = $t->send('', raw => "POST /sized HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1");
    my $chunked = $t->send('', raw => "POST /chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5");
    my $streamed = $t->send('', raw => "POST /streamed/sized HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1");
    my $mixed = $t->send('', raw => "POST /streamed/chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5");
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    my $stream = $http2->request('/http2', body => '1', open => 1);
    $t->wait_held(6);
    $t->wait_for(sub { $t->status->{oldest_held_seconds} > 1.3 }, 'the requests to be held longer than client_body_timeout');
    $_->write('2345') for $sized, $streamed;
    $_->write("\r\n123") for $chunked, $mixed;
    $http2->data($stream, '2345');
    $t->wait_for(sub { $t->status->{oldest_held_seconds} > 2.6 }, 'the requests to be held longer than client_body_timeout once more');
    is $t->status->{held}, 6, "nginx's own timeouts do not run while a request is held, whatever comes of its body";
    ok !IO::Select->new($own)->can_read(0), 'an unbuffered body that is held does not go to the app';
    $t->control('disable');
    my @streamed;
    for (1, 2) {
        my $connection = $own->accept;
        my $head = read_until($connection, qr/\r\n\r\n(?:12345|3\r\n123\r\n)\z/);
        my $kind = $head =~ m{^POST /streamed/(\w+) } ? $1 : 'unknown';
        like $head, $kind eq 'sized' ? qr/12345\z/ : qr/123\r\n\z/, "$kind: the body that has come goes on at the release";
        push @streamed, [$connection, $kind];
    }
    $_->write('67890') for $sized, $streamed;
    $_->write("45\r\n3;x=y\r\nabc\r\n0\r\n\r\n") for $chunked, $mixed;
    $http2->data($stream, '67890', end => 1);
    for (@streamed) {
        my ($connection, $kind) = @$_;
        my $rest = read_until($connection, $kind eq 'sized' ? qr/0\z/ : qr/\r\n0\r\n\r\n\z/);
        is $kind eq 'sized' ? $rest : unchunked($rest), $kind eq 'sized' ? '67890' : '45abc', "$kind: the rest of the body follows";
        print {$connection} "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        close $connection;
    }
    is $_->response->{status}, 200, 'requests with slow bodies are answered' for $get, $sized, $chunked, $streamed, $mixed;
    is $http2->answer($stream)->{status}, 200, 'a request with a slow body over HTTP/2 is answered';
    is_deeply arrived($t), {'/get' => '0 whole', '/sized' => '10 whole', '/chunked' => '8 whole', '/http2' => '10 whole'}, 'slow bodies that are buffered arrive whole';
    $_->close for $get, $sized, $chunked, $streamed, $mixed, $http2;
    $t->clean_ok;
};

done_testing;
