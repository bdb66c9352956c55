package Intermission::Bench::Spread;

# How evenly requests come to the app in a drain that is spread over some seconds.

use strict;
use utf8;
use warnings;
use Intermission::Bench;
use Intermission::Bench::Held qw(server clients);
use Time::HiRes qw(time);

sub run {
    my ($number, $seconds) = trial([50, 1], [500, 5])->@*;
    my $server = server($number);
    $server->control('enable');
    my $clients = clients($server, $number);
    $server->wait_held($number, seconds => 60);
    my $seen = $server->backend_log;
    my $began = time;
    $server->control("disable?spread=${seconds}s");
    my $done = $clients->done;
    my @came = map { 1000 * ($_->{time} / 1e6 - $began) } grep { $_->{seq} > $seen } $server->backend_log;
    my $step = 1000 * $seconds / $number;
    heading("$number held, disable?spread=${seconds}s, 2 workers");
    row('between neighbours, ms', 1, map { $came[$_] - $came[ $_ - 1 ] } 1 .. $#came);
    row('difference from its time in an even spread, ms', 1, map { $came[$_] - $step * $_ } 0 .. $#came);
    my $last = 1000 * ($done->{last_answer_us} / 1e6 - $began);
    at_most(1000 * $seconds + 100, say_of('from disable to the last answer, ms', $last));
    none(say_of('out of order at the app', $server->position_inversions(after => $seen)));
    finish('intermission', $server);
}

1;
