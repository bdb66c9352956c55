#!/usr/bin/env perl
# The house's own rules for src/: its floors, its files, its unsafe code.
use strict;
use warnings;
use File::Basename qw(dirname);
use Test::More;

chdir(dirname(__FILE__) . '/../src') or die "src: $!\n";
my @files = grep { !m{/tests[./]} } glob '*.rs */*.rs */*/*.rs */*/*/*.rs';
my %module = map { my $at = s{(?:/mod|^lib)?\.rs$}{}r; $_ => [split m{/}, $at] } @files;

# A module's path => its place among those beside it.
my %place;
for my $file (@files) {
    my $text = slurp($file);
    my $number = 0;
    $place{join '::', @{ $module{$file} }, $1} = ++$number while $text =~ /^(?:pub(?:\([^)]*\))? )?mod (\w+);/mg;
}

my @up;
for my $file (@files) {
    my @own = @{ $module{$file} };
    # Neither comments nor tests.
    my $text = slurp($file) =~ s{//.*}{}gr =~ s/^#\[cfg\(test\)\]\nmod .*//msr;
    my @names = map { names($_) } $text =~ /^ *(?:pub(?:\([^)]*\))? )?use ((?:crate|super|self)\b[^;]+);/mg;
    push @names, $text =~ /\b((?:crate|super)(?:::\w+)+)/g;
    my %seen;
    for my $name (grep { !$seen{$_}++ } @names) {
        my @there = absolute(\@own, split /::/, $name);
        my $at = 0;
        $at++ while $at < @own && $at < @there && $own[$at] eq $there[$at];
        next if $at == @own || $at == @there;
        my ($mine, $other) = map { $place{join '::', @$_[0 .. $at]} } \@own, \@there;
        next if !$mine || !$other || $other < $mine;
        push @up, "src/$file: " . join '::', @there;
    }
}
is_deeply \@up, [], 'each file uses only modules that are declared before its own, in the same `mod` list or in one above';

my %lines = map { $_ => slurp($_) =~ tr/\n// } @files;
is_deeply [grep { $lines{$_} > 400 } @files], [], 'no file has more than 400 lines';
my @sorted = sort { $a <=> $b } values %lines;
cmp_ok $sorted[@sorted / 2], '<=', 160, 'half of the files have at most 160 lines';

my $unsafe = 0;
$unsafe += () = slurp($_) =~ s{//.*}{}gr =~ /\bunsafe\b/g for grep { m{^ffi/} && !m{/take_back/} } @files;
cmp_ok $unsafe, '<', 80, 'the edge says `unsafe` fewer than 80 times, besides the folder that takes requests back';
done_testing;

# `a::{b, c::{d, e}}` names a::b, a::c::d and a::c::e.
sub names {
    my $tree = shift =~ s/\s+as\s+\w+//gr =~ s/\s+//gr;
    1 while $tree =~ s/(\w+::)\{([^{}]*)\}/join ',', map { $1 . $_ } grep { length } split m{,}, $2/e;
    return split /,/, $tree;
}

# The path of a module's file, and a name in it => that name from the crate on.
sub absolute {
    my ($own, $from, @there) = @_;
    return @there if $from eq 'crate';
    my @above = @$own;
    while ($from eq 'super') {
        pop @above;
        $from = @there && $there[0] eq 'super' ? shift @there : '';
    }
    return (@above, @there);
}

sub slurp {
    my $path = shift;
    open my $file, '<', $path or die "$path: $!\n";
    local $/;
    return <$file>;
}
