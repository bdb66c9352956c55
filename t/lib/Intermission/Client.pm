package Intermission::Client;

# An HTTP/1.1 client on one connection. A test can wait for its answer, or not.

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes ();

# to => '127.0.0.1:port' or 'unix:/path'
sub new {
    my ($class, %opt) = @_;
    my $to = $opt{to};
    my $socket = $to =~ /^unix:(.*)/
        ? IO::Socket::UNIX->new(Peer => $1)
        : IO::Socket::INET->new(PeerAddr => $to, Timeout => 5);
    die "cannot connect to $to: $!\n" if !$socket;
    $socket->blocking(0);
    binmode $socket;
    return bless {socket => $socket, input => ''}, $class;
}

sub socket { $_[0]{socket} }

# Sends a request. Options: method, headers => {name => value, or undef for none}, host, body, keepalive => 1, raw => the bytes to send.
sub request {
    my ($self, $target, %opt) = @_;
    my $method = $opt{method} // (defined $opt{body} ? 'POST' : 'GET');
    my $body = $opt{body} // '';
    my %headers = (
        Host => $opt{host} // 'localhost',
        ($opt{keepalive} ? () : (Connection => 'close')),
        (length $body || $method !~ /^(?:GET|HEAD)$/ ? ('Content-Length' => length $body) : ()),
        %{$opt{headers} // {}},
    );
    my $lines = join '', map {
        my $name = $_;
        map { "$name: $_\r\n" } grep { defined } ref $headers{$name} ? @{$headers{$name}} : $headers{$name};
    } sort keys %headers;
    $self->{no_body} = $method eq 'HEAD';
    $self->{response} = undef;
    $self->write($opt{raw} // "$method $target HTTP/1.1\r\n$lines\r\n$body");
    return $self;
}

sub write {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $written = syswrite $self->{socket}, $bytes;
        if (defined $written) { substr $bytes, 0, $written, '' }
        elsif ($!{EAGAIN}) { IO::Select->new($self->{socket})->can_write(5) or last }
        else               { last }
    }
}

# Whether the whole answer is there. Does not wait.
sub answered {
    my ($self) = @_;
    return 1 if $self->{response};
    while (!$self->{eof}) {
        my $read = sysread $self->{socket}, $self->{input}, 65536, length $self->{input};
        if (!defined $read) {
            last if $!{EAGAIN};
            next if $!{EINTR};
            $self->{eof} = "$!";
        }
        elsif ($read == 0) { $self->{eof} = 'closed' }
    }
    return !!($self->{response} = $self->_parse);
}

# Whether a part of the answer is there. Does not wait.
sub begun {
    my ($self) = @_;
    return $self->answered || length $self->{input} > 0;
}

# Waits for the answer: {status, reason, headers => {lower case name => value}, body}. If it does not come in
# time, status is 0, and `error` says why.
sub response {
    my ($self, $seconds) = @_;
    my $end = Time::HiRes::time() + ($seconds // 10);
    my $select = IO::Select->new($self->{socket});
    until ($self->answered) {
        my $left = $end - Time::HiRes::time();
        return _none('timeout', $self->{input}) if $left <= 0;
        $select->can_read($left);
    }
    return $self->{response};
}

# The response of a client of any protocol. Closes the client, because after a body nginx waits for that.
sub last_response {
    my ($client) = @_;
    my $response = $client->response;
    $client->close;
    return $response;
}

sub close {
    my ($self) = @_;
    close delete $self->{socket} if $self->{socket};
}

sub _none {
    my ($error, $input) = @_;
    return {status => 0, reason => '', error => $error, headers => {}, body => '', partial => $input};
}

# Removes the first response from the input, if it is whole, and returns it.
sub _parse {
    my ($self) = @_;
    my $eof = $self->{eof};
    my ($head, $rest);
    do {
        my $at = index $self->{input}, "\r\n\r\n";
        return $eof ? _none($eof, $self->{input}) : undef if $at < 0;
        ($head, $rest) = (substr($self->{input}, 0, $at), substr $self->{input}, $at + 4);
        $self->{input} = $rest if $head =~ m{^HTTP/1\.\d 100};
    } while $head =~ m{^HTTP/1\.\d 100};
    my ($first, @lines) = split /\r\n/, $head;
    my ($status, $reason) = $first =~ m{^HTTP/1\.\d (\d{3}) ?(.*)} or return _none('malformed', $self->{input});
    my %headers;
    for (@lines) {
        my ($name, $value) = /^([^:]+):\s*(.*)/ or next;
        $headers{lc $name} = exists $headers{lc $name} ? "$headers{lc $name}, $value" : $value;
    }
    my $body = '';
    if ($self->{no_body} || $status =~ /^(?:101|204|304)$/) { }
    elsif (($headers{'transfer-encoding'} // '') eq 'chunked') {
        my $copy = $rest;
        while (1) {
            $copy =~ s/^([0-9a-fA-F]+)[^\r\n]*\r\n// or return $eof ? _none($eof, $self->{input}) : undef;
            my $size = hex $1;
            return $eof ? _none($eof, $self->{input}) : undef if length $copy < $size + 2;
            $body .= substr $copy, 0, $size, '';
            substr $copy, 0, 2, '';
            last if !$size;
        }
        $rest = $copy;
    }
    elsif (defined $headers{'content-length'}) {
        my $size = $headers{'content-length'};
        return $eof ? _none($eof, $self->{input}) : undef if length $rest < $size;
        $body = substr $rest, 0, $size, '';
    }
    else {
        return undef if !$eof;
        ($body, $rest) = ($rest, '');
    }
    $self->{input} = $rest;
    return {status => $status, reason => $reason, headers => \%headers, body => $body};
}

1;
