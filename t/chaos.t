# Half a minute of everything at once, at random. SEED=number brings a schedule back.

use strict;
use warnings;
use Test::More;

open my $chaos, '-|', $^X, 't/chaos.pl', 30 or die "t/chaos.pl: $!";
while (my $line = <$chaos>) {
    chomp $line;
    # On stderr only what is wrong: between that and the next line on stdout prove attends to no other test.
    $line =~ /^(?:chaos: \d|VIOLATION)/ ? diag($line) : note($line);
}
close $chaos;
is $?, 0, 'half a minute of chaos: no violation';

done_testing;
