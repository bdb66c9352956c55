package Intermission::Answerer;

# A server of any protocol, in a process of its own, that gives each connection the same answer.
#
#   my $fastcgi = Intermission::Answerer->new(listen => 'unix:' . $t->dir . '/app.sock', until => qr/.../s, answer => sub {...});
#   $fastcgi->came;

use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Intermission::Process;
use POSIX ();

# Listens from now on. backlog => the length of its listen queue (100); until => what a whole request matches; answer => sub that gets the socket and the request, and returns the
# answer.
sub new {
    my ($class, %opt) = @_;
    my ($path) = $opt{listen} =~ /^unix:(.*)/;
    my $backlog = $opt{backlog} // 100;
    my $listener = $path
        ? IO::Socket::UNIX->new(Local => $path, Listen => $backlog)
        : IO::Socket::INET->new(LocalAddr => $opt{listen}, Listen => $backlog, ReuseAddr => 1);
    die "$opt{listen}: $!" if !$listener;
    chmod 0777, $path if $path;
    pipe my $hear, my $say or die "pipe: $!";
    $hear->blocking(0);
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        $SIG{TERM} = 'DEFAULT';
        $SIG{PIPE} = 'IGNORE';
        while (my $socket = $listener->accept) {
            my $input = '';
            while ($input !~ $opt{until}) { sysread $socket, $input, 65536, length $input or last }
            syswrite $say, '.';
            syswrite $socket, $opt{answer}->($socket, $input);
        }
        POSIX::_exit(0);
    }
    return bless {pid => $pid, hear => $hear, came => 0}, $class;
}

# How many connections have sent something up to now.
sub came {
    my ($self) = @_;
    while (sysread $self->{hear}, my $dots, 4096) { $self->{came} += length $dots }
    return $self->{came};
}

sub DESTROY {
    my ($self) = @_;
    local ($@, $?, $!);
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}

1;
