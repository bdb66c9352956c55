# The list in t/README.md has each file of t/ and t/tools/ once, and no other.

use strict;
use warnings;
use Test::More;

open my $readme, '<', 't/README.md' or die "t/README.md: $!";
my @listed = map { /^- \[(\S+)\]\((\S+)\): \S/ ? ($1 eq $2 ? "t/$1" : "t/$1 links to $2") : () } <$readme>;
is_deeply [sort @listed], [sort glob 't/*.t t/tools/*.t'], 't/README.md lists each test exactly once';

done_testing;
