# The warnings while an app is paused, and what the log says when nginx quits.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $locations = <<'END';
set $app_name $arg_app;
set $intermission_max_time $arg_max;
set $intermission_privileged_user_agent "Pingdom";
location / { intermission on; proxy_pass http://backend; }
location /up { intermission on; proxy_pass http://away; error_page 502 = @down; }
location /down { intermission on; proxy_pass http://away; }
location /coded { intermission on; intermission_expired 504; proxy_pass http://backend; }
location /says/503 { intermission on; proxy_pass http://own; }
location @down { return 503; }
location /_intermission { intermission_control apps=*; }
END
my $own = 'server { listen unix:@DIR@/own.sock; location / { return 503; } }';
my %conf = (
    workers => 2, locations => $locations,
    http => "upstream away { server unix:\@DIR\@/none.sock max_fails=0; }\nupstream own { server unix:\@DIR\@/own.sock; }\n$own\n",
);

sub lines {
    my ($t, $pattern) = @_;
    return grep { /$pattern/ } split /\n/, $t->error_log;
}

subtest 'bypassed requests that fail while the app is not open are counted in a warning' => sub {
    my $t = Intermission->new(%conf);
    $t->get('/up?app=a');
    $t->get('/down?app=a', headers => {'User-Agent' => 'Pingdom'});
    is scalar(lines($t, qr/bypassed/)), 0, "an open app's failed requests are not warned of";
    $t->control('enable?app=a');
    $t->control('enable?app=b');
    $t->get('/says/503?app=a', headers => {'User-Agent' => 'Pingdom'});
    $t->get('/ok?app=a', headers => {'User-Agent' => 'Pingdom'});
    is scalar(lines($t, qr/bypassed/)), 0, 'a 502 of the app itself is not warned of';
    $t->get('/up?app=a') for 1 .. 10;
    $t->wait_log(qr/\[warn\].*app "a": nginx answered 1 bypassed request with 502, 503 or 504 while the app was not open/);
    $t->wait_for(sub { $t->get('/down?app=a', headers => {'User-Agent' => 'Pingdom'}); lines($t, qr/bypassed/) > 1 }, 'the next line about bypassed requests');
    my ($count) = (lines($t, qr/\[warn\].*bypassed/))[1] =~ /app "a": nginx answered (\d+) bypassed/;
    cmp_ok $count, '>=', 10, 'failed requests that bypassed the pause are all counted, in a line a second';
    is scalar(lines($t, qr/app "b": .*bypassed/)), 0, "another app's log has no failed requests";
    $t->control("disable?app=$_") for 'a', 'b';
    $t->clean_ok(apps => ['a', 'b'], allow => [qr/connect\(\) to unix:.*none\.sock failed/]);
};

subtest 'expired requests that go on to a paused app are counted in a warning' => sub {
    my $t = Intermission->new(%conf);
    $t->control('enable?app=a');
    is $t->get('/?app=a&max=0.1')->{status}, 200, 'a request that expires in the pause goes on to the app';
    $t->wait_log(qr/\[warn\].*app "a": nginx passed 1 expired request on to the app, although it is paused/);
    $t->control('enable?app=b');
    is $t->get('/coded?app=b&max=0.1')->{status}, 504, 'a request that expires with a code is answered';
    $t->wait_log(qr/\[warn\].*app "b": 1 request expired,/);
    is scalar(lines($t, qr/app "b": .*although/)), 0, 'an answered request is not warned of';
    $t->control("disable?app=$_") for 'a', 'b';
    $t->clean_ok(apps => ['a', 'b']);
};

subtest 'a quit in the middle of pauses: the log counts the answered requests' => sub {
    my $t = Intermission->new(%conf);
    $t->control("enable?app=$_") for 'a', 'b', 'c';
    $t->control('stop?app=d');
    $t->get('/?app=d');
    my @held = map { $t->send("/$_?app=" . ($_ % 3 ? 'a' : 'b')) } 1 .. 30;
    $t->wait_held(20, app => 'a');
    $t->wait_held(10, app => 'b');
    $t->reload;
    push @held, map { $t->send("/new/$_?app=a") } 1 .. 5;
    $t->wait_held(25, app => 'a');
    ok $t->end_nginx(signal => 'QUIT'), 'nginx quits in the middle of pauses';
    is scalar(grep { $_->response->{status} == 503 } @held), 35, 'nginx quits in the middle of pauses: all are answered with 503';
    like $t->error_log, qr/\[notice\].*app "a": nginx quits while the app is paused: it answered 25 held requests with 503/, 'nginx quits: the log says how many of app a were answered';
    like $t->error_log, qr/\[notice\].*app "b": nginx quits while the app is paused: it answered 10 held requests with 503/, 'nginx quits: the log says how many of app b were answered';
    is scalar(lines($t, qr/nginx quits while the app is paused/)), 2, 'nginx quits: one line for each app that held requests';
    $t->stop;
    my @bad = lines($t, qr/\[(?:emerg|alert|crit|error)\]/);
    is_deeply \@bad, [], 'the log has no errors';
};

done_testing;
