# intermission_away with all that passes requests on, with names, caches and other directives of a place.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Answerer;
use Intermission::App;
use Intermission::Away;
use Intermission::Dns;
use Test::More;
use Time::HiRes 'sleep';

sub fastcgi_record { pack('C2 n2 C2', 1, $_[0], 1, length $_[1], 0, 0) . $_[1] }

my $cgi = "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nok";
my %protocols = (
    fastcgi => [
        'fastcgi_pass unix:@DIR@/app.sock;', qr/\x01\x05\x00\x01\x00\x00..\z/s,
        fastcgi_record(6, $cgi) . fastcgi_record(6, '') . fastcgi_record(3, "\0" x 8),
    ],
    uwsgi     => ['uwsgi_pass unix:@DIR@/app.sock;', qr/./s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
    scgi      => ['scgi_pass unix:@DIR@/app.sock;', qr/,/, $cgi],
    memcached => ['set $memcached_key key; memcached_pass unix:@DIR@/app.sock;', qr/\r\n/, "VALUE key 0 2\r\nok\r\nEND\r\n"],
);
for my $protocol (sort keys %protocols) {
    my ($location, $until, $bytes) = @{$protocols{$protocol}};
    subtest "a request by $protocol is held" => sub {
        my $t = nginx($location);
        my ($answer, $server) = held_until($t, $protocol, sub {
            return Intermission::Answerer->new(listen => 'unix:' . $t->dir . '/app.sock', until => $until, answer => sub { $bytes });
        });
        is $answer->{body}, 'ok', "$protocol: the answer is the app's";
        is $server->came, 1, "$protocol: the request comes once";
        $t->clean_ok(allow => \@gone);
    };
}

subtest 'a request by gRPC and by https is held' => sub {
    my $tls = Intermission->new(workers => 1);
    my $file = $tls->dir . '/tls';
    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout $file.key -out $file.pem 2>/dev/null") == 0
        or die 'openssl req';
    # Both apps are this nginx itself, as soon as a link leads to their socket.
    my $t = nginx('grpc_pass grpc://unix:@DIR@/grpc.app;', http => <<"END", locations => <<'END');
server { listen unix:\@DIR\@/grpc.sock http2; location / { return 200 grpc; } }
server { listen unix:\@DIR\@/tls.sock ssl; ssl_certificate $file.pem; ssl_certificate_key $file.key; location / { return 200 tls; } }
END
location /tls { intermission on; intermission_away 20s; proxy_pass https://unix:@DIR@/tls.app; }
END
    my $dir = $t->dir;
    chmod 0777, "$dir/grpc.sock", "$dir/tls.sock";
    my ($answer) = held_until($t, 'gRPC', sub { symlink "$dir/grpc.sock", "$dir/grpc.app" }, body => 'x' x 100_000);
    is $answer->{body}, 'grpc', 'gRPC: the answer is the app\'s';
    ($answer) = held_until($t, 'https', sub { symlink "$dir/tls.sock", "$dir/tls.app" }, target => '/tls', log => qr/tls\.app/);
    is $answer->{body}, 'tls', 'https: the answer is the app\'s';
    $_->clean_ok(allow => \@gone) for $t, $tls;
};

subtest 'a TLS handshake that fails is no answer' => sub {
    my $t = nginx('proxy_pass https://unix:@DIR@/app.sock;');
    my $path = $t->dir . '/app.sock';
    my $closing = Intermission::Answerer->new(listen => "unix:$path", until => qr/./s, answer => sub { 'no TLS' });
    my $client = $t->send('/held', body => 'x');
    $t->wait_for(sub { $closing->came > 2 }, 'three handshakes');
    ok !$client->begun, 'a request whose TLS handshake fails is held';
    $client->close;
    $t->clean_ok(allow => [qr/peer closed connection in SSL handshake|SSL_do_handshake|connect\(\)/]);
};

SKIP: {
    skip 'this nginx makes no tunnels', 1 if !Intermission::knows('tunnel_pass', 'location /t { tunnel_pass unix:/x; }');
    subtest 'a CONNECT is held' => sub {
        my $t = nginx('tunnel_pass unix:@DIR@/app.sock;');
        my $client = $t->send('', raw => "CONNECT app.test:80 HTTP/1.1\r\nHost: app.test:80\r\n\r\n");
        $t->wait_log($gone[0]);
        sleep 0.3;
        ok !$client->begun, 'CONNECT: held while the app is away';
        my $server = Intermission::Answerer->new(listen => 'unix:' . $t->dir . '/app.sock', until => qr/hello/, answer => sub { 'hello too' });
        $t->wait_for(sub { $client->begun }, 'the tunnel to open');
        $client->write('hello');
        is $client->response->{body}, 'hello too', 'CONNECT: the tunnel leads to the app';
        $t->clean_ok(allow => \@gone);
    };
}

my $port = Intermission::App::free_port();
for my $bind (['a literal', '127.0.0.7', '127.0.0.7'], ['a variable', '$arg_from', '127.0.0.8'], ['an empty variable', '$arg_none', '127.0.0.1'], ['off', 'off', '127.0.0.1']) {
    my ($what, $value, $from) = @$bind;
    subtest "the operator's proxy_bind is kept: $what" => sub {
        my $t = nginx("proxy_pass http://127.0.0.1:$port; proxy_bind $value;");
        my ($answer, $server) = held_until($t, "proxy_bind, $what", sub {
            return Intermission::Answerer->new(listen => "127.0.0.1:$port", until => qr/\r\n\r\n/, answer => sub {
                my $host = $_[0]->peerhost;
                return "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($host) . "\r\n\r\n$host";
            });
        }, target => '/held?from=127.0.0.8');
        is $answer->{body}, $from, "proxy_bind, $what: the connection comes from $from";
        is $t->get('/at-once?from=127.0.0.8')->{body}, $from, "proxy_bind, $what: that of a request that is not held, too";
        $t->clean_ok(allow => \@gone);
    };
}

subtest 'the name of an app in variables' => sub {
    my $dns = Intermission::Dns->new(ttl => 1);
    my $t = nginx('proxy_pass http://$arg_app;', http => "resolver 127.0.0.1:@{[$dns->port]} ipv6=off; resolver_timeout 500ms; upstream app { server unix:\@DIR\@/app.sock; }");
    my $app = Intermission::App->new($t);
    my $tcp = Intermission::App->new($t, port => $port);
    held_until($t, 'an upstream by a variable', sub { $app->up }, target => '/held?app=app');
    held_until($t, 'an address by a variable', sub { $tcp->up }, target => "/address?app=127.0.0.1:$port", log => qr/$gone[0].*address/);
    $tcp->down;
    held_until($t, 'a name by a variable', sub { $tcp->up }, target => "/name?app=app.test:$port", log => qr/$gone[0].*name/);
    $dns->freeze;
    sleep 1.5;
    held_until($t, 'a name that is not resolved', sub { $dns->thaw }, target => "/unknown?app=other.test:$port", log => qr/other.test could not be resolved/);
    is $tcp->came->{"/unknown?app=other.test:$port"}, 1, 'a name that is not resolved: the request comes once';
    $t->clean_ok(allow => \@gone);
};

for my $way (['a variable', ''], ['resolve', 'zone app 64k; server app.test:PORT resolve;']) {
    my ($what, $servers) = @$way;
    subtest "a container is replaced: its name is gone, and comes back with another address: $what" => sub {
        my $dns = Intermission::Dns->new(ttl => 1);
        my $http = "resolver 127.0.0.1:@{[$dns->port]} valid=1s ipv6=off; resolver_timeout 2s; " . ($servers && "upstream app { $servers }" =~ s/PORT/$port/r);
        plan skip_all => 'this nginx does not resolve names of servers again' if $servers && !eval { Intermission::knows('resolve', '', http => $http) };
        my $t = nginx($servers ? 'proxy_pass http://app;' : "set \$app http://app.test:$port; proxy_pass \$app;", http => $http);
        my ($old, $new) = map { Intermission::App->new($t, port => $port, address => $_, name => $_) } '127.0.1.1', '127.0.1.2';
        $dns->moved('127.0.1.1');
        $old->up;
        $t->wait_for(sub { $t->get('/old', timeout => 5)->{status} == 200 }, 'the old container to answer');
        $dns->gone;
        $old->down;
        my @client = map { $t->send("/held/$_", body => 'x' x 100_000) } 1 .. 5;
        $t->wait_for(sub { $dns->asked; $t->status->{held} == 5 }, '5 requests to be held');
        # nginx has forgotten the old address by then.
        $t->wait_log(qr/could not be resolved \(3: Host not found\)/);
        sleep 1.5;
        ok !(grep { $_->begun } @client), "$what: held while the name is gone";
        $new->up;
        $dns->moved('127.0.1.2');
        is_deeply [map { $_->response->{status} } @client], [(200) x 5], "$what: 200 when the new container is there";
        is_deeply $new->came, {map { ("/held/$_" => 1) } 1 .. 5}, "$what: each request comes to it once";
        $t->clean_ok(allow => \@gone);
    };
}

subtest 'try_files that leads to the app' => sub {
    my $t = nginx('try_files /none @app;', http => 'upstream app { server unix:@DIR@/app.sock; }',
        locations => 'location @app { intermission on; intermission_away 20s; proxy_pass http://app; }');
    my $app = Intermission::App->new($t);
    held_until($t, 'try_files', sub { $app->up });
    is_deeply $app->came, {'/held' => 1}, 'try_files: the request comes once';
    $t->clean_ok(allow => \@gone);
};

for my $cache ('', 'proxy_cache_lock on;', 'proxy_cache_lock on; proxy_cache_lock_timeout 1s;') {
    my $what = $cache || 'no lock';
    subtest "a cache with $what" => sub {
        my $t = nginx("proxy_pass http://app; proxy_cache c; proxy_cache_valid any 1m; $cache", http => 'proxy_cache_path @DIR@/cache keys_zone=c:1m; upstream app { server unix:@DIR@/app.sock; }');
        my $app = Intermission::App->new($t);
        my @client = map { $t->send('/same') } 1 .. 5;
        held_until($t, "cache, $what", sub { $app->up }, target => '/same');
        is_deeply [map { $_->response->{status} } @client], [(200) x 5], "cache, $what: all are answered";
        is $app->came->{'/same'}, 1, "cache, $what: the app is asked once" if $cache eq 'proxy_cache_lock on;';
        $app->down;
        is $t->get('/same')->{status}, 200, "cache, $what: the answer is in the cache, and not the error";
        $t->clean_ok(allow => \@gone);
    };
}

subtest 'an expired answer of the cache is served as nginx does' => sub {
    my $t = nginx('proxy_pass http://app; proxy_cache c; proxy_cache_valid any 1s; proxy_cache_use_stale error;', http => 'proxy_cache_path @DIR@/cache keys_zone=c:1m; upstream app { server unix:@DIR@/app.sock; }');
    my $app = Intermission::App->new($t)->up;
    is $t->get('/stale')->{status}, 200, 'use_stale: the answer comes into the cache';
    $app->down;
    sleep 2.1;
    is $t->get('/stale')->{status}, 200, 'use_stale: the expired answer is served at once';
    $t->clean_ok(allow => \@gone);
};

subtest 'gzip and SSI of a held request' => sub {
    my $t = nginx('gzip on; gzip_types *; gzip_min_length 1; ssi on; ssi_types *; proxy_pass http://app;', http => 'upstream app { server unix:@DIR@/app.sock; }');
    my $app = Intermission::App->new($t);
    my ($answer) = held_until($t, 'gzip and SSI', sub { $app->up }, target => '/held?size=5000', headers => {'Accept-Encoding' => 'gzip'});
    is $answer->{headers}{'content-encoding'}, 'gzip', 'the answer is compressed';
    $t->clean_ok(allow => \@gone);
};

done_testing;
