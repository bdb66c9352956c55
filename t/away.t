# intermission_away: a request that its app never saw is held instead of being answered 502 or 504.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::App;
use Intermission::Http2;
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(sleep time);

my $control = "location /_intermission { intermission_control; }\n";
my $refused = qr/connect\(\) (?:to \S+ )?failed/;
my $large = 'x' x 100_000;

sub one_line_each {
    my ($t, $what, @targets) = @_;
    $t->logged($_) for @targets;
    my %lines;
    $lines{$_->{target}}++ for $t->access_log;
    is_deeply [map { $lines{$_} } @targets], [map { 1 } @targets], "$what: each request has one line in the access log";
}

my $port = Intermission::App::free_port();
for my $way (['TCP refused', "127.0.0.1:$port"], ['no socket'], ['unix socket refused']) {
    my ($what, $server) = @$way;
    subtest "$what: the requests are held until the app is up" => sub {
        my $address = $server // 'unix:@DIR@/app.sock';
        my $t = Intermission->new(workers => 2, http2 => 1, http => "upstream app { server $address; }", locations => $control . <<'END');
location / { intermission on; intermission_away 20s; proxy_pass http://app; }
location /streamed { intermission on; intermission_away 20s; proxy_pass http://app; proxy_http_version 1.1; proxy_request_buffering off; }
END
        my $app = Intermission::App->new($t, $server ? (port => $port) : ());
        if ($what =~ /unix/) {
            $app->up;
            $app->down;
        }
        my %client = map { $_ => $t->send($_, keepalive => 1) } '/get', '/other';
        $client{$_} = $t->send($_, keepalive => 1, body => $large) for '/post', '/streamed/post';
        $client{'/head'} = $t->send('/head', method => 'HEAD', keepalive => 1);
        my $chunk = sprintf "%x\r\n$large\r\n", length $large;
        $client{'/streamed/chunks'} = $t->send('', raw => "POST /streamed/chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n$chunk");
        my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
        my %stream = map { $_ => $http2->request($_) } '/2/get', '/2/other';
        $stream{$_} = $http2->request($_, body => $large) for '/2/post', '/streamed/2/post';
        $t->wait_for(sub { $http2->ping; $t->status->{held} == 10 }, '10 requests to be held');
        $t->wait_log($refused);
        sleep 1;
        ok !(grep { $_->begun } values %client), "$what: no request is answered while the app is away";
        ok !(grep { $http2->answered($_) } values %stream), "$what: no stream is answered while the app is away";
        $client{'/streamed/chunks'}->write("${chunk}0\r\n\r\n");
        my $up = time;
        $app->up;
        is $client{$_}->response->{status}, 200, "$what: 200 for $_" for sort keys %client;
        is $http2->answer($stream{$_})->{status}, 200, "$what: 200 for the stream $_" for sort keys %stream;
        cmp_ok time - $up, '<', 3, "$what: all are answered soon after the app is up";
        my @all = sort keys(%client), keys %stream;
        is_deeply $app->came, {map { $_ => 1 } @all}, "$what: each request comes to the app once";
        is_deeply [map { $app->bodies->{$_} } (grep { /post/ } @all), '/streamed/chunks'], [('100000 whole') x 4, '200000 whole'], "$what: bodies come whole";
        is $client{$_}->request("/again$_")->response->{status}, 200, "$what: the client of $_ keeps its connection" for sort keys %client;
        is $http2->answer($http2->request('/2/again'))->{status}, 200, "$what: the HTTP/2 client keeps its connection";
        one_line_each($t, $what, @all);
        $_->close for values(%client), $http2;
        $app->down;
        $t->clean_ok(allow => [$refused]);
    };
}

subtest 'the listen queue is full: each request comes to the app once, when there is room' => sub {
    my $t = Intermission->new(workers => 2, http => 'upstream app { server unix:@DIR@/app.sock; }', locations => $control . <<'END');
location / { intermission on; intermission_away 20s; proxy_pass http://app; }
END
    my $path = $t->dir . '/app.sock';
    my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 2) or die "$path: $!";
    chmod 0777, $path;
    my @client = map { $t->send("/$_") } 1 .. 30;
    $t->wait_log(qr/Resource temporarily unavailable/);
    sleep 0.5;
    ok !(grep { $_->begun } @client), 'full queue: no request is answered';
    my %came;
    while (grep { !$_->answered } @client) {
        my $ready = '';
        vec($ready, fileno $listener, 1) = 1;
        select $ready, undef, undef, 5 or last;
        my $socket = $listener->accept or last;
        my $input = '';
        while ($input !~ /\r\n\r\n/) { sysread $socket, $input, 65536, length $input or last }
        $came{$1}++ if $input =~ m{^\S+ /(\d+)};
        syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        close $socket;
        sleep 0.02;
    }
    is_deeply [map { $_->response->{status} } @client], [(200) x 30], 'full queue: all requests are answered 200';
    is_deeply \%came, {map { $_ => 1 } 1 .. 30}, 'full queue: each request comes to the app once';
    close $listener;
    $t->clean_ok(allow => [$refused]);
};

subtest 'what was sent to an app is never held' => sub {
    my $t = Intermission->new(workers => 1, http => 'upstream two { server unix:@DIR@/own.sock; server unix:@DIR@/gone.sock; }', locations => $control . <<'END');
location / { intermission on; intermission_away 20s; proxy_pass http://unix:@DIR@/own.sock; }
location /two { intermission on; intermission_away 20s; proxy_pass http://two; }
END
    my $path = $t->dir . '/own.sock';
    my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 16) or die "$path: $!";
    chmod 0777, $path;
    my $drop = sub {
        my $socket = $listener->accept;
        my $input = '';
        while ($input !~ /\r\n\r\n/) { sysread $socket, $input, 65536, length $input or last }
        close $socket;
    };
    my $client = $t->send('/once', body => 'x');
    $drop->();
    is $client->response(5)->{status}, 502, 'a request that the app did not answer gets 502 at once';
    $client = $t->send('/two/once');
    $drop->();
    is $client->response(5)->{status}, 502, 'a request that one server read and the next one refused gets 502 at once';
    close $listener;
    $t->clean_ok(allow => [$refused, qr/upstream prematurely closed/]);
};

subtest 'off, and in places where nothing is held, nginx answers at once' => sub {
    my $t = Intermission->new(workers => 1, server => 'intermission_away 20s;', locations => $control . <<'END');
location / { intermission on; intermission_away off; proxy_pass http://unix:@DIR@/gone.sock; }
location /unheld { proxy_pass http://unix:@DIR@/gone.sock; }
location /up { intermission on; proxy_pass http://unix:@DIR@/gone.sock; }
location /privileged { set $intermission_privileged_user_agent Pingdom; intermission on; proxy_pass http://unix:@DIR@/gone.sock; }
location /sub { intermission on; auth_request /auth; proxy_pass http://backend; }
location /auth { intermission on; proxy_pass http://unix:@DIR@/gone.sock; }
END
    is $t->get('/off')->{status}, 502, 'intermission_away off: 502';
    is $t->get('/unheld')->{status}, 502, 'without intermission: 502';
    is $t->get('/sub')->{status}, 500, 'a subrequest is not held';
    is $t->get('/up')->{status}, 502, 'a health check is not held: 502';
    is $t->get('/privileged', headers => {'User-Agent' => 'Pingdom'})->{status}, 502, 'a privileged request is not held: 502';
    $t->control('enable');
    is $t->get('/up')->{status}, 502, 'a health check in a pause is not held: 502';
    $t->control('disable');
    $t->clean_ok(allow => [$refused, qr/auth request unexpected status/]);
};

done_testing;
