package Intermission::Process;

# Child processes that never outlive the test that started them, even if it is killed.

use strict;
use warnings;
use POSIX ();
use Time::HiRes ();

my %started;    # pid => what it is
my $owner = $$;

# The number of Linux's prctl. With PR_SET_PDEATHSIG a kill -9 of the test ends its children too.
my %prctl = (x86_64 => 157, aarch64 => 167);
my $prctl = $prctl{(POSIX::uname())[4]};

# Starts @$command. stdin, stdout and stderr are file handles, or missing. Returns the pid.
sub start {
    my ($what, $command, %handles) = @_;
    my $parent = $$;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        syscall($prctl, 1, POSIX::SIGTERM()) if $prctl;
        POSIX::_exit(1) if getppid() != $parent;
        open my $null, '+<', '/dev/null';
        my $fd = 0;
        POSIX::dup2(fileno($handles{$_} // $null), $fd++) for qw(stdin stdout stderr);
        $SIG{$_} = 'DEFAULT' for qw(INT TERM PIPE);
        no warnings 'exec';
        exec { $command->[0] } @$command;
        POSIX::_exit(127);
    }
    $started{$pid} = $what;
    return $pid;
}

# From now on this process becomes the parent of its grandchildren when their own parent ends.
sub take_orphans { syscall($prctl, 36, 1) if $prctl }    # PR_SET_CHILD_SUBREAPER

# Takes charge of such a grandchild, so that it does not outlive the test. Returns its pid.
sub adopt {
    my ($what, $pid) = @_;
    $started{$pid} = $what;
    return $pid;
}

# Reaps the child if it has ended. Returns its wait status; -1 if another process has reaped it; undef if it lives.
sub reaped {
    my ($pid) = @_;
    my $reaped = waitpid $pid, POSIX::WNOHANG();
    my $status = $?;
    return undef if $reaped == 0 || $reaped < 0 && is_alive($pid);
    delete $started{$pid};
    return $reaped < 0 ? -1 : $status;
}

# Polls every 10 ms until the condition is true. Returns its value, or undef after this many seconds.
sub wait_until {
    my ($condition, $seconds) = @_;
    my $end = Time::HiRes::time() + $seconds;
    while (1) {
        my $value = $condition->();
        return $value if $value;
        return undef if Time::HiRes::time() > $end;
        Time::HiRes::sleep(0.01);
    }
}

# Sends signals, and waits a given time after each, until the child is gone.
# Returns the signal that ended it, and the wait status.
sub end {
    my ($pid, @signals) = @_;
    return if !$started{$pid};
    for my $step (@signals) {
        my ($signal, $seconds) = @$step;
        kill $signal, $pid;
        my $status;
        return ($signal, $status)
            if wait_until(sub { defined($status = reaped($pid)) }, $seconds);
    }
    warn "$started{$pid}, pid $pid, cannot be ended\n";
    return;
}

# Whether a process is alive, and no zombie.
sub is_alive {
    my ($pid) = @_;
    my $stat = slurp("/proc/$pid/stat") // return 0;
    return $stat !~ /\) [ZX] /;
}

# When a process started, in the kernel's ticks. It tells a process from a later one with the same pid.
sub started {
    my ($pid) = @_;
    my ($rest) = (slurp("/proc/$pid/stat") // '') =~ /.*\) (.*)/s or return 0;
    return (split ' ', $rest)[19];
}

sub children {
    my ($pid) = @_;
    return split ' ', slurp("/proc/$pid/task/$pid/children") // '';
}

sub title {
    my ($pid) = @_;
    my $title = slurp("/proc/$pid/cmdline") // '';
    $title =~ tr/\0/ /;
    return $title =~ s/\s+$//r;
}

# The content of a file, or undef if it cannot be read.
sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or return undef;
    local $/;
    return scalar readline $file;
}

$SIG{$_} //= sub { exit 130 } for qw(INT TERM);

END {
    if ($$ == $owner) {
        local $?;
        my @orphans = map { children($_) } keys %started;
        end($_, [TERM => 3], [KILL => 3]) for keys %started;
        kill KILL => grep { is_alive($_) && title($_) =~ /^nginx: / } @orphans;
    }
}

1;
