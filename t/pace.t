# A drain at a pace: spread evenly over a time, with a limit on unfinished requests, or both.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;
use Time::HiRes ();

my $control = <<'END';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; proxy_http_version 1.1; proxy_read_timeout 60s;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection; proxy_buffering off; }
location /_intermission { intermission_control; }
location /slow { intermission_control; intermission_release spread=1s concurrency=50; }
END

sub held {
    my ($t, $count, @more) = @_;
    $t->control('enable');
    my $crowd = $t->crowd('--count', $count, @more);
    $t->wait_held($count, seconds => 20);
    return $crowd;
}

subtest 'spread releases evenly over a time' => sub {
    my $t = Intermission->new(workers => 4, locations => $control);
    my $crowd = held($t, 300);
    my $start = Time::HiRes::time();
    is $t->control('disable?spread=2s')->{status}, 200, 'disable with a spread: 200';
    is $t->control('disable?spread=2s')->{status}, 304, 'disable with the same spread in the drain: 304';
    is $t->status->{state}, 'draining', 'disable with a spread: the app drains';
    is $crowd->done->{statuses}{200}, 300, 'disable with a spread: all are served';
    my $took = Time::HiRes::time() - $start;
    cmp_ok $took, '>=', 1.9, sprintf 'disable with a spread takes no less time: %.3f s', $took;
    cmp_ok $took, '<', 12, 'disable with a spread takes little more time';
    is $t->position_inversions, 0, 'disable with a spread: released in order';
    my @times = map { $_->{time} / 1e6 - $start } $t->backend_log;
    my $half = (grep { $_ < 1 } @times) / @times;
    cmp_ok abs($half - 0.5), '<', 0.2, sprintf 'disable with a spread: %.0f %% of the requests in the first half of the time', 100 * $half;
    $t->clean_ok;
};

subtest 'concurrency limits how many released requests are unfinished' => sub {
    my $t = Intermission->new(workers => 4, locations => $control, backend => ['--delay', 50]);
    my $crowd = held($t, 60);
    $t->control('disable?concurrency=5');
    is $crowd->done->{statuses}{200}, 60, 'disable with concurrency: all are served';
    my @times = sort { $a <=> $b } map { $_->{time} / 1e6 } $t->backend_log;
    my $most = 0;
    for my $i (0 .. $#times) {
        my $together = grep { $_ >= $times[$i] && $_ < $times[$i] + 0.045 } @times;
        $most = $together if $together > $most;
    }
    cmp_ok $most, '<=', 5, "disable with concurrency=5: never more than five at a time: $most";
    is $t->position_inversions, 0, 'disable with concurrency: released in order';
    $t->clean_ok;
};

subtest 'a pace can be changed in the drain' => sub {
    my $t = Intermission->new(workers => 4, locations => $control);
    my $crowd = held($t, 200);
    $t->control('disable?spread=1h');
    is $t->control('disable?spread=0')->{status}, 200, 'a spread can be removed in the drain';
    is $crowd->done->{statuses}{200}, 200, 'a spread that is removed in the drain: all are served';

    $crowd = held($t, 200);
    $t->control('disable?concurrency=1&spread=1h');
    is $t->control('disable?spread=0')->{status}, 200, 'disable in the drain can remove the spread and keep the concurrency';
    is $crowd->done->{statuses}{200}, 200, 'the spread is removed: all are served at the concurrency that is left';
    $t->wait_state('open');

    $t->control('enable?for=300ms', at => '/slow');
    my $later = $t->crowd('--count', 100);
    $t->wait_held(100);
    my $start = Time::HiRes::time();
    is $later->done->{statuses}{200}, 100, "the pace of the control location is kept with the pause";
    cmp_ok Time::HiRes::time() - $start, '>=', 0.9, 'the end of a lease releases at the pace of the pause';
    $t->clean_ok;
};

subtest 'new requests behind a paced drain go on at a pace too' => sub {
    # Each further round is twice as fast as the one before, until the line is empty.
    my $t = Intermission->new(workers => 2, locations => $control);
    my $crowd = held($t, 100);
    $t->control('disable?spread=1s');
    my $load = $t->crowd('--count', 1000, '--first', 100, '--rate', 400, '--path', '/late/{i}');
    is $crowd->done->{answered}, 100, 'a paced drain: the requests held by the pause are served';
    is $t->status->{state}, 'draining', 'a paced drain: new requests behind it are released at a pace too';
    is $load->done->{statuses}{200}, 1000, 'a paced drain: new requests behind it are served';
    $t->wait_state('open');
    is $t->ticket_inversions, 0, 'a paced drain: released in order';
    $t->clean_ok;
};

subtest 'a client that leaves, or a worker that dies, lets the next request go' => sub {
    my $t = Intermission->new(workers => 2, locations => $control, backend => ['--delay', 800]);
    my $crowd = held($t, 8, '--path', '/r/{i}', '--leave', 0.5, '--leave-on-stdin');
    $t->control('disable?concurrency=2');
    $t->wait_backend(2);
    $crowd->say('leave');
    $crowd->wait_event('left');
    my $start = Time::HiRes::time();
    is $crowd->done->{answered}, 4, 'some released clients leave: the others are served';
    cmp_ok Time::HiRes::time() - $start, '<', 20, 'some released clients leave: others go at once';
    $t->wait_state('open');

    $crowd = held($t, 20);
    $t->control('disable?concurrency=2');
    $t->wait_for(sub { $t->status->{held} <= 18 }, 'two requests to be released');
    $t->kill_worker(($t->workers)[0]);
    my $done = $crowd->done;
    is $done->{timed_out}, 0, 'a worker with released requests dies: the others are served';
    $t->clean_ok(killed_process => 1);
};

subtest 'WebSockets and streams without end let the next request go' => sub {
    # A WebSocket counts until it is upgraded, a stream without end for ten seconds.
    my $t = Intermission->new(workers => 2, locations => $control);
    $t->control('enable');
    my @sockets = map { $t->send("/socket/$_", headers => {Upgrade => 'websocket', Connection => 'upgrade'}) } 1 .. 6;
    $t->wait_held(6);
    $t->control('disable?concurrency=2');
    is $_->response->{status}, 101, 'disable with concurrency: each WebSocket is released' for @sockets;
    $t->wait_state('open');
    $_->close for @sockets;

    $t->control('enable');
    my @streams = map { $t->send("/stream/$_?delay=30000") } 1 .. 2;
    $t->wait_held(2);
    my $last = $t->send('/last');
    $t->wait_held(3);
    $t->control('disable?concurrency=2');
    is $last->response(25)->{status}, 200, 'disable with concurrency: a request without end lets the next one go after ten seconds';
    $_->close for @streams;
    $t->clean_ok;
};

done_testing;
