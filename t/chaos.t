# Random requests, pauses, reloads and crashes together, for half a minute. SEED=number repeats a schedule.

use strict;
use warnings;
use Test::More;

open my $chaos, '-|', $^X, 't/chaos.pl', 30 or die "t/chaos.pl: $!";
while (my $line = <$chaos>) {
    chomp $line;
    # Only faults go to stderr: after a line there prove waits for the next line on stdout, and other tests wait.
    $line =~ /^(?:chaos: \d|VIOLATION)/ ? diag($line) : note($line);
}
close $chaos;
is $?, 0, 'half a minute of chaos: no violation';

done_testing;
