# Keeps the app running, as systemd does. HUP restarts it: the old one ends before the new one starts.
#
#   perl service.pl STATE app.pl CONF SOCKET PROCESSES
#
# STATE says how often the app was started, and whether it is `up` or has `failed`.

use strict;
use warnings;
use POSIX ();
use Time::HiRes ();

my ($state, @app) = @ARGV;
my ($pid, $number, %asked) = (undef, 0);

sub report {
    my ($word) = @_;
    open my $file, '>', "$state.new" or die "$state: $!";
    print $file "$number $word\n";
    close $file;
    rename "$state.new", $state or die "$state: $!";
}

sub start {
    $number++;
    $pid = fork // die "fork: $!";
    if (!$pid) {
        POSIX::sigprocmask(POSIX::SIG_SETMASK(), POSIX::SigSet->new);
        exec $^X, @app or POSIX::_exit(127);
    }
    for (1 .. 1000) {
        return report('up') if -S $app[2];
        last if waitpid($pid, POSIX::WNOHANG()) != 0;
        Time::HiRes::sleep(0.01);
    }
    report('failed');
}

sub stop {
    kill TERM => $pid;
    waitpid $pid, 0;
}

# A signal before `sigsuspend` must not be missed.
POSIX::sigprocmask(POSIX::SIG_BLOCK(), POSIX::SigSet->new(POSIX::SIGTERM(), POSIX::SIGHUP()));
for my $signal (qw(TERM HUP)) { $SIG{$signal} = sub { $asked{$signal} = 1 } }
start();
while (1) {
    POSIX::sigsuspend(POSIX::SigSet->new) until %asked;
    stop();
    last if $asked{TERM};
    %asked = ();
    start();
}
