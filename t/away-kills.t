# The app is killed every 3 s under 300 requests a second: nothing comes twice, and only what was sent to it fails (`scripts/kills`).

use strict;
use warnings;
use Test::More;

open my $kills, '-|', $^X, 't/kills.pl', 9 or die "t/kills.pl: $!";
while (my $line = <$kills>) {
    chomp $line;
    $line =~ /^(?:kills: \d|VIOLATION)/ ? diag($line) : note($line);
}
close $kills;
is $?, 0, 'an app that is killed every 3 s: no violation';

done_testing;
