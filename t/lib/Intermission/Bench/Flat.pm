package Intermission::Bench::Flat;

# Whether a release takes as long per request if many more are held: four workers, up to as many as open files allow.

use strict;
use utf8;
use warnings;
use Intermission::Bench;
use Intermission::Bench::Held qw(server plain_server burst release most_held);
use List::Util qw(max min sum0);

my $WORKERS = 4;
my $MOST = 50_000;
my $LIMIT = 1.25;

sub run {
    my (@numbers) = @_;
    my $most = min($MOST, most_held($WORKERS));
    @numbers = trial([50, 200], [1000, 4000, 16_000, $most])->@* if !@numbers;
    my $server = server($most, workers => $WORKERS);
    my $plain = plain_server($most, $server, workers => $WORKERS);
    heading("Per request released, $WORKERS workers (open files allow " . grouped(most_held($WORKERS)) . ' held)');
    my ($first, $violations, %bad) = (undef, 0);
    for my $number (@numbers) {
        my $runs = trial(1, max(3, min(9, int(40_000 / $number))));
        my (@burst, @release);
        for my $run (1 .. $runs) {
            push @burst, burst($plain, $number);
            push @release, release($server, $number);
        }
        $bad{alone} += sum0 map { $_->{bad} } @burst;
        $bad{held} += sum0 map { $_->{bad} } @release;
        $violations += sum0 map { $_->{violations} } @release;
        my ($alone, $ours) = map { my $what = $_->[0]; row(grouped($number) . " $what, $runs runs", 1, map { 1000 * $_->{last} / $number } @{$_->[1]}) }
            ['through nginx alone: µs each', \@burst], ['held: µs each', \@release];
        $first //= $ours;
        at_most($LIMIT, say_of("    compared with " . grouped($numbers[0]) . ' held', $ours / $first, 2), 'times') if $number != $numbers[0];
        at_most(5, row('    from disable to the first answer, ms', 1, map { $_->{first} } @release));
        point('flat', 'nginx alone', $number, $alone) if !grep { $_->{bad} } @burst;
        point('flat', 'intermission', $number, $ours);
    }
    none(say_of('out of order at the app', $violations));
    none(say_of('answers other than 200', $bad{held}));
    # It reserves no connections for the app.
    say_of('the same through nginx alone', $bad{alone});
    finish('intermission', $server);
    finish('nginx alone', $plain, qr{not enough, reusing|while connecting to upstream|Too many open files});
}

1;
