package Intermission::Failover::Patroni;

# A member of a Patroni cluster, with its PostgreSQL. Two of them, with an etcd.
#
#   my @servers = Intermission::Failover::Patroni::pair($dir);

use strict;
use warnings;
use Intermission;
use Intermission::App;
use Intermission::Failover::PostgreSQL;
use Intermission::Process;
use parent -norequire => 'Intermission::Failover::PostgreSQL';

my $etcd;

sub missing {
    return $_ for grep { defined } Intermission::Failover::PostgreSQL::missing();
    for my $command (qw(patroni patronictl etcd)) { return "no $command" if !-x "/usr/bin/$command" }
    return undef;
}

# Starts both. The shop's table is in the one that leads.
sub pair {
    my ($dir) = @_;
    my ($client, $peer) = map { Intermission::App::free_port() } 1 .. 2;
    $etcd = _start("$dir/etcd.log", 'etcd', '--data-dir', "$dir/etcd", '--unsafe-no-fsync', '--listen-client-urls', "http://127.0.0.1:$client",
        '--advertise-client-urls', "http://127.0.0.1:$client", '--listen-peer-urls', "http://127.0.0.1:$peer");
    my @servers = map { __PACKAGE__->new(dir => $dir, name => $_, etcd => $client) } qw(db1 db2);
    $_->start for @servers;
    Intermission::Process::wait_until(sub { 2 == grep { /\trunning\t/ } $servers[0]->list }, 60) // die "Patroni does not start\n";
    @servers = sort { $b->is_writable <=> $a->is_writable } @servers;
    $servers[0]->make_shop;
    return @servers;
}

sub new {
    my ($class, %opt) = @_;
    my $self = Intermission::Failover::PostgreSQL::new($class, %opt);
    rmdir $self->{data} or die "$self->{data}: $!";
    mkdir "$self->{dir}/$self->{name}.home" or die "home: $!";
    chown((getpwnam 'postgres')[2, 3], "$self->{dir}/$self->{name}.home") if $> == 0;
    $self->{data} = "$self->{dir}/$self->{name}.home/data";
    my ($api, $port) = map { Intermission::App::free_port() } 1 .. 2;
    $self->{port} = $port;
    Intermission::write_file($self->yml, <<"END");
scope: shop
name: $self->{name}
restapi: {listen: "127.0.0.1:$api", connect_address: "127.0.0.1:$api"}
etcd3: {hosts: ["127.0.0.1:$self->{etcd}"]}
bootstrap:
  dcs: {ttl: 30, loop_wait: 1, retry_timeout: 10, postgresql: {parameters: {fsync: 'off', shared_buffers: 16MB}}}
  initdb: [no-sync, {encoding: UTF8}, {locale: C}]
postgresql:
  listen: "127.0.0.1:$port"
  connect_address: "127.0.0.1:$port"
  data_dir: $self->{data}
  pgpass: $self->{dir}/$self->{name}.home/pgpass
  bin_dir: @{[Intermission::Failover::PostgreSQL::bin()]}
  authentication: {superuser: {username: postgres}, replication: {username: repl}}
  parameters: {unix_socket_directories: $self->{socket}}
  pg_hba: ["local all all trust", "host all all 127.0.0.0/8 trust", "host replication all 127.0.0.0/8 trust"]
END
    return $self;
}

sub yml  { "$_[0]{dir}/$_[0]{name}.yml" }
sub list { split /\n/, `patronictl -c @{[$_[0]->yml]} list -f tsv 2>/dev/null` }

sub start {
    my ($self) = @_;
    local $ENV{HOME} = "$self->{dir}/$self->{name}.home";
    $self->{patroni} = _start("$self->{dir}/$self->{name}.log", Intermission::Failover::PostgreSQL::as_postgres(), 'patroni', $self->yml);
}

sub stop {
    my ($self) = @_;
    Intermission::Process::end(delete $self->{patroni}, [TERM => 20], [KILL => 5]) if $self->{patroni};
    $self->SUPER::stop;
    Intermission::Process::end($etcd, [TERM => 10], [KILL => 5]) if $etcd && $self->{name} eq 'db2';
}

sub switch_command {
    my ($self, $new, @point_app) = @_;
    return (Intermission::root() . '/docs/hooks/patroni-switchover', $self->yml, $new->{name}, @point_app);
}

sub _start {
    my ($log, @command) = @_;
    open my $output, '>>', $log or die "$log: $!";
    return Intermission::Process::start($command[0], \@command, stdout => $output, stderr => $output);
}

1;
