# disable?wait= is answered when the last held request has gone out.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my $t = Intermission->new(workers => 4, locations => <<'END_OF_CONF');
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
location /paced { intermission_control; intermission_release spread=1s; }
END_OF_CONF

# Sends this many requests, and waits until they are held in this order.
sub held {
    my ($number) = @_;
    my @held;
    for (1 .. $number) {
        push @held, $t->send("/held/$_");
        $t->wait_held($_);
    }
    return @held;
}

# How many requests were released up to now.
sub released { return $t->status->{totals}{released} }

sub reopen {
    $t->control('disable?spread=0&concurrency=0');
    $t->wait_state('open');
}

sub answered_well {
    my ($what, @clients) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is scalar(grep { $_->response->{status} == 200 } @clients), scalar @clients, $what;
}

subtest 'disable?wait= with no held request is answered at once' => sub {
    $t->control('enable');
    my $start = time;
    my $answer = $t->control('disable?wait=60s', timeout => 20);
    is $answer->{status}, 200, 'no request is held: disable?wait= is answered with 200';
    like $answer->{body}, qr/^Pause disabled\.\napp "/, 'no request is held: disable?wait= answers Pause disabled';
    cmp_ok time - $start, '<', 10, 'no request is held: disable?wait= does not wait for its time to pass';
    is $t->control('disable?wait=60s', timeout => 20)->{status}, 304, 'disable?wait= of an open app: 304';
};

subtest 'disable?wait= is answered when all held requests are released' => sub {
    my $before = released();
    $t->control('enable');
    my $crowd = $t->crowd('--count', 500);
    $t->wait_held(500, seconds => 20);
    my $answer = $t->control('disable?wait=60s&format=json', timeout => 30);
    is $answer->{status}, 200, '500 held: disable?wait= is answered with 200';
    is released() - $before, 500, 'disable?wait= is answered when all 500 are released';
    my $status = eval { decode_json($answer->{body}) } // {};
    is_deeply [@$status{qw(state held)}], ['open', 0], 'disable?wait= says in JSON that the app is open and no request is held';
    is $status->{last_drain}{released}, 500, 'disable?wait= tells how many the drain has released';
    is $crowd->done->{statuses}{200}, 500, 'all 500 held clients are served';
    ok $t->wait_log(qr/\[notice\].*app "basecamp": drained, 500 released in \d+\.\d{3} s/), 'the log tells how many were drained';
};

subtest 'disable?wait= with a pace waits for the whole drain' => sub {
    my $before = released();
    $t->control('enable');
    my @held = held(6);
    my $start = time;
    my $caller = $t->send('/_intermission/disable?wait=60s&spread=1s');
    my $answer = $caller->response(20);
    cmp_ok time - $start, '>=', 0.7, sprintf 'disable?wait= with spread=1s takes its time: %.3f s', time - $start;
    is $answer->{status}, 200, 'disable?wait= with spread=1s is answered with 200';
    is released() - $before, 6, 'disable?wait= with spread=1s is answered when all are released';
    answered_well('all held requests are served', @held);

    $t->control('enable', at => '/paced');
    @held = held(6);
    $start = time;
    is $t->control('disable?wait=60s', timeout => 20)->{status}, 200, "disable?wait= with the pause's own pace is answered with 200";
    cmp_ok time - $start, '>=', 0.7, sprintf "disable?wait= with the pause's own pace takes its time: %.3f s", time - $start;
    answered_well('all held requests are served', @held);

    $t->control('enable');
    @held = map { $t->send("/held/$_?delay=200") } 1 .. 4;
    $t->wait_held(4);
    is $t->control('disable?wait=60s&concurrency=2', timeout => 20)->{status}, 200, 'disable?wait= with concurrency=2 is answered with 200';
    answered_well('all held requests are served', @held);
};

subtest 'disable?wait= too late: 504 with how many are still held, and the drain goes on' => sub {
    $t->control('enable');
    my @held = held(5);
    my $answer = $t->control('disable?wait=300ms&spread=1h');
    is $answer->{status}, 504, 'a drain takes longer than wait=: 504';
    my ($left) = $answer->{body} =~ /^(\d+) requests are still held$/m;
    is $left, $t->status->{held}, 'the answer tells how many are still held' or diag $answer->{body};
    is $t->status->{state}, 'draining', 'after the 504 the drain goes on';
    is $t->control('disable?spread=1h')->{status}, 304, 'after the 504 the drain has the same pace';
    my $json = $t->control('disable?wait=100ms&spread=1h&format=json');
    is $json->{status}, 504, 'disable?wait= of a drain that has begun: 504';
    like eval { decode_json($json->{body})->{error} } // '', qr/^\d+ requests are still held/, 'disable?wait= too late in JSON: an error with how many are held';
    my $caller = $t->send('/_intermission/disable?wait=60s');
    # Nothing tells that it waits; once the app is open, it would be answered with 304.
    sleep 0.5;
    reopen();
    is $caller->response->{status}, 200, 'the pace is removed: the caller that waits is answered';
    answered_well('no held client sees an error', @held);
    $t->came_ok([map { "/held/$_" } 1 .. 5], 'the pace is removed: the rest is released in order', after => $t->backend_log - 5);
};

subtest 'disable?wait=, paused again or stopped meanwhile: 409' => sub {
    $t->control('enable');
    my @held = held(5);
    my $caller = $t->send('/_intermission/disable?wait=60s&spread=1h');
    $t->wait_state('draining');
    is $t->control('enable')->{status}, 200, 'enable during a drain is answered with 200';
    my $answer = $caller->response;
    is $answer->{status}, 409, 'enable during a drain: the caller of disable?wait= is answered with 409';
    like $answer->{body}, qr/changed or ended the pause or drain while this call waited/, 'the 409 says that another caller paused';
    is $t->status->{state}, 'paused', 'enable during a drain: the pause goes on';
    $caller = $t->send('/_intermission/disable?wait=60s&spread=1h');
    $t->wait_state('draining');
    my $provisional = $t->send('/_intermission/enable?wait=60s');
    is $caller->response->{status}, 409, 'enable?wait= during a drain: the caller of disable?wait= is answered with 409';
    is $provisional->response->{status}, 200, 'enable?wait= during a drain is answered with 200';
    reopen();
    answered_well('no held client sees an error', @held);

    $t->control('enable');
    @held = held(3);
    $caller = $t->send('/_intermission/disable?wait=60s&spread=1h');
    $t->wait_state('draining');
    $t->control('stop');
    is $caller->response->{status}, 409, 'stop during a drain: the caller of disable?wait= is answered with 409';
    is scalar(grep { $_->response->{status} == 503 } @held[1, 2]), 2, 'stop during a drain: held requests are answered with 503';
    $held[0]->response;
    reopen();
};

subtest 'a caller of disable?wait= that goes away changes nothing' => sub {
    $t->control('enable');
    my @held = held(4);
    my $caller = $t->send('/_intermission/disable?wait=60s&spread=1h');
    $t->wait_state('draining');
    $caller->close;
    my $other = $t->send('/_intermission/disable?wait=60s');
    is $t->status->{state}, 'draining', 'the caller leaves: the drain goes on';
    reopen();
    is $other->response->{status}, 200, 'the caller leaves: another caller that waits is answered';
    answered_well('the caller leaves: the held requests are answered', @held);
};

subtest 'disable?wait= does not wait for requests that left or expired' => sub {
    $t->control('enable');
    my @held = held(4);
    my $caller = $t->send('/_intermission/disable?wait=60s&spread=1h');
    $t->wait_state('draining');
    $_->close for @held[1 .. 3];
    is $caller->response->{status}, 200, 'all remaining held clients leave: disable?wait= is answered with 200';
    $held[0]->response;
    is $t->status->{state}, 'open', 'all remaining held clients leave: the app is open';
};

subtest 'disable?wait= with the id of another pause: 409 at once' => sub {
    my $pause = $t->control('enable')->{headers}{'intermission-pause'};
    is $t->control('disable?wait=60s&id=' . ($pause + 1))->{status}, 409, 'disable?wait= with the id of another pause: 409';
    is $t->status->{state}, 'paused', 'disable?wait= with the id of another pause: the pause goes on';
    is $t->control("disable?wait=60s&id=$pause", timeout => 20)->{status}, 200, 'disable?wait= with its own id ends the pause';
    is $t->control('disable?wait=0')->{status}, 400, 'wait=0: 400';
};

$t->clean_ok;
done_testing;
