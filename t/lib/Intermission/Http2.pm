package Intermission::Http2;

# One HTTP/2 connection, frame by frame. Unlike with `crowd http2` and nghttp, a test decides when which part of
# a body is sent, and can ask how much the peer has let it send.

use strict;
use warnings;
use IO::Select;
use Intermission::Client;
use Time::HiRes ();

my %type = (data => 0, headers => 1, reset => 3, settings => 4, ping => 6, goaway => 7, window => 8);
my ($END_STREAM, $ACK, $END_HEADERS) = (1, 1, 4);
my $FRAME = 16384;

# to => as for Intermission::Client
sub new {
    my ($class, %opt) = @_;
    my $self = bless {
        client => Intermission::Client->new(to => $opt{to}), input => '', next => 1,
        initial => 65535, window => 65535, streams => {}, pongs => 0,
    }, $class;
    $self->{client}->write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . _frame(settings => 0, 0, ''));
    $self->_wait(sub { $self->{settled} }, 10) or die "no HTTP/2 at $opt{to}\n";
    return $self;
}

# Sends a request. Returns the stream. Options: method (GET, or POST with a body), headers => {}, body => bytes,
# which are sent as far as the windows allow; open => 1: more of the body comes by `data`; reset => 1: the stream
# is reset at once, in the same segment.
sub request {
    my ($self, $target, %opt) = @_;
    my $stream = $self->{next};
    $self->{next} += 2;
    my $has_body = $opt{open} || length($opt{body} // '');
    my %headers = (
        ':method' => $opt{method} // ($has_body ? 'POST' : 'GET'),
        ':scheme' => 'http', ':path' => $target, ':authority' => 'localhost',
    );
    my $block = join '', map { _field($_, $headers{$_}) } sort keys %headers;
    $block .= _field($_, $opt{headers}{$_}) for sort keys %{$opt{headers} // {}};
    $self->{streams}{$stream} = {window => $self->{initial}, output => $opt{body} // '', sent => 0, open => $opt{open}, body => ''};
    my $bytes = _frame(headers => $END_HEADERS | ($has_body ? 0 : $END_STREAM), $stream, $block);
    $bytes .= _frame(reset => 0, $stream, pack 'N', 8) if $opt{reset};
    $self->{client}->write($bytes);
    $self->_send;
    return $stream;
}

# Sends more of a body. end => 1: the body ends.
sub data {
    my ($self, $stream, $bytes, %opt) = @_;
    my $its = $self->{streams}{$stream};
    $its->{output} .= $bytes;
    $its->{open} = !$opt{end};
    $self->{client}->write(_frame(data => $END_STREAM, $stream, '')) if $opt{end} && !length $its->{output};
    $self->_send;
}

sub reset {
    my ($self, $stream) = @_;
    $self->{client}->write(_frame(reset => 0, $stream, pack 'N', 8));
}

sub close { $_[0]{client}->close }

# Whether the peer answers a PING.
sub ping {
    my ($self, $seconds) = @_;
    my $pongs = $self->{pongs};
    $self->{client}->write(_frame(ping => 0, 0, 'intermit'));
    return $self->_wait(sub { $self->{pongs} > $pongs }, $seconds // 10);
}

# How many bytes of a body have been sent, after all frames from the peer were read.
sub sent {
    my ($self, $stream) = @_;
    $self->_read;
    return $self->{streams}{$stream}{sent};
}

# Waits for the answer: {status, body}, or {status => 0, error}.
sub answer {
    my ($self, $stream, $seconds) = @_;
    my $its = $self->{streams}{$stream};
    $self->_wait(sub { $its->{ended} || $its->{error} || $self->{gone} }, $seconds // 10);
    return {status => 0, error => $its->{error} // $self->{gone} // 'timeout'} if !$its->{ended};
    return {status => $its->{status}, body => $its->{body}};
}

# Whether the answer is there. Does not wait.
sub answered {
    my ($self, $stream) = @_;
    $self->_read;
    return $self->{streams}{$stream}{ended};
}

sub _wait {
    my ($self, $condition, $seconds) = @_;
    my $end = Time::HiRes::time() + $seconds;
    $self->_read;
    until ($condition->()) {
        my $left = $end - Time::HiRes::time();
        return 0 if $left <= 0 || $self->{gone};
        IO::Select->new($self->{client}->socket)->can_read($left);
        $self->_read;
    }
    return 1;
}

# Reads all frames that have come.
sub _read {
    my ($self) = @_;
    while (!$self->{gone}) {
        my $read = sysread $self->{client}->socket, $self->{input}, 65536, length $self->{input};
        last if !defined $read && $!{EAGAIN};
        $self->{gone} = defined $read ? 'closed' : "$!" if !$read;
    }
    while (length $self->{input} >= 9) {
        my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN', $self->{input};
        my $length = $high << 16 | $low;
        last if length $self->{input} < 9 + $length;
        my $payload = substr $self->{input}, 9, $length;
        substr $self->{input}, 0, 9 + $length, '';
        $self->_take($type, $flags, $stream, $payload);
    }
    $self->_send;
}

sub _take {
    my ($self, $type, $flags, $stream, $payload) = @_;
    my $its = $self->{streams}{$stream};
    if ($type == $type{settings} && !($flags & $ACK)) {
        my %settings = unpack '(nN)*', $payload;
        $self->{initial} = $settings{4} // $self->{initial};
        $self->{settled} = 1;
        $self->{client}->write(_frame(settings => $ACK, 0, ''));
    }
    elsif ($type == $type{ping}) { $flags & $ACK ? $self->{pongs}++ : $self->{client}->write(_frame(ping => $ACK, 0, $payload)) }
    elsif ($type == $type{goaway}) { $self->{goaway} = 1 }
    elsif ($type == $type{window}) { ($its // $self)->{window} += unpack 'N', $payload }
    elsif ($its) {
        $its->{error} = 'reset ' . unpack 'N', $payload if $type == $type{reset};
        $its->{body} .= $payload if $type == $type{data};
        $its->{status} //= _status($payload) if $type == $type{headers};
        $its->{ended} = 1 if ($type == $type{data} || $type == $type{headers}) && $flags & $END_STREAM;
    }
}

# Sends what waits, as far as the windows allow.
sub _send {
    my ($self) = @_;
    for my $stream (sort { $a <=> $b } keys %{$self->{streams}}) {
        my $its = $self->{streams}{$stream};
        while (length $its->{output}) {
            my ($size) = sort { $a <=> $b } $FRAME, $its->{window}, $self->{window}, length $its->{output};
            last if $size <= 0;
            my $part = substr $its->{output}, 0, $size, '';
            my $is_last = !$its->{open} && !length $its->{output};
            $_->{window} -= $size for $self, $its;
            $its->{sent} += $size;
            $self->{client}->write(_frame(data => $is_last ? $END_STREAM : 0, $stream, $part));
        }
    }
}

sub _frame {
    my ($type, $flags, $stream, $payload) = @_;
    return pack 'CnCCNa*', length($payload) >> 16, length($payload) & 0xffff, $type{$type}, $flags, $stream, $payload;
}

# A header as a literal that is not indexed. Both parts must be shorter than 127 bytes.
sub _field { return "\0" . pack 'C/a*C/a*', @_ }

# nginx writes the status first, as an index or as three digits.
sub _status {
    my ($block) = @_;
    $block =~ s/^[\x20-\x3f]//;    # the size of the table
    my %indexed = ("\x88" => 200, "\x89" => 204, "\x8a" => 206, "\x8b" => 304, "\x8c" => 400, "\x8d" => 404, "\x8e" => 500);
    return $indexed{substr $block, 0, 1} // ($block =~ /^.\x03(\d{3})/s ? $1 : 'unknown');
}

1;
