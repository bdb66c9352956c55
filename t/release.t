# Held requests go on in the order in which they came, over all workers, at once.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;
use Time::HiRes ();

sub held_and_released {
    my ($workers, $count) = @_;
    my $t = Intermission->new(workers => $workers);
    $t->control('enable');
    my $crowd = $t->crowd('--count', $count);
    $t->wait_held($count, seconds => 30);
    is $t->backend_log, 0, "$workers workers: no request passes while the app is paused";

    my $newcomers = $t->crowd('--count', 1000, '--first', $count, '--rate', 2000, '--path', '/new/{i}');
    $t->control('disable');
    my ($done, $new) = ($crowd->done, $newcomers->done);
    is $done->{statuses}{200}, $count, "$workers workers: all held requests are answered";
    is $new->{statuses}{200}, 1000, "$workers workers: all new requests are answered";

    my @order = grep { defined $_->{position} && $_->{target} =~ m{^/r/} } $t->backend_log;
    is scalar @order, $count, "$workers workers: each held request comes to the app once";
    is $t->inversions(map { {%$_, place => $_->{position}} } @order), 0, "$workers workers: held requests come to the app in the order in which they came";
    my @new = grep { !defined $_->{position} && $_->{target} =~ m{^/new/} } $t->backend_log;
    my @all = sort { $a->{seq} <=> $b->{seq} } @order, @new;
    my $overtaken = $t->inversions(map { {%$_, place => $_->{position} // $count} } @all);
    is $overtaken, 0, "$workers workers: no new request overtakes a held one";
    $t->wait_state('open');
    $t->wait_log(qr/app "basecamp": drained, \d+ released/);
    $t->clean_ok;
}

for my $workers (1, 2, 4, 8) {
    subtest "held requests go on in the order in which they came, $workers workers" => sub {
        held_and_released($workers, 1000);
    };
}

subtest 'bodies over HTTP/2 do not change the order' => sub {
    # Over HTTP/2 nginx takes a body in a posted event, even if the body has long been there.
    my $t = Intermission->new(workers => 4, http2 => 1);
    $t->control('enable');
    my @crowds = map {
        my @numbers = ('--count', 100, '--first', 100 * $_);
        $_ % 2 ? $t->crowd(@numbers) : $t->crowd_http2(@numbers, '--connections', 10, '--method', 'POST', '--body', 3000);
    } 0 .. 5;
    $t->wait_held(600);
    $t->control('disable');
    is $_->done->{statuses}{200}, 100, 'requests with bodies over HTTP/2, and others: all are answered' for @crowds;
    is $t->ticket_inversions, 0, 'requests with bodies over HTTP/2, and others: released in order';
    $t->clean_ok;
};

subtest 'held requests are released at once, without polling' => sub {
    # Polling would show as a longer median.
    my $t = Intermission->new(workers => 2);
    my @waits;
    for my $round (1 .. 20) {
        $t->control('enable');
        my @held = map { $t->send("/$round/$_") } 1 .. 4;
        $t->wait_held(4);
        my $start = Time::HiRes::time();
        $t->control('disable');
        $_->response for @held;
        push @waits, Time::HiRes::time() - $start;
    }
    my ($median) = (sort { $a <=> $b } @waits)[10];
    cmp_ok $median, '<', 0.1, "four held requests are released at once: in ${\ sprintf '%.1f', 1000 * $median} ms (median)";
    $t->clean_ok;
};

subtest 'a drain ends under a load that never ends' => sub {
    my $t = Intermission->new(workers => 4);
    $t->control('enable');
    my $load = $t->crowd('--count', 64, '--keepalive', 400, '--path', '/load/{i}');
    $t->wait_held(64);
    my $crowd = $t->crowd('--count', 1000);
    $t->wait_held(1064);
    $t->control('disable');
    $t->wait_state('open');
    is $crowd->done->{answered}, 1000, 'the app opens under a load that goes on';
    is $load->done->{failed}, 0, 'a load that goes on while the app opens never fails';
    $t->clean_ok;
};

subtest 'enable in a drain keeps the places of the requests that are still held' => sub {
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 2000);
    $t->wait_held(2000, seconds => 20);
    $t->control('disable');
    my $answer = $t->control('enable');
    is $answer->{status}, 200, 'a drain can be turned back into a pause';
    my $left = $t->status->{held};
    note "$left still held";
    $t->control('disable');
    is $crowd->done->{statuses}{200}, 2000, 'enable in a drain: all held requests are answered';
    is $t->position_inversions, 0, 'enable in a drain: released in order';
    $t->clean_ok;
};

subtest "one app's verbs neither release nor hold requests of another" => sub {
    my $locations = join '', map { <<"END" } 'a' .. 'c';
location /$_/ { set \$app_name $_; intermission on; proxy_pass http://backend; }
location /control/$_ { set \$app_name $_; intermission_control; }
END
    my $t = Intermission->new(workers => 4, locations => $locations);
    my $at = sub { return (at => "/control/$_[0]") };
    $t->control('enable', $at->($_)) for 'a', 'b';
    my %held = map { my $app = $_; $app => [map { $t->send("/$app/$_") } 1 .. 20] } 'a', 'b';
    $t->wait_held(20, $at->($_)) for 'a', 'b';
    is $t->get('/c/open')->{status}, 200, 'an app that was never paused is open';

    $t->control('enable',  $at->('c'));
    $t->control('disable', $at->('c'));
    $t->control('disable', $at->('a'));
    is $_->response->{status}, 200, "the resumed app's requests are released" for @{$held{a}};
    is $t->status($at->('b'))->{held}, 20, "another app's enable and disable release no request";
    is scalar(grep { $_->answered } @{$held{b}}), 0, 'no request of the paused app is answered';

    $t->control('enable', $at->('a'));
    is $t->status($at->('b'))->{state}, 'paused', "another app's disable does not end the pause";
    $t->control('disable', $at->($_)) for 'a', 'b';
    is $_->response->{status}, 200, "the other app's requests are released when its pause ends" for @{$held{b}};
    $t->clean_ok(at => ['/control/a', '/control/b', '/control/c']);
};

done_testing;
