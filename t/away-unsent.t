# intermission_away: a connection stood, and broke before nginx had sent a byte on it: the app never saw that request either.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::App;
use Intermission::Away;
use Test::More;
use Time::HiRes 'sleep';

my $broken = qr/Broken pipe|reset by peer|SSL_write\(\) failed/;
my $place = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass';
my $upstream = 'upstream app { server unix:@DIR@/app.sock; keepalive 8; }';

# In one turn a worker meets a request, and the end of the app, in this order: so it sends the request on a connection that it has kept,
# and that is closed. Seldom it meets the end first, because something else was about that connection. Returns the client.
sub meet_the_end {
    my ($t, $down, $target, %request) = @_;
    my $client = $t->send('/warm', keepalive => 1);
    is $client->response->{status}, 200, "$target: a connection to the app is kept";
    # The worker has seen by then all that is about that connection.
    $t->status;
    my ($worker) = $t->workers;
    $t->freeze($worker);
    $client->request($target, keepalive => 1, %request);
    $down->();
    kill CONT => $worker;
    $t->wait_log(qr/$broken|$gone[0]/);
    return $client;
}

for my $way (['GET', 'none'], ['POST', 'in memory', 5_000], ['POST', 'in a file', 100_000], ['PUT', 'in memory', 5_000]) {
    my ($method, $body, $size) = @$way;
    my $what = "$method, body $body";
    subtest "a connection that was kept is closed: $what" => sub {
        my $t = nginx("$place http://app;", http => $upstream);
        my $app = Intermission::App->new($t)->up;
        my $client = meet_the_end($t, sub { $app->down }, '/held', method => $method, $size ? (body => 'x' x $size) : ());
        $t->wait_state('away');
        sleep 0.3;
        ok !$client->begun, "$what: held";
        unlike $t->error_log, qr/back after/, "$what: a connection that broke is no sign of the app";
        $app->up;
        is $client->response->{status}, 200, "$what: 200 when the app is up";
        is_deeply $app->came, {'/warm' => 1, '/held' => 1}, "$what: the request comes once";
        is $app->bodies->{'/held'}, ($size // 0) . ' whole', "$what: the body comes whole";
        $client->close;
        $t->clean_ok(allow => [@gone, $broken]);
    };
}

my $keys = File::Temp->newdir;
system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout $keys/key -out $keys/pem 2>/dev/null") == 0
    or die 'openssl req';
for my $way (
    ['TLS', "ssl; ssl_certificate $keys/pem; ssl_certificate_key $keys/key", "$place https://app;"],
    ['gRPC', 'http2', 'grpc_pass grpc://app;'],
    ['gRPC over TLS', "ssl http2; ssl_certificate $keys/pem; ssl_certificate_key $keys/key", 'grpc_pass grpcs://app;'],
) {
    my ($what, $listen, $location) = @$way;
    subtest "a connection that was kept is closed: $what" => sub {
        my $server = Intermission->new(workers => 1, with_module => 0, http => <<"NGINX");
server {
    listen unix:\@DIR\@/app.sock $listen; access_log off;
    location / { proxy_pass http://backend; }
}
NGINX
        my $dir = $server->dir;
        my $up = sub { chmod 0777, "$dir/app.sock" };
        $up->();
        my $t = nginx($location, http => "upstream app { server unix:$dir/app.sock; keepalive 8; }");
        my $client = meet_the_end($t, sub { $server->end_nginx(signal => 'TERM') }, '/held', body => 'x' x 5_000);
        $t->wait_state('away');
        sleep 0.3;
        ok !$client->begun, "$what: held";
        $server->start_nginx;
        $up->();
        is $client->response->{status}, 200, "$what: 200 when the app is up";
        is_deeply [map { "$_->{target} $_->{length} $_->{ended}" } $server->backend_log], ['/warm 0 whole', '/held 5000 whole'], "$what: the request comes once, and whole";
        $client->close;
        $t->clean_ok(allow => [@gone, $broken]);
        $server->clean_ok;
    };
}

subtest 'a body that is not buffered was taken from the client to be sent: nginx answers' => sub {
    my ($t, $app, $client);
    my $part = "POST /lost HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n" . 'x' x 1000;
    for (1 .. 5) {
        $t = nginx("proxy_request_buffering off; $place http://app;", http => $upstream);
        $app = Intermission::App->new($t)->up;
        $client = meet_the_end($t, sub { $app->down }, '/lost', raw => $part);
        last if $t->error_log =~ $broken;
    }
    is $client->response->{status}, 502, 'not buffered: 502 at once';
    $app->up;
    is_deeply $app->came, {'/warm' => 1}, 'not buffered: the request never comes';
    $client->close;
    $t->clean_ok(allow => [@gone, $broken]);
};

done_testing;
