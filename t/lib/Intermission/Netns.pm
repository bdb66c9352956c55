package Intermission::Netns;

# A network namespace, joined to this one by a cable of its own.
#
#   my $net = Intermission::Netns->new;
#   start(..., before => [$net->inside]);    # it reaches $net->address, and nothing else
#   $net->cut; $net->heal;

use strict;
use warnings;

my $count = 0;

# Why there is none; undef if there is one.
sub missing {
    return 'not root' if $>;
    return -x '/usr/sbin/ip' || -x '/sbin/ip' ? undef : 'no ip';
}

sub new {
    my ($class) = @_;
    my $number = ++$count;
    # In 198.18.0.0/15, which is for tests of networks: some 8,000 processes at a time have addresses of their own.
    my $net = '198.18.' . ($$ / 64 % 256) . '.' . ($$ % 64 * 4);
    my ($base, $last) = $net =~ /(.*\.)(\d+)/;
    my $self = bless {
        name => "im$$-$number", here => "im$$-$number", address => $base . ($last + 1), there => $base . ($last + 2), pid => $$,
    }, $class;
    _ip('netns', 'add', $self->{name});
    _ip('link', 'add', $self->{here}, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', $self->{name});
    _ip('addr', 'add', "$self->{address}/30", 'dev', $self->{here});
    _ip('link', 'set', $self->{here}, 'up');
    _ip('-n', $self->{name}, 'addr', 'add', "$self->{there}/30", 'dev', 'eth0');
    _ip('-n', $self->{name}, 'link', 'set', $_, 'up') for 'lo', 'eth0';
    return $self;
}

# This side's address.
sub address { $_[0]{address} }

# The other side's.
sub there { $_[0]{there} }

# What a command in the namespace begins with.
sub inside { ('ip', 'netns', 'exec', $_[0]{name}) }

# From now on nothing goes through, in neither direction.
sub cut {
    my ($self) = @_;
    _ip('link', 'set', $self->{here}, 'down');
}

# From now on what the other side sends arrives, but nothing goes back.
sub mute {
    my ($self) = @_;
    _ip('route', 'add', 'blackhole', "$self->{there}/32");
    $self->{is_mute} = 1;
}

sub heal {
    my ($self) = @_;
    _ip('route', 'del', 'blackhole', "$self->{there}/32") if delete $self->{is_mute};
    _ip('link', 'set', $self->{here}, 'up');
}

sub _ip { system('ip', @_) == 0 or die "ip @_: $?\n" }

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{pid};
    local ($@, $?, $!);
    $self->heal if $self->{is_mute};
    # The cable goes with it.
    system 'ip', 'link', 'del', $self->{here};
    system 'ip', 'netns', 'del', $self->{name};
}

1;
