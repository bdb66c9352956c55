package Intermission::Bench::Callgrind;

# What callgrind counted in one process: instructions by function.
#
# What glibc's allocator needs for a block depends on the holes in the heap, and so on all that happened before: it is told apart.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(counted minus);

# The functions of glibc's allocator, and those through which it is entered.
my $ALLOCATOR = qr/^(?:_int_\w+|unlink_chunk|malloc\w*|alloc_perturb|free\w*|calloc|realloc|posix_memalign|_mid_memalign|memalign|sysmalloc|systrim|tcache\w*|mtrim|arena_\w+|ptmalloc\w*)(?:\.\w+)*$/;
my $ENTERED = qr/^(?:malloc|calloc|realloc|posix_memalign|memalign)(?:\.\w+)*$/;

# Reads callgrind's file. Returns {total, allocator, blocks, functions => {'object: name' => instructions}}. `total` is without the
# allocator; `blocks` is how many it was asked for.
sub counted {
    my ($file) = @_;
    open my $lines, '<', $file or die "$file: $!\n";
    my (%name, %of, $object, $function, $called, $skip);
    my %sum = (total => 0, allocator => 0, blocks => 0, functions => {});
    while (my $line = <$lines>) {
        if (my ($calls, $kind, $number, $new) = $line =~ /^(c?)(ob|fn)=\((\d+)\)(?: (.*))?$/) {
            $name{"$kind$number"} = $new if defined $new;
            my $found = $name{"$kind$number"};
            if ($kind eq 'ob') { $object = $found =~ s{.*/}{}r if !$calls }
            elsif ($calls)     { $called = $found }
            else               { $function = $found }
        }
        elsif (my ($count) = $line =~ /^calls=(\d+)/) {
            $sum{blocks} += $count if $called =~ $ENTERED && $function !~ $ALLOCATOR;
            # The next line is what the function cost that was called.
            $skip = 1;
        }
        elsif (my ($cost) = $line =~ /^[+\-*\d]\S* (\d+)$/) {
            next if $skip && !($skip = 0);
            $sum{$function =~ $ALLOCATOR && $object =~ /^libc/ ? 'allocator' : 'total'} += $cost;
            $sum{functions}{"$object: $function"} += $cost;
        }
    }
    return \%sum;
}

# The difference between two runs, per request.
sub minus {
    my ($many, $few, $requests) = @_;
    my %functions = map {
        $_ => (($many->{functions}{$_} // 0) - ($few->{functions}{$_} // 0)) / $requests
    } keys %{$many->{functions}}, keys %{$few->{functions}};
    return {
        functions => \%functions, map { $_ => ($many->{$_} - $few->{$_}) / $requests } qw(total allocator blocks),
    };
}

1;
