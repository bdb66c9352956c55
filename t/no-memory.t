# When memory runs out while nginx reads its configuration, nginx refuses it and does not crash.

use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Intermission;
use Test::More;

# A library whose posix_memalign, by which nginx allocates, fails once: at call number FAIL_AT.
my $dir = File::Temp->newdir;
Intermission::write_file("$dir/fail.c", <<'C');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

int posix_memalign(void **place, size_t alignment, size_t size)
{
    static int (*real)(void **, size_t, size_t);
    static long calls;

    if (real == NULL) {
        real = (int (*)(void **, size_t, size_t)) dlsym(RTLD_NEXT, "posix_memalign");
    }
    return ++calls == atol(getenv("FAIL_AT")) ? ENOMEM : real(place, alignment, size);
}
C
my $built = system(qw(cc -shared -fPIC -o), "$dir/fail.so", "$dir/fail.c", '-ldl');
plan skip_all => 'there is no C compiler' if $built != 0;

# Enough locations: the module asks for memory again and again.
my $locations = join '', map { "location /$_ { intermission \$arg_hold; intermission_expired 504; }\n" } 1 .. 300;

# Runs nginx -t with the failing library. Returns how it exits.
sub exit_at {
    my ($call) = @_;
    local @ENV{qw(LD_PRELOAD FAIL_AT)} = ("$dir/fail.so", $call);
    return (Intermission::nginx_t(locations => $locations))[0];
}

is exit_at(0), 0, 'with enough memory nginx -t accepts the configuration';
my ($call, %exits) = (0);
while (!$exits{0} && $call < 1000) {
    my $exit = exit_at(++$call);
    push @{$exits{$exit}}, $call;
}
cmp_ok $call, '>', 50, 'an allocation fails at 50 different moments at least';
is_deeply [sort keys %exits], [0, 1], 'whichever allocation fails, nginx -t refuses the configuration, and does not crash'
    or diag map { "$_: at call @{$exits{$_}}\n" } grep { !/^[01]$/ } sort keys %exits;

done_testing;
