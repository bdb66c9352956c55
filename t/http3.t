# HTTP/3: each stream is held, released and leaves for itself, independent of other streams of its connection.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission;
use Intermission::App;
use Test::More;

my $nginx = $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx';
plan skip_all => 'this nginx has no HTTP/3' if `$nginx -V 2>&1` !~ /http_v3_module/;
my $python = `scripts/http3-client 2>&1`;
plan skip_all => "no HTTP/3 client: $python" if $?;
chomp $python;

my $tls = File::Temp::tempdir('intermission-tls-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 2 -keyout $tls/key -out $tls/certificate 2>/dev/null") == 0
    or die 'openssl makes no certificate';

sub instance {
    my (%conf) = @_;
    my $server = delete $conf{server} // '';
    return Intermission->new(
        workers => 2,
        server => "listen 127.0.0.1:\@PORT\@ quic reuseport; ssl_certificate $tls/certificate; ssl_certificate_key $tls/key;\n$server",
        %conf,
    );
}

# Starts a client with one connection. t/lib/http3.py says which commands it takes.
sub connection { return (connections($_[0], 1))[0] }

# Starts this many clients at the same time, so that no connection becomes idle while others are made.
sub connections {
    my ($t, $number) = @_;
    my @clients = map {
        Intermission::Crowd->new(
            command => [$python, Intermission::root() . '/t/lib/http3.py', '127.0.0.1', $t->port],
            errors => $t->dir . '/http3.stderr',
        )
    } 1 .. $number;
    $_->wait_event('connected', 20) for @clients;
    return @clients;
}

sub answer {
    my ($client, $name) = @_;
    return $client->wait_event("answer $name", 10);
}

subtest 'streams whose app is away are held' => sub {
    my $t = instance(workers => 1, locations => <<'END');
location / { intermission on; intermission_away 20s; proxy_pass http://unix:@DIR@/app.sock; }
location /_intermission { intermission_control; }
END
    my $app = Intermission::App->new($t);
    my $client = connection($t);
    $client->say("request $_ /$_") for qw(get leaves);
    $client->say('request post /post 100000');
    $t->wait_held(3);
    $client->say('reset leaves');
    is $t->logged('/leaves')->{status}, 499, 'HTTP/3, app away: a stream leaves';
    $app->up;
    is answer($client, $_)->{status}, 200, "HTTP/3, app away: 200 for $_ when the app is up" for qw(get post);
    is_deeply $app->came, {'/get' => 1, '/post' => 1}, 'HTTP/3, app away: each stream that stays comes to the app once';
    is $app->bodies->{'/post'}, '100000 whole', 'HTTP/3, app away: the body comes whole';
    $client->say('close');
    $t->clean_ok(allow => [qr/connect\(\) to \S+ failed/]);
};

subtest 'streams are held and released in order with other requests' => sub {
    my $t = instance();
    my $client = connection($t);
    $client->say('request open /open');
    is answer($client, 'open')->{status}, 200, 'HTTP/3: a request passes while the app is open';
    $t->control('enable');
    $client->say('request up /up');
    is answer($client, 'up')->{status}, 200, 'HTTP/3: a health check passes in the pause';
    $client->say('request one /one');
    $t->wait_held(1);
    my $other = connection($t);
    $other->say('request two /two');
    $t->wait_held(2);
    my $plain = $t->send('/three');
    $t->wait_held(3);
    $client->say('request four /four');
    $t->wait_held(4);
    $t->control('disable');
    is answer($client, $_)->{status}, 200, "HTTP/3: stream $_ is held, then released" for 'one', 'four';
    is answer($other, 'two')->{status}, 200, 'a held stream of another connection is released';
    is $plain->response->{status}, 200, 'a held request of HTTP/1.1 is released';
    $t->came_ok(['/open', '/up', '/one', '/two', '/three', '/four'], 'streams of two connections and HTTP/1.1 come to the app in order');
    is $t->logged('/one')->{intermission}, 'HELD', 'access log: a released stream is HELD';

    $t->wait_state('open');
    $t->control('enable');
    for my $number (1 .. 20) {
        $client->say("request many$number /many/$number");
        $t->wait_held($number);
    }
    $t->control('disable');
    is scalar(grep { answer($client, "many$_")->{status} == 200 } 1 .. 20), 20, 'twenty streams of one connection are held and released';
    $t->came_ok([map { "/many/$_" } 1 .. 20], 'twenty streams of one connection come to the app in order', after => 6);

    $t->wait_state('open');
    $t->control('enable');
    $client->say('request stopped /stopped');
    $t->wait_held(1);
    $t->control('stop');
    my $stopped = answer($client, 'stopped');
    is $stopped->{status}, 503, 'a stop answers a held stream 503';
    like $stopped->{headers}{'retry-after'}, qr{^10$}, "a stop's 503 to a stream has Retry-After";
    $t->control('disable');
    $client->say('request after /after');
    is answer($client, 'after')->{status}, 200, 'the connection of a stopped stream goes on';
    $client->say('close');
    $other->say('close');
    $t->clean_ok;
};

subtest 'a stream that ends while it is held is out of the line' => sub {
    my $t = instance();
    my $client = connection($t);
    my %request = (get => '', post => '5000', partial => '5000 100');
    my @ways = ((map { my $way = $_; map { [$way, $_] } sort keys %request } 'reset', 'stop'), ['abort', 'partial']);
    $t->control('enable');
    for my $number (1 .. @ways) {
        my ($way, $what) = @{$ways[$number - 1]};
        $client->say("request gone$number /gone/$number $request{$what}");
        $t->wait_held($number);
        $client->say("request kept$number /kept/$number");
        $t->wait_held($number + 1);
        $client->say("$way gone$number");
        $t->wait_held($number);
        is $t->logged("/gone/$number")->{intermission}, 'LEFT', "$way of a held stream ($what): it is out of the line at once";
    }
    # While the workers stand still, a request and its end arrive together.
    kill STOP => $t->workers;
    for my $pid ($t->workers) {
        $t->wait_for(sub { (Intermission::Process::slurp("/proc/$pid/stat") // '') =~ /\) T / }, "worker $pid to stand still");
    }
    for my $way ('reset', 'stop') {
        $client->say("request hasty-$way /gone/hasty-$way");
        $client->say("$way hasty-$way");
    }
    $client->say('mark');
    $client->wait_event('mark');
    kill CONT => $t->workers;
    is $t->logged("/gone/hasty-$_")->{intermission}, 'LEFT', "$_ in the event that brought the request: LEFT" for 'reset', 'stop';
    is $t->status->{held}, @ways, 'streams that leave take no other stream out of the line';
    is $t->status->{totals}{left}, @ways + 2, 'each stream that leaves is counted';
    $t->control('disable');
    is scalar(grep { answer($client, "kept$_")->{status} == 200 } 1 .. @ways), scalar @ways, 'streams that stay are answered';
    $t->came_ok([map { "/kept/$_" } 1 .. @ways], 'the streams that stay come to the app in order, and no other');
    $client->say('close');
    $t->clean_ok;
};

subtest 'when a connection ends, its held streams end too' => sub {
    my $t = instance(http => 'keepalive_timeout 2s;');
    my ($closes, $vanishes, $pings) = connections($t, 3);
    $t->control('enable');
    my $held = 0;
    for my $number (1, 2) {
        $closes->say("request $number /closes/$number");
        $t->wait_held(++$held);
        $vanishes->say("request $number /vanishes/$number");
        $t->wait_held(++$held);
        $pings->say("request $number /pings/$number");
        $t->wait_held(++$held);
    }
    $closes->say('close');
    $t->wait_held(4);
    is $t->logged("/closes/$_")->{intermission}, 'LEFT', "a connection is closed: its held streams end too: $_" for 1, 2;
    $vanishes->kill;
    $t->wait_for(sub { $pings->say('ping'); $t->status->{held} == 2 }, 'nginx to give up the silent connection');
    is $t->logged("/vanishes/$_")->{intermission}, 'LEFT', "a connection is silent for keepalive_timeout: its held streams end too: $_" for 1, 2;
    $t->wait_for(sub { $pings->say('ping'); $t->status->{oldest_held_seconds} > 4.5 }, 'more than twice keepalive_timeout to pass');
    $t->control('disable');
    is answer($pings, $_)->{status}, 200, "a connection that sends pings keeps its held streams: $_" for 1, 2;
    $t->came_ok(['/pings/1', '/pings/2'], 'no stream of a lost connection reaches the app');
    $pings->say('close');
    $t->clean_ok;
};

subtest 'bodies beyond the flow-control window arrive whole' => sub {
    my $t = instance(locations => <<'END');
location / { intermission on; proxy_pass http://backend; }
location /streamed { intermission on; proxy_pass http://backend; proxy_http_version 1.1; proxy_request_buffering off; }
location /expires { intermission on; set $intermission_max_time 0.3; intermission_expired 504; proxy_pass http://backend; }
location /_intermission { intermission_control; }
END
    my $client = connection($t);
    $t->control('enable');
    my @posts = map { ("/buffered/$_", "/streamed/$_") } 1, 2;
    $client->say("request $_ $_ 300000 " . (/1$/ ? 0 : 1000)) for @posts;
    $t->wait_held(4);
    $client->say('request get /get');
    $t->wait_held(5);
    $client->say('request expires /expires');
    is answer($client, 'expires')->{status}, 504, 'a stream expires while bodies of other streams wait';
    $t->control('disable');
    is answer($client, 'get')->{status}, 200, 'a stream is released while bodies of other streams wait';
    $client->say("rest $_") for grep { /2$/ } @posts;
    is answer($client, $_)->{status}, 200, "a body larger than the window held goes on: $_" for @posts;
    my %arrived = map { $_->{target} => "$_->{length} $_->{ended}" } $t->backend_log;
    is $arrived{$_}, '300000 whole', "a body larger than the window arrives whole: $_" for @posts;
    $client->say('close');
    $t->clean_ok;
};

subtest 'intermission_read_body: a stream comes when its body is whole' => sub {
    my $t = instance(server => 'client_body_timeout 2s;', locations => <<'END');
location / { intermission on; intermission_read_body on; proxy_pass http://backend; }
location /streamed { intermission on; intermission_read_body on; proxy_http_version 1.1; proxy_request_buffering off; proxy_pass http://backend; }
location /refuses { deny all; intermission on; intermission_read_body on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
END
    my $client = connection($t);
    my @uploads = map { ("/buffered/$_", "/streamed/$_") } 1, 2;
    $client->say("request $_ $_ 300000 " . (/1$/ ? 1000 : 290000)) for @uploads;
    $client->say('request get /refuses');
    is answer($client, 'get')->{status}, 403, 'read_body: a stream is answered while bodies of others are on their way';
    is $t->control('enable?wait=5s')->{status}, 200, 'read_body: bodies on their way are not in flight';
    $client->say('request first /first');
    $t->wait_held(1);
    my $held = 1;
    for my $upload (reverse @uploads) {
        $client->say("rest $upload");
        $t->wait_held(++$held);
    }
    $client->say('request whole /whole 5000');
    $t->wait_held(++$held);
    $client->say('request refused /refuses 5000');
    is answer($client, 'refused')->{status}, 403, 'read_body: a refused stream is answered at once';
    $client->say('request left /left 5000');
    $t->wait_held($held + 1);
    $client->say('reset left');
    $t->wait_held($held);
    is $t->logged('/left')->{intermission}, 'LEFT', 'read_body: a stream that leaves when its body was read is out of the line';
    $client->say('request reset /reset 5000 100');
    $client->say('request silent /silent 5000 100');
    $client->say('mark');
    $client->wait_event('mark');
    $client->say('reset reset');
    $t->logged($_) for '/reset', '/silent';
    is $t->logged($_)->{intermission}, '-', "read_body: a stream that leaves or stalls before its body is whole has no status: $_" for '/reset', '/silent';
    is $t->logged('/silent')->{status}, 408, 'read_body: a stream that stalls is answered with 408 by nginx';
    $t->control('disable');
    is answer($client, $_)->{status}, 200, "read_body: released: $_" for 'first', @uploads, 'whole';
    my @line = sort { $a->{position} <=> $b->{position} } $t->backend_log;
    is_deeply [map { $_->{target} } @line], ['/first', reverse(@uploads), '/whole'], 'read_body: the requests go on in the order in which their bodies were whole';
    is_deeply [map { "$_->{length} $_->{ended}" } @line], ['0 whole', ('300000 whole') x 4, '5000 whole'], 'read_body: the bodies arrive whole';
    $t->wait_state('open');
    $t->control('stop');
    $client->say('request stopped /stopped 300000 1000');
    is answer($client, 'stopped')->{status}, 503, 'read_body: a stop does not wait for a body';
    $client->say('close');
    $t->clean_ok(allow => [qr/access forbidden by rule/]);
};

subtest 'a reload or a quit ends held streams' => sub {
    my $t = instance(http => 'keepalive_timeout 2s;');
    my $client = connection($t);
    $t->control('enable');
    $client->say('request old /old');
    $t->wait_held(1);
    my $behind = $t->send('/behind');
    $t->wait_held(2);
    $t->reload;
    ok $t->wait_held(1), 'after a reload QUIC does not reach the old worker any more: its held stream leaves after keepalive_timeout';
    $t->control('disable');
    is $behind->response->{status}, 200, 'after a reload the request behind the lost stream is released';
    $t->came_ok(['/behind'], 'after a reload the lost stream does not reach the app');
    $t->wait_old_workers_gone;
    $t->wait_state('open');

    $t->control('enable');
    $client = connection($t);
    $client->say("request $_ /$_") for 'a', 'b';
    $t->wait_held(2);
    kill QUIT => $t->master;
    my $quit = answer($client, 'a');
    is_deeply [$quit->{status}, $quit->{headers}{'retry-after'}], [503, 10], 'a quit answers 503, with Retry-After';
    is answer($client, 'b')->{status}, 503, 'a quit answers the second stream of a connection 503';
    ok $t->stop, 'nginx ends after it has answered its streams';
    unlike $t->error_log, qr/\[(?:alert|crit|error|emerg)\]/, 'a quit with held streams: no alert or error in the log';
};

done_testing;
