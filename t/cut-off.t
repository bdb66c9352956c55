# worker_shutdown_timeout: nginx closes the connections of old workers, and held requests are answered just before.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Http2;
use Test::More;

my $nginx = $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx';

subtest 'a paced drain that takes longer than worker_shutdown_timeout ends with answers' => sub {
    my $t = Intermission->new(workers => 2, main => 'worker_shutdown_timeout 3s;');
    $t->control('enable');
    my $crowd = $t->crowd('--count', 40, '--expect', '200,503');
    $t->wait_held(40);
    $t->control('disable?spread=40s');
    $t->wait_for(sub { $t->status->{totals}{released} }, 'the first request to be released');
    $t->reload;
    my $done = $crowd->done;
    my ($served, $turned_away) = map { $done->{statuses}{$_} // 0 } 200, 503;
    is $served + $turned_away, 40, 'a paced drain that is cut off: all clients are answered';
    cmp_ok $served, '>', 0, 'a paced drain that is cut off: the app answers the requests that were released';
    cmp_ok $turned_away, '>', 20, 'a paced drain that is cut off: the other requests are answered with 503';
    is $t->position_inversions, 0, 'a paced drain that is cut off: the app gets them in order';
    my $totals = $t->status->{totals};
    is_deeply [@{$totals}{qw(released stopped left lost)}], [$served, $turned_away, 0, 0], 'a paced drain that is cut off: the totals say released and stopped';
    $t->wait_state('open');
    is $t->status->{last_drain}{released}, $served, 'a paced drain that is cut off: the drain is over';
    $t->clean_ok;
};

subtest 'held streams of HTTP/2 are answered before their connection is cut off' => sub {
    # Until the timeout the connection stays open. A stream whose body comes late meets the gate after the held ones were answered.
    my $t = Intermission->new(workers => 1, http2 => 1, main => 'worker_shutdown_timeout 5s;', server => 'intermission_read_body on;');
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    my $busy = $http2->request('/busy?delay=20000');
    $t->wait_backend(1);
    $t->control('enable');
    my @held = map { $http2->request("/held/$_") } 1, 2;
    my @late = map { $http2->request("/late/$_", body => 'begun', open => 1) } 1 .. 3;
    $t->wait_held(2);
    $t->reload;
    is $http2->answer($_)->{status}, 503, 'a held stream is answered before its connection is cut off' for @held;
    $http2->data($_, 'end', end => 1) for @late;
    is $http2->answer($_)->{status}, 503, 'a stream whose body comes late is answered before its connection is cut off' for @late;
    is $t->logged("/late/$_")->{intermission}, 'STOPPED', 'a late stream is logged as STOPPED' for 1 .. 3;
    $t->wait_old_workers_gone;
    is $http2->answer($busy)->{status}, 0, "nginx cuts off what is in flight after the held streams are answered";
    my $totals = $t->status->{totals};
    is_deeply [@{$totals}{qw(stopped left rejected)}], [5, 0, 0], 'the totals count the answered streams as stopped';
    $t->control('disable');
    $t->clean_ok;
};

subtest 'held requests wait as long as worker_shutdown_timeout lets them, however many days that is' => sub {
    plan skip_all => 'this nginx logs no timers' if `$nginx -V 2>&1` !~ /--with-debug/;
    my $main = 'worker_shutdown_timeout 2d; error_log @DIR@/debug.log debug;';
    my $t = Intermission->new(workers => 1, main => $main);
    $t->control('enable');
    my $held = $t->send('/');
    $t->wait_held(1);
    $t->reload;
    my $timers = Intermission::slurp($t->dir . '/debug.log');
    ok scalar($timers =~ /event timer add: -1: 172799000:/), 'a worker_shutdown_timeout of 2d: held requests are answered a second before it';
    $t->control('disable');
    is $held->response->{status}, 200, 'a worker_shutdown_timeout of 2d: a request held by an old worker is released';
    $t->clean_ok;
};

done_testing;
