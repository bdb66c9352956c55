# A fixed sequence of pauses: the status, the metrics, the access log and the error log have the same
# numbers for it, exactly, and the numbers add up.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use JSON::PP;
use List::Util 'sum0';
use Test::More;

my $t = Intermission->new(
    workers => 4, http2 => 1,
    # With reuseport the clients of this address are spread evenly over the workers.
    server => 'listen 127.0.0.2:@PORT@ reuseport backlog=4096;',
    locations => <<'END_OF_CONF',
set $app_name basecamp;
set $intermission_privileged_user_agent Pingdom;
location / { intermission on; proxy_pass http://backend; }
location /short/ { set $intermission_max_time 0.4; intermission on; intermission_expired pass; proxy_pass http://backend; }
location /full/ { intermission on; intermission_max_held 1; proxy_pass http://backend; }
location /off/ { proxy_pass http://backend; }
location /_intermission { intermission_control; }
END_OF_CONF
);

sub crowd {
    my ($count, $path, @more) = @_;
    return $t->crowd('--to', '127.0.0.2:' . $t->port, '--count', $count, '--path', $path, @more);
}

# Waits until this many requests have taken a ticket, in all pauses together.
sub wait_tickets {
    my ($number) = @_;
    $t->wait_for(sub { $t->status->{totals}{held} == $number }, "$number requests to have a ticket", 20);
}

# The number of lines in the access log for each outcome.
sub outcomes {
    my %count;
    $count{$_->{intermission}}++ for grep { $_->{target} !~ m{^/_intermission} } $t->access_log;
    return \%count;
}

# Waits for this many lines in the access log: nginx writes them after the answers.
sub wait_logged {
    my ($number) = @_;
    $t->wait_for(sub { $number == grep { $_->{target} !~ m{^/_intermission} } $t->access_log }, "$number lines in the access log", 20);
}

# The sum of the numbers in the lines of the error log that match.
sub told {
    my ($pattern) = @_;
    return sum0($t->error_log =~ /$pattern/g);
}

sub metrics {
    my %value = $t->control('metrics')->{body} =~ /^(intermission_\w+(?:\{.*\})?) (\S+)$/mg;
    return {map { s/\{app="basecamp",?/{/r => $value{$_} } keys %value};
}

my @outcomes = qw(passed released expired rejected bypassed stopped left lost);
my %totals = map { $_ => 0 } 'held', 'failed', 'away', @outcomes;

# Checks the totals in all places. $while_held: how many of the stopped requests were held before.
sub all_agree {
    my ($while_held) = @_;
    my $status = $t->status;
    is_deeply $status->{totals}, \%totals, 'the status has the totals';
    my ($listed) = @{decode_json($t->control('apps')->{body})->{apps}};
    is_deeply $listed->{totals}, \%totals, 'the list of apps has the totals';
    my $metrics = metrics();
    is_deeply {map { $_ => $metrics->{"intermission_requests_total{outcome=\"$_\"}"} } @outcomes},
        {map { $_ => $totals{$_} } @outcomes}, 'the metrics have the totals';
    is $metrics->{'intermission_failed_total{}'}, $totals{failed}, 'the metrics have how many released requests failed';
    is $metrics->{'intermission_holds_total{}'}, $totals{held}, 'the metrics have how many were held';
    is $metrics->{'intermission_hold_seconds_count{}'}, $totals{held}, 'the histogram has all holds';
    is $metrics->{'intermission_hold_seconds_bucket{le="+Inf"}'}, $totals{held}, 'the last bucket of the histogram has all holds';
    is $totals{held}, $totals{released} + $totals{expired} + $totals{left} + $while_held + $totals{lost}, 'held is the sum of the outcomes of held requests';
    is told(qr/intermission: app "basecamp": no room: (\d+) requests? rejected/) + told(qr/: (\d+) more requests? rejected/), $totals{rejected}, 'the error log counts all rejected requests';
    is told(qr/intermission: app "basecamp": (?:nginx passed )?(\d+) (?:expired requests?|requests? expired)/) + told(qr/: (\d+) more requests? expired/), $totals{expired}, 'the error log counts all expired requests';
    is scalar(() = $t->error_log =~ /\[info\][^\n]*held, ticket/g), $totals{held}, 'the error log has a line for each held request';
    is told(qr/app "basecamp": drained, (\d+) released/), $totals{released}, 'the error log counts all released requests';
}

subtest 'a pause of 300 requests: all numbers agree' => sub {
    is $t->get("/before/$_")->{status}, 200, 'before its first pause an app is not counted' for 1 .. 4;
    $t->control('enable?reason=acceptance&for=1h');

    my @released = (crowd(240, '/r/{i}'), $t->crowd_http2('--count', 20, '--connections', 4, '--path', '/h2/{i}'));
    wait_tickets(260);
    my $leavers = crowd(20, '/leave/{i}', '--leave', 1, '--leave-on-stdin');
    wait_tickets(280);
    my $short = crowd(10, '/short/{i}');
    my $full = crowd(5, '/full/{i}', '--expect', 503);
    my ($checks, $privileged) = (crowd(3, '/up'), crowd(2, '/agent/{i}', '--agent', 'Pingdom/1.0'));
    is $short->done->{statuses}{200}, 10, 'ten requests expire and are passed on';
    is $full->done->{statuses}{503}, 5, 'five requests are rejected';
    is $_->done->{answered}, $_ == $checks ? 3 : 2, 'health checks and privileged clients are answered in the pause' for $checks, $privileged;
    $leavers->say('leave');
    $leavers->wait_event('left');
    $t->wait_held(260);
    is $t->backend_log, 4 + 10 + 5, 'the app has seen only requests from before the pause and bypassed or expired ones';

    $t->control('disable');
    my ($plain, $streams) = map { $_->done } @released;
    is_deeply [$plain->{statuses}{200}, $streams->{statuses}{200}], [240, 20], '260 requests are released';
    $t->wait_state('open');
    my %holders = map { $_ => 1 } $t->error_log =~ /\[info\] (\d+)#[^\n]*held, ticket/g;
    cmp_ok scalar keys %holders, '>', 1, 'more than one worker held requests';
    my @order = map { {%$_, place => $_->{position}} } grep { $_->{target} =~ m{^/(?:r|h2)/} } $t->backend_log;
    is $t->inversions(@order), 0, 'the app gets the released requests in order';
    is $t->get("/after/$_")->{status}, 200, 'after the pause a request passes' for 1 .. 7;
    is $t->get('/off/1')->{status}, 200, 'a request where intermission is off is answered';

    wait_logged(4 + 300 + 7 + 1);
    %totals = (%totals, held => 290, released => 260, expired => 10, rejected => 5, bypassed => 5, left => 20, passed => 7);
    is_deeply outcomes(), {PASSED => 4 + 7, HELD => 260, EXPIRED => 10, REJECTED => 5, BYPASSED => 5, LEFT => 20, '-' => 1},
        'the access log has the outcome of each request';
    all_agree(0);
    my @resumed = $t->error_log =~ /app "basecamp": resumed by 127\.0\.0\.1, pause (\d+), after \d+\.\d{3} s, (\d+) held/g;
    is_deeply \@resumed, [$t->status->{pause}, 260], 'the error log has how many were held when the pause ended';
    is $t->status->{last_drain}{released}, 260, 'the status has how many the drain released';

    my %has_time = (HELD => 1, EXPIRED => 1, LEFT => 1);
    my @lines = grep { $_->{target} !~ m{^/_intermission} } $t->access_log;
    my @wrong = grep { my $held = $has_time{$_->{intermission}}; $_->{hold_time} !~ ($held ? qr/^\d+\.\d{3}$/ : qr/^-$/) } @lines;
    is scalar @wrong, 0, 'access log: held requests, and no others, have a hold time';
    @wrong = grep { my $held = $has_time{$_->{intermission}}; $_->{position} !~ ($held ? qr/^\d+$/ : qr/^-$/) } @lines;
    is scalar @wrong, 0, 'access log: held requests, and no others, have a position';
    # None of the first 280 requests had left when the last of them came.
    my @positions = sort { $a <=> $b } map { $_->{position} } grep { $_->{target} =~ m{^/(?:r|h2|leave)/} } @lines;
    is_deeply \@positions, [0 .. 279], 'access log: each of the 280 requests has a position of its own';
    my $logged = sum0(map { $_->{hold_time} } grep { $has_time{$_->{intermission}} } @lines);
    my $sum = metrics()->{'intermission_hold_seconds_sum{}'};
    cmp_ok abs($sum - $logged), '<=', 0.05 * $logged + 1, "the histogram's sum is the sum of the access log's hold times: $sum, $logged";
    my @times = map { $_->{hold_time} } grep { $has_time{$_->{intermission}} && $_->{hold_time} < 60 } @lines;
    is metrics()->{'intermission_hold_seconds_bucket{le="60"}'}, scalar @times, 'a bucket of the histogram has as many as the access log';
};

subtest 'a pause of 30 requests that is stopped: all numbers agree' => sub {
    $t->control('enable');
    my $crowd = crowd(30, '/stop/{i}', '--expect', 503);
    $t->wait_held(30);
    is $t->control('stop?reason=too%20long')->{status}, 200, 'stop of the second pause: 200';
    is $crowd->done->{statuses}{503}, 30, 'stop answers the 30 held requests 503';
    is crowd(4, '/come/{i}', '--expect', 503)->done->{statuses}{503}, 4, 'stop answers four new requests 503';
    is $t->get('/up')->{status}, 200, 'a health check passes the stop';
    $t->control('disable');
    $t->wait_state('open');
    wait_logged(312 + 30 + 4 + 1);
    %totals = (%totals, held => 320, stopped => 34, bypassed => 6);
    is_deeply outcomes(), {PASSED => 11, HELD => 260, EXPIRED => 10, REJECTED => 5, BYPASSED => 6, LEFT => 20, STOPPED => 34, '-' => 1},
        'the access log has the stopped requests as STOPPED';
    my @stopped = grep { $_->{intermission} eq 'STOPPED' } $t->access_log;
    is scalar(grep { $_->{hold_time} ne '-' } @stopped), 30, 'access log: held requests that were stopped have a hold time';
    all_agree(30);
    my @said = $t->error_log =~ /app "basecamp": (stopped|resumed) by 127\.0\.0\.1, pause \d+(?:, reason "too long"|, after \d+\.\d{3} s, 0 held)/g;
    is_deeply \@said, ['stopped', 'resumed'], 'the error log has the stop and the disable';
};

subtest 'a pause in which a worker dies: all numbers agree' => sub {
    $t->control('enable');
    my $crowd = crowd(40, '/die/{i}');
    $t->wait_held(40);
    my %holds;
    $holds{$_}++ for $t->error_log =~ m{\[info\] (\d+)#[^\n]*held, ticket[^\n]*"GET /die/}g;
    my ($victim) = sort { $holds{$b} <=> $holds{$a} } keys %holds;
    my $lost = $holds{$victim};
    $t->kill_worker($victim);
    $t->wait_held(40 - $lost);
    $t->control('disable');
    my $done = $crowd->done;
    is_deeply [$done->{answered}, $done->{timed_out}], [40 - $lost, 0], "all but the $lost requests of the dead worker are served";
    $t->wait_state('open');
    wait_logged(347 + 40 - $lost);
    %totals = (%totals, held => 360, released => 300 - $lost, lost => $lost);
    is outcomes()->{HELD}, $totals{released}, 'access log: HELD are the released requests, not the lost ones';
    all_agree(30);
};

$t->clean_ok(killed_process => 1);
done_testing;
