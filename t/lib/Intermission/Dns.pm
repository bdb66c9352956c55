package Intermission::Dns;

# A name server that answers 127.0.0.1 for every name, or what it is told.
#
#   my $dns = Intermission::Dns->new(ttl => 0, delay => 0.02);
#   resolver 127.0.0.1:PORT ipv6=off;         # $dns->port
#   $dns->freeze; $dns->thaw; $dns->asked; $dns->gone; $dns->moved('127.0.0.2');

use strict;
use warnings;
use File::Temp ();
use Intermission::Process;
use IO::Socket::INET;

# ttl => of its answers, in s; delay => before each answer, in s
sub new {
    my ($class, %opt) = @_;
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp') or die "no port: $!";
    my $file = File::Temp->new;
    pipe my $hear, my $say or die "pipe: $!";
    $hear->blocking(0);
    my $pid = Intermission::Process::start(
        'dns', [$^X, '-It/lib', '-MIntermission::Dns', '-e', 'Intermission::Dns::serve(@ARGV)', $opt{ttl} // 60, $opt{delay} // 0, $file->filename],
        stdin => $socket, stdout => $say,
    );
    return bless {pid => $pid, port => $socket->sockport, hear => $hear, asked => 0, file => $file}, $class;
}

sub port { $_[0]{port} }

# After freeze it does not answer, until thaw.
sub freeze { kill STOP => $_[0]{pid} }
sub thaw   { kill CONT => $_[0]{pid} }

# From now on every name has this address, or none has any.
sub moved {
    my ($self, $address) = @_;
    my $file = $self->{file}->filename;
    open my $to, '>', "$file.new" or die "$file.new: $!";
    print $to $address;
    close $to;
    rename "$file.new", $file or die "$file: $!";
}
sub gone { $_[0]->moved('none') }

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
    my ($ttl, $delay, $file) = @_;
    open my $socket, '+<&=', 0 or die "stdin: $!";
    while (defined(my $from = recv $socket, my $question, 512, 0)) {
        syswrite STDOUT, '.';
        select undef, undef, undef, $delay if $delay;
        my $name = substr $question, 12, index($question, "\0", 12) - 12 + 5;
        my $address = Intermission::Process::slurp($file) || '127.0.0.1';
        my $is_known = $address ne 'none';
        my $answer = $is_known ? pack 'n n n N n C4', 0xc00c, 1, 1, $ttl, 4, split /\./, $address : '';
        send $socket, substr($question, 0, 2) . pack('n n n n n', $is_known ? 0x8180 : 0x8183, 1, $is_known ? 1 : 0, 0, 0) . $name . $answer, 0, $from;
    }
}

1;
