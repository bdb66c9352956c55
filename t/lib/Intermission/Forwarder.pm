package Intermission::Forwarder;

# A network between a client and a server on 127.0.0.1, which can be slow or gone.
#
#   my $net = Intermission::Forwarder->new($t->port);
#   $net->port;
#   $net->gone;        # from now on nothing goes through, and nobody is told
#   $net->back;
#   $net->lost;        # the connections that are open stand still for ever; new ones go through

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes ();

sub new {
    my ($class, $to) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 100) || die "no port: $!";
    pipe my $hear, my $say or die "pipe: $!";
    pipe my $done_hear, my $done_say or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        close $say;
        $SIG{$_} = 'DEFAULT' for qw(TERM INT);
        $SIG{PIPE} = 'IGNORE';
        eval { _forward($listener, $to, $hear, $done_say) };
        POSIX::_exit(0);
    }
    $say->autoflush(1);
    return bless {pid => $pid, port => $listener->sockport, say => $say, done => $done_hear}, $class;
}

sub port { $_[0]{port} }

# All goes through.
sub back { $_[0]->_mode('f') }

# Nothing goes through any more, neither on old connections nor on new ones. None is closed.
sub gone { $_[0]->_mode('g') }

# What clients send goes through, but the answers are lost.
sub deaf { $_[0]->_mode('d') }

# Each answer comes 200 ms later.
sub slow { $_[0]->_mode('s') }

# What is open stands still for ever, and is not closed. What is opened from now on goes through.
sub lost { $_[0]->_mode('l') }

# The mode counts when this returns.
sub _mode {
    my ($self, $mode) = @_;
    syswrite $self->{say}, $mode;
    sysread $self->{done}, my $done, 1;
}

sub _forward {
    my ($listener, $to, $hear, $done) = @_;
    my ($mode, %peer, %is_server, @late, @lost) = ('f');
    my $all = IO::Select->new($listener, $hear);
    while (1) {
        my $due = @late ? $late[0][0] - Time::HiRes::time() : 1;
        my @ready = $all->can_read($due > 0 ? $due : 0);
        while (@late && $late[0][0] <= Time::HiRes::time()) {
            my (undef, $socket, $bytes) = @{shift @late};
            syswrite $socket, $bytes if $mode ne 'g';
        }
        for my $one (@ready) {
            if ($one == $hear) {
                sysread $hear, $mode, 1 or return;
                if ($mode eq 'l') {
                    $all->remove(values %peer);
                    push @lost, values %peer;
                    %peer = ();
                }
                # What stood still goes on, and the other way round.
                for my $socket (keys %peer) { $mode eq 'g' ? $all->remove($peer{$socket}) : $all->add($peer{$socket}) }
                syswrite $done, '.';
            } elsif ($one == $listener) {
                my $client = $listener->accept or next;
                my $server = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$to") or next;
                ($peer{$client}, $peer{$server}) = ($server, $client);
                $is_server{$server} = 1;
                $all->add($client, $server) if $mode ne 'g';
            } else {
                my $other = $peer{$one} or next;
                if (!sysread $one, my $bytes, 65536) {
                    $all->remove($one, $other);
                    delete @peer{$one, $other};
                    close $_ for $one, $other;
                } elsif ($is_server{$one} && $mode eq 's') {
                    push @late, [Time::HiRes::time() + 0.2, $other, $bytes];
                } elsif (!$is_server{$one} || $mode ne 'd') {
                    syswrite $other, $bytes;
                }
            }
        }
    }
}

sub DESTROY {
    my ($self) = @_;
    local ($@, $?, $!);
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}

1;
