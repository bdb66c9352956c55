# intermission_away with several servers: one that failed is tried again, whatever chooses among them.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::App;
use Intermission::Away;
use Test::More;
use Time::HiRes qw(sleep time);

my @balancers = ('', 'least_conn;', 'ip_hash;', 'hash $request_uri;', 'hash $request_uri consistent;', 'random;', 'random two least_conn;');
for my $zone ('', 'zone') {
    my $what = $zone || 'no zone';
    subtest "servers that failed are tried again at once, $what" => sub {
        my ($upstreams, $locations) = ('', '');
        for my $number (0 .. $#balancers) {
            my $shared = $zone && "zone app$number 64k;";
            $upstreams .= "upstream app$number { $shared $balancers[$number] server unix:\@DIR\@/gone.sock; server unix:\@DIR\@/app.sock; }\n";
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

subtest 'proxy_next_upstream off' => sub {
    my $t = nginx('proxy_pass http://app; proxy_next_upstream off;', http => 'upstream app { server unix:@DIR@/gone.sock; server unix:@DIR@/app.sock; }');
    my $app = Intermission::App->new($t);
    held_until($t, 'proxy_next_upstream off', sub { $app->up });
    is_deeply $app->came, {'/held' => 1}, 'proxy_next_upstream off: the request comes once';
    $t->clean_ok(allow => \@gone);
};

done_testing;
