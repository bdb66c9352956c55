# Half a minute of everything at once, at random. SEED=number brings a schedule back.

use strict;
use warnings;
use Test::More;

open my $chaos, '-|', $^X, 't/chaos.pl', 30 or die "t/chaos.pl: $!";
while (my $line = <$chaos>) {
    chomp $line;
    $line =~ /^(?:chaos for|chaos: \d|VIOLATION)/ ? diag($line) : note($line);
}
close $chaos;
is $?, 0, 'nothing went wrong';

done_testing;
