package Intermission::Upstream;

# A backend that answers a request only when it is told to.
#
#   upstream own { server unix:@DIR@/own.sock; }
#
#   my $own = Intermission::Upstream->new($t);
#   my $client = $t->send('/own/a');
#   $own->wait('/own/a');
#   $own->answer('/own/a');

use strict;
use warnings;
use Carp ();
use IO::Select;
use IO::Socket::UNIX;
use Intermission::Process;

sub new {
    my ($class, $t) = @_;
    my $path = $t->dir . '/own.sock';
    my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 1024) or die "$path: $!";
    chmod 0777, $path;
    $listener->blocking(0);
    return bless {listener => $listener, peers => []}, $class;
}

# Waits until requests for these targets have come. They are not answered yet.
sub wait {
    my ($self, @targets) = @_;
    for my $target (@targets) {
        Intermission::Process::wait_until(sub { $self->_find($target) }, 10)
            // Carp::croak("not at the backend: $target");
    }
}

# How many requests wait for an answer.
sub waiting {
    my ($self) = @_;
    $self->_take;
    return scalar grep { defined $_->{target} } @{$self->{peers}};
}

# Sends a 103 with this header to a request that is there, and no answer.
sub hint {
    my ($self, $target, $header) = @_;
    $self->wait($target);
    _write($self->_find($target)->{socket}, "HTTP/1.1 103 Early Hints\r\n$header\r\n\r\n");
}

# Answers a request that is there: 200, with this many bytes (2).
sub answer {
    my ($self, $target, $size) = @_;
    $self->wait($target);
    my $length = $size // 2;
    $self->write($target, "HTTP/1.1 200 OK\r\nContent-Length: $length\r\nConnection: close\r\n\r\n" . 'o' x $length);
    $self->drop($target);
}

# Sends these bytes for a request that is there.
sub write {
    my ($self, $target, $bytes) = @_;
    $self->wait($target);
    _write($self->_find($target)->{socket}, $bytes);
}

# Closes the connection of a request that is there.
sub drop {
    my ($self, $target) = @_;
    $self->wait($target);
    my $peer = $self->_find($target);
    close $peer->{socket};
    @{$self->{peers}} = grep { $_ != $peer } @{$self->{peers}};
}

# Answers all requests that are there.
sub answer_all {
    my ($self) = @_;
    $self->_take;
    $self->answer($_) for map { $_->{target} // () } @{$self->{peers}};
}

sub _find {
    my ($self, $target) = @_;
    $self->_take;
    return (grep { ($_->{target} // '') eq $target } @{$self->{peers}})[0];
}

# Accepts connections, and reads the requests that have come.
sub _take {
    my ($self) = @_;
    while (my $socket = $self->{listener}->accept) {
        $socket->blocking(0);
        push @{$self->{peers}}, {socket => $socket, input => ''};
    }
    for my $peer (@{$self->{peers}}) {
        1 while sysread $peer->{socket}, $peer->{input}, 65536, length $peer->{input};
        $peer->{target} //= $1 if $peer->{input} =~ m{^\S+ (\S+) .*\r\n\r\n}s;
    }
}

sub _write {
    my ($socket, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $written = syswrite $socket, $bytes;
        if (defined $written) { substr $bytes, 0, $written, '' }
        elsif ($!{EAGAIN})    { IO::Select->new($socket)->can_write(5) or last }
        else                  { last }
    }
}

1;
