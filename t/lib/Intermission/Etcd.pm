package Intermission::Etcd;

# An etcd of three members on 127.0.0.1.
#
#   my $etcd = Intermission::Etcd->new;
#   Intermission::Etcd->new(tls => {ca => FILE, cert => FILE, key => FILE}, args => [...]);    # clients need a certificate too
#   Intermission::Etcd->new(also => '198.18.0.1');    # its members listen there too
#   $etcd->urls; $etcd->urls('198.18.0.1'); $etcd->leader; $etcd->down(0); $etcd->up(0);

use strict;
use warnings;
use File::Temp ();
use Intermission;
use Intermission::App;
use Intermission::Client;
use Intermission::Process;

my $binary = '/usr/bin/etcd';

# Why there is none; undef if there is one.
sub missing { return -x $binary ? undef : 'no etcd' }

sub new {
    my ($class, %opt) = @_;
    my $count = $opt{members} // 3;
    my $self = bless {also => $opt{also}, tls => $opt{tls}, args => $opt{args} // [], dir => File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => 1)}, $class;
    $self->{scheme} = $opt{tls} ? 'https' : 'http';
    my %taken;
    my $port = sub {
        while (1) {
            my $free = Intermission::App::free_port();
            return $free if !$taken{$free}++;
        }
    };
    $self->{members} = [map { {name => "m$_", client => $port->(), peer => $port->(), health => $port->()} } 0 .. $count - 1];
    $self->up($_) for 0 .. $count - 1;
    $self->wait_healthy;
    return $self;
}

sub urls {
    my ($self, $address) = @_;
    $address //= '127.0.0.1';
    return map {"$self->{scheme}://$address:$_->{client}"} @{$self->{members}};
}

sub pids { grep {defined} map { $_->{pid} } @{$_[0]{members}} }

# Starts a member, with the data that it had.
sub up {
    my ($self, $at) = @_;
    my $one = $self->{members}[$at];
    my ($client, $peer) = ("$self->{scheme}://127.0.0.1:$one->{client}", "http://127.0.0.1:$one->{peer}");
    my $tls = $self->{tls};
    my @tls = $tls ? ('--cert-file', $tls->{cert}, '--key-file', $tls->{key}, '--trusted-ca-file', $tls->{ca}, '--client-cert-auth') : ();
    my $all = join ',', map {"$_->{name}=http://127.0.0.1:$_->{peer}"} @{$self->{members}};
    open my $log, '>>', "$self->{dir}/$one->{name}.log" or die "log: $!";
    $one->{pid} = Intermission::Process::start(
        "etcd $one->{name}",
        [
            $binary, '--name', $one->{name}, '--data-dir', "$self->{dir}/$one->{name}", '--logger', 'zap',
            '--listen-client-urls', join(',', $client, map {"$self->{scheme}://$_:$one->{client}"} grep {defined} $self->{also}), '--advertise-client-urls', $client,
            '--listen-peer-urls', $peer, '--initial-advertise-peer-urls', $peer, '--initial-cluster', $all,
            '--listen-metrics-urls', "http://127.0.0.1:$one->{health}", @tls, @{$self->{args}},
            '--heartbeat-interval', 100, '--election-timeout', 1000, '--unsafe-no-fsync',
        ],
        stdout => $log, stderr => $log,
    );
}

# Kills a member.
sub down {
    my ($self, $at) = @_;
    Intermission::Process::end(delete $self->{members}[$at]{pid}, [KILL => 5]);
}

sub _status {
    my ($self, $at) = @_;
    my $one = $self->{members}[$at];
    return undef if !$one->{pid};
    my $answer = eval {
        my $client = Intermission::Client->new(to => "127.0.0.1:$one->{client}");
        $client->request('/v3/maintenance/status', method => 'POST', body => '{}')->response(3);
    };
    return $answer && $answer->{status} == 200 ? eval { JSON::PP::decode_json($answer->{body}) } : undef;
}

# The number of the member that leads.
sub leader {
    my ($self) = @_;
    my $leader;
    Intermission::Process::wait_until(sub {
        for my $at (0 .. $#{$self->{members}}) {
            my $status = $self->_status($at) or next;
            next if !$status->{leader} || $status->{leader} ne $status->{header}{member_id};
            $leader = $at;
            return 1;
        }
        return undef;
    }, 20) or die "etcd has no leader\n";
    return $leader;
}

# Forgets its history, up to now.
sub compact {
    my ($self) = @_;
    my $revision = $self->_status(0)->{header}{revision};
    my $client = Intermission::Client->new(to => "127.0.0.1:$self->{members}[0]{client}");
    my $answer = $client->request('/v3/kv/compaction', method => 'POST', body => qq({"revision":"$revision","physical":true}))->response(5);
    die "compaction: $answer->{body}" if $answer->{status} != 200;
}

sub wait_healthy {
    my ($self) = @_;
    my $is_healthy = sub {
        my $answer = eval { Intermission::Client->new(to => "127.0.0.1:$_[0]{health}")->request('/health')->response(3) };
        return $answer && $answer->{status} == 200;
    };
    Intermission::Process::wait_until(sub { !(grep { $_->{pid} && !$is_healthy->($_) } @{$self->{members}}) || undef }, 20)
        or die "etcd is not healthy\n";
    return;
}

1;
