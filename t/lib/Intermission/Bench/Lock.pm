package Intermission::Bench::Lock;

# For how long a zone's lock is held, seen from outside: another process reads the lock's word in shared memory again and again, some
# million times a second.

use strict;
use warnings;
use Intermission::Bench::Machine qw(slurp processors);
use POSIX ();
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

# In s. If two looks are farther apart, the watcher itself was held up, and what it saw meanwhile does not count.
my $GAP = 10e-6;

# Calls $f, and returns for how long the lock was held each time, in µs. $pid: a worker; $bytes: the size of its zone. The watcher has the
# last processor for itself, and all others are to keep off it.
sub held {
    my ($pid, $bytes, $f) = @_;
    my $address = _address($pid, $bytes);
    pipe my $hear, my $tell or die "pipe: $!";
    my $watcher = fork // die "fork: $!";
    if (!$watcher) {
        close $hear;
        _watch($pid, $address, $tell);
        close $tell;
        POSIX::_exit(0);
    }
    close $tell;
    readline $hear;
    $f->();
    kill TERM => $watcher;
    my @held = map { 0 + $_ } <$hear>;
    waitpid $watcher, 0;
    return @held;
}

# Where nginx's slab pool begins: with the lock, which is the pid of the process that has it, or 0.
sub _address {
    my ($pid, $bytes) = @_;
    no warnings 'portable';
    for (split /\n/, slurp("/proc/$pid/maps")) {
        my ($from, $to) = m{^([0-9a-f]+)-([0-9a-f]+) rw-s .*/dev/zero} or next;
        return hex $from if hex($to) - hex($from) == $bytes;
    }
    die "no zone of $bytes bytes in process $pid\n";
}

sub _watch {
    my ($pid, $address, $tell) = @_;
    my $last = processors() - 1;
    qx(taskset -pc $last $$ 2>&1) if $last;
    open my $memory, '<:raw', "/proc/$pid/mem" or die "/proc/$pid/mem: $!";
    my ($stop, $since, $is_good, @held);
    local $SIG{TERM} = sub { $stop = 1 };
    syswrite $tell, "ready\n";
    my $before = clock_gettime(CLOCK_MONOTONIC);
    until ($stop) {
        sysseek $memory, $address, 0;
        sysread $memory, my $word, 8;
        my $now = clock_gettime(CLOCK_MONOTONIC);
        my $is_late = $now - $before > $GAP;
        if ($word ne "\0\0\0\0\0\0\0\0") {
            ($since, $is_good) = ($now, 1) if !defined $since;
            $is_good = 0 if $is_late;
        }
        elsif (defined $since) {
            push @held, 1e6 * ($now - $since) if $is_good && !$is_late;
            undef $since;
        }
        $before = $now;
    }
    syswrite $tell, join '', map { "$_\n" } @held;
}

1;
