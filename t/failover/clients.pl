# Clients with kept connections to nginx. Each sends a POST with a new name, a GET that must find it, and waits a little.
#
#   perl clients.pl PORT CLIENTS LOG       until its standard input ends
#
# The log has a line for each request: method, name, seconds of its start and its end, status (000: no answer), body.

use strict;
use warnings;
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

my ($port, $number, $path) = @ARGV;
my $THINK = 0.2;
my $PATIENCE = 30;
open my $log, '>', $path or die "$path: $!";
$log->autoflush(1);
my ($select, $stopping) = (IO::Select->new(\*STDIN), 0);
my $run = sprintf '%x-%x', $$, time * 1000;
my @clients = map { {id => $_, count => 0, next => time + $THINK * $_ / $number} } 1 .. $number;
my %of;

sub connected {
    my ($client) = @_;
    return if $client->{socket};
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 5) or die "nginx cannot be reached: $!\n";
    $client->{socket} = $socket;
    $of{$socket} = $client;
    $select->add($socket);
}

sub disconnect {
    my ($client) = @_;
    my $socket = delete $client->{socket} or return;
    $select->remove($socket);
    delete $of{$socket};
    close $socket;
}

sub ask {
    my ($client, $method) = @_;
    connected($client);
    $client->{count}++ if $method eq 'POST';
    my $name = "$run-$client->{id}-$client->{count}";
    @$client{qw(method name began input)} = ($method, $name, time, '');
    my $length = $method eq 'POST' ? "Content-Length: 0\r\n" : '';
    syswrite $client->{socket}, "$method /orders/$name HTTP/1.1\r\nHost: shop\r\n$length\r\n";
}

sub answered {
    my ($client, $status, $body) = @_;
    chomp $body;
    my $method = delete $client->{method};
    printf $log "%s\t%s\t%.6f\t%.6f\t%s\t%s\n", $method, $client->{name}, $client->{began}, time, $status, $body =~ s/\s+/ /gr;
    return ask($client, 'GET') if $method eq 'POST' && $status eq '200';
    $client->{next} = time + $THINK;
}

sub hear {
    my ($client) = @_;
    my $read = sysread $client->{socket}, $client->{input}, 65536, length $client->{input};
    if (!$read) {
        disconnect($client);
        answered($client, '000', '') if $client->{method};
        return;
    }
    my ($head, $body) = $client->{input} =~ /^(.*?\r\n)\r\n(.*)/s or return;
    my ($status) = $head =~ m{^HTTP/1\.1 (\d+)};
    my ($length) = $head =~ /^Content-Length: (\d+)/mi;
    return if length $body < ($length // 0);
    disconnect($client) if $head =~ /^Connection: close/mi;
    answered($client, $status // '000', $body);
}

$SIG{PIPE} = 'IGNORE';
while (!$stopping || grep { $_->{method} } @clients) {
    my $now = time;
    for my $client (@clients) {
        if ($client->{method}) {
            next if $now - $client->{began} < $PATIENCE;
            disconnect($client);
            answered($client, '000', '');
        } elsif (!$stopping && $client->{next} <= $now) {
            ask($client, 'POST');
        }
    }
    for my $ready ($select->can_read(0.005)) {
        if ($of{$ready}) {
            hear($of{$ready});
        } else {
            $stopping = 1;
            $select->remove($ready);
        }
    }
}
close $log or die "$path: $!";
