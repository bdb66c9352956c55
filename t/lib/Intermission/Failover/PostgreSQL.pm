package Intermission::Failover::PostgreSQL;

# A PostgreSQL server in a temporary folder. Two of them make a primary and its standby.
#
#   my @servers = Intermission::Failover::PostgreSQL::pair($dir);

use strict;
use warnings;
use Intermission;
use Intermission::Process;

# The newest version that is installed here.
my ($bin) = sort { ($b =~ /(\d+)/)[0] <=> ($a =~ /(\d+)/)[0] } glob '/usr/lib/postgresql/*/bin';
# PostgreSQL refuses to run as root.
my @run = $> == 0 ? qw(setpriv --reuid=postgres --regid=postgres --init-groups) : ();

sub bin         { $bin }
sub as_postgres { @run }

sub missing {
    return 'no PostgreSQL' if !$bin || !-x "$bin/initdb";
    return eval { require DBD::Pg } ? undef : 'no DBD::Pg';
}

# Starts db1, which takes writes and has the shop's table, and db2, which is its standby.
sub pair {
    my ($dir) = @_;
    my $one = __PACKAGE__->new(dir => $dir, name => 'db1');
    _run($one, "$bin/initdb", qw(--no-sync --auth=trust --username=postgres --encoding=UTF8 --locale=C), "--pgdata=$one->{data}");
    open my $conf, '>>', "$one->{data}/postgresql.conf" or die "postgresql.conf: $!";
    print $conf "fsync = off\nlisten_addresses = ''\nshared_buffers = 16MB\nwal_retrieve_retry_interval = 100ms\nmax_wal_size = 64MB\n";
    close $conf;
    $one->start;
    $one->make_shop;
    my $other = __PACKAGE__->new(dir => $dir, name => 'db2');
    _run($other, "$bin/pg_basebackup", qw(--no-sync --checkpoint=fast --write-recovery-conf -U postgres -h), $one->{socket}, '-D', $other->{data});
    $other->start;
    return ($one, $other);
}

# The user and the table of the shop.
sub make_shop {
    my ($self) = @_;
    $self->ask('CREATE TABLE orders (id SERIAL PRIMARY KEY, name VARCHAR(64) NOT NULL); CREATE INDEX ON orders (name);
        CREATE USER shop; GRANT ALL ON ALL TABLES IN SCHEMA public TO shop; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO shop');
}

# dir => a folder; name => of the server.
sub new {
    my ($class, %opt) = @_;
    my $self = bless {port => 5432, %opt, data => "$opt{dir}/$opt{name}", socket => "$opt{dir}/$opt{name}.socket"}, $class;
    for my $folder (@$self{qw(data socket)}) {
        mkdir $folder or die "$folder: $!";
        chown((getpwnam 'postgres')[2, 3], $folder) if $> == 0;
    }
    chmod 0700, $self->{data};
    chmod 0755, $self->{socket};
    # A server is no child of this test. The keeper ends it, however the test ends.
    $self->{keeper} = Intermission::Process::start("the keeper of $self->{name}",
        ['sh', '-c', 'trap "kill \$!; \"\$@\"; exit" TERM; sleep 1000 & wait', 'sh', @run, "$bin/pg_ctl", qw(stop --silent --mode immediate -D), $self->{data}]);
    return $self;
}

sub start {
    my ($self) = @_;
    open my $conf, '>>', "$self->{data}/postgresql.conf" or die "postgresql.conf: $!";
    print $conf "unix_socket_directories = '$self->{socket}'\n";
    close $conf;
    _run($self, "$bin/pg_ctl", qw(start --silent --wait -D), $self->{data}, '-l', "$self->{data}/log");
}

# Statements as the administrator. Returns the rows, a string each, with tabs between the columns.
sub ask {
    my ($self, $sql) = @_;
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @run, "$bin/psql", qw(-X -q -A -t -U postgres -F), "\t",
        '-h', $self->{socket}, '-p', $self->{port}, 'postgres', '-c', $sql or die "psql: $!";
    my @rows = <$out>;
    close $out or die "psql: $sql\n@rows";
    chomp @rows;
    return wantarray ? @rows : $rows[0];
}

# A server that is down takes no writes.
sub is_writable { (eval { $_[0]->ask('SELECT pg_is_in_recovery()') } // 't') eq 'f' }

# How the app connects.
sub conf { {dsn => "DBI:Pg:dbname=postgres;host=$_[0]{socket};port=$_[0]{port}", user => 'shop', password => ''} }

# The command that moves the writes from this server to another one.
sub switch_command {
    my ($self, $new, @point_app) = @_;
    my ($old_name, $new_name) = ($self->{name}, $new->{name});
    Intermission::write_file("$self->{dir}/switch.conf", <<"END");
bin=$bin
old="@run" old_data=$self->{data}
new="@run" new_data=$new->{data}
new_conninfo="host=$new->{socket} user=postgres"
new_psql="-U postgres -h $new->{socket}"
patience=\${PATIENCE:-10}
END
    # Its last argument is `old` or `new`.
    Intermission::write_file("$self->{dir}/point", "#!/bin/sh\ncase \$1 in old) exec @point_app $old_name.conf ;; new) exec @point_app $new_name.conf ;; esac\n");
    chmod 0755, "$self->{dir}/point";
    return (Intermission::root() . '/docs/hooks/postgresql-switch', "$self->{dir}/switch.conf", "$self->{dir}/point");
}

# A standby that stands still gets the writes of its primary no more.
sub stand_still { $_[0]->ask($_) for q{ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'}, 'SELECT pg_reload_conf()' }
sub go_on       { $_[0]->ask($_) for "ALTER SYSTEM SET primary_conninfo = 'host=$_[1]{socket} user=postgres'", 'SELECT pg_reload_conf()' }

# How many rows each order has: name => number.
sub orders {
    my ($self) = @_;
    return {map { split /\t/ } $self->ask('SELECT name, COUNT(*) FROM orders GROUP BY name')};
}

sub stop {
    my ($self) = @_;
    Intermission::Process::end(delete $self->{keeper}, [TERM => 10], [KILL => 5]) if $self->{keeper};
}

# Runs a command as the server's user. Dies if it fails.
sub _run {
    my ($self, @command) = @_;
    my $log = "$self->{dir}/$self->{name}.log";
    open my $output, '>>', $log or die "$log: $!";
    my $pid = Intermission::Process::start($command[0], [@run, @command], stdout => $output, stderr => $output);
    my $status;
    Intermission::Process::wait_until(sub { defined($status = Intermission::Process::reaped($pid)) }, 60);
    return if defined $status && $status == 0;
    die "$command[0] fails:\n", Intermission::Process::slurp($log);
}

1;
