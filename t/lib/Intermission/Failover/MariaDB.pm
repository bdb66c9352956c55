package Intermission::Failover::MariaDB;

# A MariaDB server in a temporary folder. Two of them make a primary and its replica.
#
#   my @servers = Intermission::Failover::MariaDB::pair($dir);

use strict;
use warnings;
use Intermission;
use Intermission::App;
use Intermission::Process;

sub missing {
    for my $command (qw(mariadbd mariadb-install-db mariadb)) {
        return "no $command" if !grep { -x "$_/$command" } '/usr/sbin', split /:/, $ENV{PATH};
    }
    return eval { require DBD::MariaDB } ? undef : 'no DBD::MariaDB';
}

# Starts db1, which takes writes and has the shop's table, and db2, which replicates it.
sub pair {
    my ($dir) = @_;
    my $one = __PACKAGE__->new(dir => $dir, name => 'db1', id => 1, host => '127.0.0.11');
    $one->_run('mariadb-install-db', '--no-defaults', '--auth-root-authentication-method=normal', '--skip-test-db',
        '--skip-name-resolve', '--innodb-log-file-size=4M', "--datadir=$one->{data}", _user());
    my $other = __PACKAGE__->new(dir => $dir, name => 'db2', id => 2, host => '127.0.0.12');
    $other->_run('cp', '-a', "$one->{data}/.", $other->{data});
    $_->start for $one, $other;
    $_->wait_up for $one, $other;
    $one->make_shop;
    $other->replicate($one);
    $other->wait_synced($one);
    return ($one, $other);
}

# dir => a folder; name => of the server; id => its server_id; host => its address.
sub new {
    my ($class, %opt) = @_;
    my $self = bless {port => Intermission::App::free_port(), %opt, data => "$opt{dir}/$opt{name}"}, $class;
    mkdir $self->{data} or die "$self->{data}: $!";
    chown((getpwnam 'mysql')[2, 3], $self->{data}) if $> == 0;
    chmod 0755, $self->{data};
    $self->{socket} = "$self->{data}/mysqld.sock";
    Intermission::write_file($self->cnf, "[client]\nsocket=$self->{socket}\nuser=root\n");
    return $self;
}

sub cnf  { "$_[0]{dir}/$_[0]{name}.cnf" }
sub host { $_[0]{host} }
sub port { $_[0]{port} }

# Starts without waiting.
sub start {
    my ($self) = @_;
    open my $log, '>>', "$self->{data}/stderr" or die "stderr: $!";
    $self->{pid} = Intermission::Process::start("mariadbd $self->{name}", [
        'mariadbd', '--no-defaults', _user(), "--datadir=$self->{data}", "--socket=$self->{socket}", "--tmpdir=$self->{data}",
        "--pid-file=$self->{data}/pid", "--bind-address=$self->{host}", "--port=$self->{port}", "--server-id=$self->{id}",
        "--report-host=$self->{host}", qw(--log-bin=bin --log-slave-updates --gtid-strict-mode=1 --binlog-format=ROW --read-only=1
        --skip-name-resolve --skip-slave-start --innodb-buffer-pool-size=16M --innodb-log-file-size=4M --innodb-use-native-aio=0
        --innodb-flush-log-at-trx-commit=0 --max-connections=100),
    ], stdout => $log, stderr => $log);
    return $self;
}

sub wait_up {
    my ($self) = @_;
    Intermission::Process::wait_until(sub { -S $self->{socket} && eval { $self->ask('SELECT 1') } }, 20)
        // die "$self->{name} does not start:\n", Intermission::Process::slurp("$self->{data}/stderr");
    return $self;
}

# Statements as root. Returns the rows, a string each, with tabs between the columns.
sub ask {
    my ($self, $sql) = @_;
    open my $out, '-|', 'mariadb', '--defaults-file=' . $self->cnf, qw(--batch --skip-column-names --execute), $sql or die "mariadb: $!";
    my @rows = <$out>;
    close $out or die "mariadb: $sql\n";
    chomp @rows;
    return wantarray ? @rows : $rows[0];
}

# The users and the table of the shop.
sub make_shop {
    my ($self) = @_;
    $self->ask(<<'SQL');
SET GLOBAL read_only = 0;
CREATE USER shop@'%' IDENTIFIED BY 'shop';
CREATE USER repl@'%' IDENTIFIED BY 'repl';
GRANT REPLICATION SLAVE ON *.* TO repl@'%';
CREATE DATABASE shop;
CREATE TABLE shop.orders (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) NOT NULL, KEY (name));
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO shop@'%';
SQL
}

# What CHANGE MASTER TO needs to replicate this server.
sub as_master { "MASTER_HOST='$_[0]{host}', MASTER_PORT=$_[0]{port}, MASTER_USER='repl', MASTER_PASSWORD='repl'" }

sub replicate {
    my ($self, $master) = @_;
    $self->ask('CHANGE MASTER TO ' . $master->as_master . ', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos; START SLAVE');
}

# Waits until this server has all that the other one has.
sub wait_synced {
    my ($self, $master) = @_;
    my $position = $master->ask('SELECT @@gtid_binlog_pos');
    my $missed = $self->ask("SELECT MASTER_GTID_WAIT('$position', 20)");
    die "$self->{name} does not reach $position\n" if $missed;
}

sub is_writable { $_[0]->ask('SELECT @@read_only') == 0 }

# How the app connects.
sub conf { {dsn => "DBI:MariaDB:database=shop;mariadb_socket=$_[0]{socket}", user => 'shop', password => 'shop'} }

# The command that moves the writes from this server to another one.
sub switch_command {
    my ($self, $new, @point_app) = @_;
    $ENV{REPLICATION} = $new->as_master;
    return (Intermission::root() . '/docs/hooks/mariadb-switch', $self->cnf, $new->cnf, @point_app);
}

# A replica that stands still gets the writes of its primary no more.
sub stand_still { $_[0]->ask('STOP SLAVE SQL_THREAD') }
sub go_on       { $_[0]->ask('START SLAVE') }

# How many rows each order has: name => number.
sub orders {
    my ($self) = @_;
    return {map { split /\t/ } $self->ask('SELECT name, COUNT(*) FROM shop.orders GROUP BY name')};
}

sub stop {
    my ($self) = @_;
    Intermission::Process::end(delete $self->{pid}, [TERM => 10], [KILL => 5]) if $self->{pid};
}

sub _user { $> == 0 ? '--user=mysql' : () }

sub _run {
    my ($self, @command) = @_;
    my $log = "$self->{dir}/install.log";
    open my $output, '>', $log or die "$log: $!";
    my $pid = Intermission::Process::start($command[0], \@command, stdout => $output, stderr => $output);
    my $status;
    Intermission::Process::wait_until(sub { defined($status = Intermission::Process::reaped($pid)) }, 60);
    return if defined $status && $status == 0;
    die "$command[0] fails:\n", Intermission::Process::slurp($log);
}

1;
