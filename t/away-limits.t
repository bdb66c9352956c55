# intermission_away: what it must not do. Another server that is down holds nobody up, a pause's time is not counted, and no other
# location's time is. A place with "off" does not wait for the app.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::App;
use Intermission::Away;
use Test::More;
use Time::HiRes qw(sleep time);

my $app = 'upstream app { server unix:@DIR@/app.sock; }';
my $answering = <<'END';
server {
    listen unix:@DIR@/a.sock; access_log off;
    location /x/ { add_header X-Accel-Redirect /store/ always; return 200 "x"; }
    location /miss { return 404; }
    location / { return 200 "a"; }
}
END

for my $which ('/x/1', '/miss') {
    subtest "the app answers, and nginx asks another server, which is down: $which" => sub {
        my $t = nginx('proxy_pass http://unix:@DIR@/a.sock:; proxy_intercept_errors on; error_page 404 = @legacy;', http => $answering, locations => <<'END');
location /store/ { internal; intermission on; intermission_away 20s; proxy_pass http://unix:@DIR@/store.sock; }
location @legacy { intermission on; intermission_away 20s; proxy_pass http://unix:@DIR@/store.sock; }
END
        is $t->get($which)->{status}, 502, "$which: nginx answers at once";
        is $t->status->{state}, 'open', "$which: the app is not away";
        is $t->get("/fine/$_")->{status}, 200, "$which: others of the app pass" for 1 .. 3;
        $t->clean_ok(allow => \@gone);
    };
}

subtest 'max_time is over in a pause for one that came back: it is tried once' => sub {
    my $t = nginx('set $intermission_max_time 2; proxy_pass http://app;', http => $app);
    my $client = $t->send('/a');
    $t->wait_held(1);
    $t->control('enable');
    is $client->response->{status}, 502, 'max_time: the answer that nginx has';
    is $t->status->{totals}{expired}, 1, 'max_time: it expires once';
    $t->control('disable');
    $t->clean_ok(allow => \@gone);
};

subtest "a location's time is not that of another one whose requests are gone" => sub {
    my $t = nginx('proxy_pass http://app;', http => $app, locations => 'location /short { intermission on; intermission_away 1s; proxy_pass http://app; }');
    is $t->get('/short')->{status}, 502, 'short: 502 after a second';
    $t->wait_state('open');
    my $client = $t->send('/long');
    $t->wait_held(1);
    sleep 2.5;
    ok !$client->begun, 'long: held beyond the time of the other location';
    my $up = Intermission::App->new($t)->up;
    is $client->response->{status}, 200, 'long: 200 when the app is up';
    $t->clean_ok(allow => \@gone);
};

subtest 'a pause does not count against the time' => sub {
    my $t = nginx('proxy_pass http://app;', http => $app, workers => 2, locations => 'location /p { intermission on; intermission_away 3s; proxy_pass http://app; }');
    my $first = $t->send('/p/1');
    $t->wait_held(1);
    $t->control('enable');
    my $second = $t->send('/p/2');
    sleep 4;
    $t->control('disable');
    sleep 1;
    ok !$_->begun, 'after a pause: held again' for $first, $second;
    my $up = Intermission::App->new($t)->up;
    is $_->response->{status}, 200, 'after a pause: 200 when the app is up' for $first, $second;
    is_deeply [$up->order], ['/p/1', '/p/2'], 'after a pause: in order';
    $t->clean_ok(allow => \@gone);
};

my $off = 'location /off/ { intermission on; intermission_away off; proxy_pass http://app; }';

subtest 'a place with "off" does not wait for an app that is away' => sub {
    my $t = nginx('proxy_pass http://app;', http => $app, workers => 2, locations => $off);
    my $away = $t->send('/away');
    $t->wait_state('away');
    is $t->get('/off/1')->{status}, 502, 'off: answered at once while the app is away';
    $away->close;
    $t->wait_state('open');
    $t->control('enable');
    my @held;
    for my $target ('/off/2', '/a', '/off/3', '/b') {
        push @held, $t->send($target);
        $t->wait_held(scalar @held);
    }
    $t->control('disable');
    is +(shift @held)->response->{status}, 502, 'off, held by a pause: answered when its turn comes';
    $t->wait_state('away');
    my $up = Intermission::App->new($t)->up;
    is $_->response->{status}, 200, 'those behind it: 200 when the app is up' for @held;
    is_deeply [$up->order], ['/a', '/off/3', '/b'], 'those behind it: in order';
    $t->clean_ok(allow => \@gone);
};

subtest 'a request of a place with "off" that gets through shows that the app is back' => sub {
    my $t = nginx('proxy_pass http://app;', http => $app, workers => 2, locations => $off);
    $t->control('enable');
    my $first = $t->send('/a');
    $t->wait_held(1);
    my @slow;
    for my $n (1 .. 4) {
        push @slow, $t->send("/off/$n?delay=1000");
        $t->wait_held(1 + $n);
    }
    $t->control('disable');
    $t->wait_state('away');
    my $up = Intermission::App->new($t)->up;
    $first->close;
    my $began = time;
    is $_->response->{status}, 200, 'off: 200' for @slow;
    cmp_ok time - $began, '<', 3, 'off: side by side, not one after the other';
    $t->clean_ok(allow => \@gone);
};

done_testing;
