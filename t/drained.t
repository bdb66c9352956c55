# disable?wait=: whoever ends a pause is answered when the last held request has gone out.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use JSON::PP;
use Test::More;
use Time::HiRes 'time';

my $t = Intermission->new(workers => 4, locations => <<'END_OF_CONF');
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
location /paced { intermission_control; intermission_release spread=1s; }
END_OF_CONF

# So many clients in line, in their order.
sub held {
    my ($number) = @_;
    my @held;
    for (1 .. $number) {
        push @held, $t->send("/held/$_");
        $t->wait_held($_);
    }
    return @held;
}

# How many were released up to now.
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

subtest 'where nobody is held the answer comes at once' => sub {
    $t->control('enable');
    my $start = time;
    my $answer = $t->control('disable?wait=60s', timeout => 20);
    is $answer->{status}, 200, 'disable?wait=';
    like $answer->{body}, qr/^Pause disabled\.\napp "/, 'says so';
    cmp_ok time - $start, '<', 10, 'is not waited out';
    is $t->control('disable?wait=60s', timeout => 20)->{status}, 304, 'where the app is open: 304';
};

subtest 'the answer comes when all have gone out' => sub {
    my $before = released();
    $t->control('enable');
    my $crowd = $t->crowd('--count', 500);
    $t->wait_held(500, seconds => 20);
    my $answer = $t->control('disable?wait=60s&format=json', timeout => 30);
    is $answer->{status}, 200, '500 are released';
    is released() - $before, 500, 'all of them, by the time of the answer';
    my $status = eval { decode_json($answer->{body}) } // {};
    is_deeply [@$status{qw(state held)}], ['open', 0], 'which says so in JSON';
    is $status->{last_drain}{released}, 500, 'and how the drain went';
    is $crowd->done->{statuses}{200}, 500, 'all are served';
    ok $t->wait_log(qr/\[notice\].*app "basecamp": drained, 500 released in \d+\.\d{3} s/), 'the log tells, too';
};

subtest 'with a pace the whole drain is waited for' => sub {
    my $before = released();
    $t->control('enable');
    my @held = held(6);
    my $start = time;
    my $caller = $t->send('/_intermission/disable?wait=60s&spread=1s');
    my $answer = $caller->response(20);
    cmp_ok time - $start, '>=', 0.7, sprintf 'spread=1s: %.3f s', time - $start;
    is $answer->{status}, 200, 'is answered in the end';
    is released() - $before, 6, 'when all are out';
    answered_well('who are served', @held);

    $t->control('enable', at => '/paced');
    @held = held(6);
    $start = time;
    is $t->control('disable?wait=60s', timeout => 20)->{status}, 200, "the pause's own pace";
    cmp_ok time - $start, '>=', 0.7, sprintf 'is kept: %.3f s', time - $start;
    answered_well('who are served', @held);

    $t->control('enable');
    @held = map { $t->send("/held/$_?delay=200") } 1 .. 4;
    $t->wait_held(4);
    is $t->control('disable?wait=60s&concurrency=2', timeout => 20)->{status}, 200, 'concurrency=2';
    answered_well('who are served', @held);
};

subtest 'too late: 504 with how many are left, and the drain goes on' => sub {
    $t->control('enable');
    my @held = held(5);
    my $answer = $t->control('disable?wait=300ms&spread=1h');
    is $answer->{status}, 504, 'a drain that takes longer';
    my ($left) = $answer->{body} =~ /^(\d+) requests are still held$/m;
    is $left, $t->status->{held}, 'the answer tells how many are left' or diag $answer->{body};
    is $t->status->{state}, 'draining', 'the drain goes on';
    is $t->control('disable?spread=1h')->{status}, 304, 'at its pace';
    my $json = $t->control('disable?wait=100ms&spread=1h&format=json');
    is $json->{status}, 504, 'once more: nothing to change, but to wait for';
    like eval { decode_json($json->{body})->{error} } // '', qr/^\d+ requests are still held/, 'in JSON it is an error';
    my $caller = $t->send('/_intermission/disable?wait=60s');
    reopen();
    is $caller->response->{status}, 200, 'who waits is answered when somebody lifts the pace';
    answered_well('nobody sees an error', @held);
    $t->came_ok([map { "/held/$_" } 1 .. 5], 'and they went in order', after => $t->backend_log - 5);
};

subtest 'paused again or stopped meanwhile: 409' => sub {
    $t->control('enable');
    my @held = held(5);
    my $caller = $t->send('/_intermission/disable?wait=60s&spread=1h');
    $t->wait_state('draining');
    is $t->control('enable')->{status}, 200, 'somebody pauses again';
    my $answer = $caller->response;
    is $answer->{status}, 409, 'who waits is told';
    like $answer->{body}, qr/somebody else/, 'why';
    is $t->status->{state}, 'paused', 'the pause goes on';
    $caller = $t->send('/_intermission/disable?wait=60s&spread=1h');
    $t->wait_state('draining');
    my $provisional = $t->send('/_intermission/enable?wait=60s');
    is $caller->response->{status}, 409, 'so he is by an enable?wait=';
    is $provisional->response->{status}, 200, 'which has its own way';
    reopen();
    answered_well('nobody sees an error', @held);

    $t->control('enable');
    @held = held(3);
    $caller = $t->send('/_intermission/disable?wait=60s&spread=1h');
    $t->wait_state('draining');
    $t->control('stop');
    is $caller->response->{status}, 409, 'and by a stop';
    is scalar(grep { $_->response->{status} == 503 } @held[1, 2]), 2, 'which answers those held';
    $held[0]->response;
    reopen();
};

subtest 'a caller who goes away changes nothing' => sub {
    $t->control('enable');
    my @held = held(4);
    my $caller = $t->send('/_intermission/disable?wait=60s&spread=1h');
    $t->wait_state('draining');
    $caller->close;
    my $other = $t->send('/_intermission/disable?wait=60s');
    is $t->status->{state}, 'draining', 'the drain goes on';
    reopen();
    is $other->response->{status}, 200, 'another is answered';
    answered_well('as are those held', @held);
};

subtest 'those who leave or expire are not waited for' => sub {
    $t->control('enable');
    my @held = held(4);
    my $caller = $t->send('/_intermission/disable?wait=60s&spread=1h');
    $t->wait_state('draining');
    $_->close for @held[1 .. 3];
    is $caller->response->{status}, 200, 'all who were left have left: drained';
    $held[0]->response;
    is $t->status->{state}, 'open', 'and open';
};

subtest 'id= of another pause: 409 at once' => sub {
    my $pause = $t->control('enable')->{headers}{'intermission-pause'};
    is $t->control('disable?wait=60s&id=' . ($pause + 1))->{status}, 409, 'another';
    is $t->status->{state}, 'paused', 'changes nothing';
    is $t->control("disable?wait=60s&id=$pause", timeout => 20)->{status}, 200, 'its own ends it';
    is $t->control('disable?wait=0')->{status}, 400, 'wait=0: 400';
};

$t->clean_ok;
done_testing;
