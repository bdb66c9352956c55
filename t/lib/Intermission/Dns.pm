package Intermission::Dns;

# A name server that answers 127.0.0.1 for every name.
#
#   my $dns = Intermission::Dns->new(ttl => 0, delay => 0.02);
#   resolver 127.0.0.1:PORT ipv6=off;         # $dns->port
#   $dns->freeze; $dns->thaw; $dns->asked;

use strict;
use warnings;
use Intermission::Process;
use IO::Socket::INET;

# ttl => of its answers, in s; delay => before each answer, in s
sub new {
    my ($class, %opt) = @_;
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp') or die "no port: $!";
    pipe my $hear, my $say or die "pipe: $!";
    $hear->blocking(0);
    my $pid = Intermission::Process::start(
        'dns', [$^X, '-It/lib', '-MIntermission::Dns', '-e', 'Intermission::Dns::serve(@ARGV)', $opt{ttl} // 60, $opt{delay} // 0],
        stdin => $socket, stdout => $say,
    );
    return bless {pid => $pid, port => $socket->sockport, hear => $hear, asked => 0}, $class;
}

sub port { $_[0]{port} }

# After freeze it does not answer, until thaw.
sub freeze { kill STOP => $_[0]{pid} }
sub thaw   { kill CONT => $_[0]{pid} }

# How many questions have come up to now.
sub asked {
    my ($self) = @_;
    while (sysread $self->{hear}, my $dots, 4096) { $self->{asked} += length $dots }
    return $self->{asked};
}

sub DESTROY {
    my ($self) = @_;
    local ($@, $?, $!);
    $self->thaw;
    Intermission::Process::end($self->{pid}, [KILL => 5]);
}

# Runs in a process of its own. stdin is the socket.
sub serve {
    my ($ttl, $delay) = @_;
    open my $socket, '+<&=', 0 or die "stdin: $!";
    while (defined(my $from = recv $socket, my $question, 512, 0)) {
        syswrite STDOUT, '.';
        select undef, undef, undef, $delay if $delay;
        my $name = substr $question, 12, index($question, "\0", 12) - 12 + 5;
        my $answer = pack 'n n n N n C4', 0xc00c, 1, 1, $ttl, 4, 127, 0, 0, 1;
        send $socket, substr($question, 0, 2) . pack('n n n n n', 0x8180, 1, 1, 0, 0) . $name . $answer, 0, $from;
    }
}

1;
