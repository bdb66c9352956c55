# intermission_away with several servers: one that failed is tried again, whatever chooses among them.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::App;
use Intermission::Away;
use Intermission::Dns;
use Test::More;
use Time::HiRes qw(sleep time);

my @balancers = ('', 'least_conn;', 'ip_hash;', 'hash $request_uri;', 'hash $request_uri consistent;', 'random;', 'random two least_conn;');
my $two = 'server unix:@DIR@/gone.sock; server unix:@DIR@/app.sock;';
# Newer ones.
for my $balancer ('sticky cookie seat;', 'least_time header;', 'least_time last_byte;') {
    my ($name) = $balancer =~ /(\w+)/;
    push @balancers, $balancer if Intermission::knows($name, '', http => "upstream app { $balancer $two }");
}
for my $zone ('', 'zone', 'zone and kept connections') {
    my $what = $zone || 'no zone';
    subtest "servers that failed are tried again at once, $what" => sub {
        my ($upstreams, $locations) = ('', '');
        for my $number (0 .. $#balancers) {
            my $shared = $zone && "zone app$number 64k;";
            my $kept = $zone =~ /kept/ ? 'keepalive 8;' : '';
            $upstreams .= "upstream app$number { $shared $balancers[$number] $two $kept }\n";
            $locations .= "location /$number { intermission on; intermission_away 20s; proxy_pass http://app$number; }\n";
        }
        my $t = nginx('proxy_pass http://app0;', http => $upstreams, locations => $locations);
        my %client = map { $_ => $t->send("/$_") } 0 .. $#balancers;
        $t->wait_held(scalar @balancers);
        sleep 1;
        # Only one of the servers comes up: nginx goes on to it as ever.
        my $app = Intermission::App->new($t)->up;
        my $up = time;
        is $client{$_}->response->{status}, 200, "$what, balancer '$balancers[$_]': 200 when one of the servers is up" for 0 .. $#balancers;
        cmp_ok time - $up, '<', 3, "$what: soon, and not after fail_timeout";
        is_deeply $app->came, {map { ("/$_" => 1) } 0 .. $#balancers}, "$what: each request comes once";
        $t->clean_ok(allow => \@gone);
    };
}

for my $upstream (
    ['one server', 'server unix:@DIR@/app.sock;'],
    ['max_fails=1 and long', 'server unix:@DIR@/app.sock max_fails=1 fail_timeout=1h; server unix:@DIR@/gone.sock max_fails=1 fail_timeout=1h;'],
    ['a backup', 'server unix:@DIR@/gone.sock fail_timeout=1h; server unix:@DIR@/gone2.sock fail_timeout=1h; server unix:@DIR@/app.sock backup;'],
    ['a backup in a zone', 'zone app 64k; server unix:@DIR@/gone.sock fail_timeout=1h; server unix:@DIR@/gone2.sock fail_timeout=1h; server unix:@DIR@/app.sock backup fail_timeout=1h;'],
    ['weights', 'server unix:@DIR@/gone.sock weight=5 fail_timeout=1h; server unix:@DIR@/app.sock max_fails=3 fail_timeout=1h;'],
    ['kept connections', 'server unix:@DIR@/app.sock; keepalive 8;'],
) {
    my ($what, $servers) = @$upstream;
    subtest "an upstream with $what" => sub {
        my $t = nginx('proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";', http => "upstream app { $servers }");
        my $app = Intermission::App->new($t);
        held_until($t, $what, sub { $app->up });
        is $t->get("/up/$_")->{status}, 200, "$what: the app is up" for 1 .. 3;
        $app->down;
        # What is on a kept connection as it dies was sent.
        $t->get('/dying', timeout => 1) if $what =~ /kept/;
        my $client = $t->send('/second');
        sleep 0.3;
        ok !$client->begun, "$what: held when the app is away again";
        $app->up;
        is $client->response->{status}, 200, "$what: 200 when the app is up again";
        is $app->came->{$_}, 1, "$what: $_ comes once" for '/held', '/second';
        $t->clean_ok(allow => [@gone, qr/upstream prematurely closed|Broken pipe|reset by peer/]);
    };
}

subtest 'a server that is down by the configuration is not tried' => sub {
    my $t = nginx('proxy_pass http://app;', http => 'upstream app { server unix:@DIR@/down.sock down; server unix:@DIR@/app.sock; server unix:@DIR@/gone.sock; }');
    my $down = Intermission::App->new($t, name => 'down.sock')->up;
    my $app = Intermission::App->new($t);
    held_until($t, 'down', sub { $app->up });
    is_deeply [$app->came, $down->came], [{'/held' => 1}, {}], 'down: the request comes to the one that is not';
    $t->clean_ok(allow => \@gone);
};

SKIP: {
    my $port = Intermission::App::free_port();
    my $servers = "zone app 64k; server app.test:$port resolve fail_timeout=1h; server unix:\@DIR\@/gone.sock fail_timeout=1h;";
    my $dns = Intermission::Dns->new;
    my $http = "resolver 127.0.0.1:@{[$dns->port]} ipv6=off; upstream app { $servers }";
    skip 'this nginx does not resolve names of servers again', 1 if !eval { Intermission::knows('resolve', '', http => $http) };
    subtest 'servers whose names are resolved again' => sub {
        my $t = nginx('proxy_pass http://app;', http => $http);
        my $app = Intermission::App->new($t, port => $port);
        $t->wait_for(sub { $dns->asked }, 'a question to the name server');
        held_until($t, 'resolve', sub { $app->up });
        $t->clean_ok(allow => \@gone);
    };
}

subtest 'proxy_next_upstream off' => sub {
    my $t = nginx('proxy_pass http://app; proxy_next_upstream off;', http => 'upstream app { server unix:@DIR@/gone.sock; server unix:@DIR@/app.sock; }');
    my $app = Intermission::App->new($t);
    held_until($t, 'proxy_next_upstream off', sub { $app->up });
    is_deeply $app->came, {'/held' => 1}, 'proxy_next_upstream off: the request comes once';
    $t->clean_ok(allow => \@gone);
};

done_testing;
