package Intermission::Bench::Machine;

# The figures of processes and of the machine, from /proc.

use strict;
use utf8;
use warnings;
use Exporter 'import';
use Intermission::Process;
use List::Util qw(sum0);
use POSIX ();

our @EXPORT_OK = qw(slurp on_cpu ticks memory per machine processors pinned);

sub slurp { return Intermission::Process::slurp($_[0]) // die "$_[0]: $!\n" }

# The CPU time of these processes, with all their threads, in ns.
sub on_cpu {
    return sum0 map { (split ' ', slurp($_))[0] } map { glob "/proc/$_/task/*/schedstat" } @_;
}

# The same in the kernel's clock ticks, as it is charged to users.
sub ticks {
    return sum0 map { my @of = split ' ', slurp("/proc/$_/stat") =~ s/.*\)//sr; $of[11] + $of[12] } @_;
}

# The memory of these processes in kB: pss, rss, and private, which is what their end would give back.
sub memory {
    my %sum;
    for my $pid (@_) {
        my $map = slurp("/proc/$pid/smaps_rollup");
        $sum{lc $1} += $2 while $map =~ /^(Pss|Rss|Private)(?:_Clean|_Dirty)?:\s+(\d+) kB/mg;
    }
    return \%sum;
}

# What was added per request.
sub per {
    my ($number, $before, $after) = @_;
    return {map { $_ => ($after->{$_} - $before->{$_}) / $number } keys %$after};
}

sub processors {
    my $number = () = slurp('/proc/cpuinfo') =~ /^processor/mg;
    return $number;
}

# The command that keeps a process on the last processor, if there are several. A single worker is kept on the first one by
# its own directive.
sub pinned {
    my $last = processors() - 1;
    return $last ? ('taskset', '-c', $last) : ();
}

sub machine {
    my ($version) = `nginx -v 2>&1` =~ m{(nginx/\S+)};
    my ($model) = slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)/m;
    return {
        date => POSIX::strftime('%Y-%m-%d', gmtime), revision => qx(git rev-parse --short HEAD 2>/dev/null) =~ s/\s+//r,
        nginx => $version // 'nginx', processors => processors(), model => $model // '', kernel => (POSIX::uname())[2],
        load => 0 + (split ' ', slurp('/proc/loadavg'))[0],
    };
}

1;
