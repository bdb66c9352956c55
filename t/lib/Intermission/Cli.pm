package Intermission::Cli;

# The command `intermission`.
#
#   my $cli = Intermission::Cli->new($one, $two);      # tests' nginx, or hosts as URLs
#   my $done = $cli->run('run', '--', 'true');         # {exit, out, err}
#   my $going = $cli->start('run', '--', 'sleep', 5);
#   $going->wait_err(qr/running/);
#   $going->signal('TERM');
#   my $done = $going->done;

use strict;
use warnings;
use Carp ();
use File::Temp ();
use Intermission;
use Intermission::Process;

# What is started ignores the signals that this process ignores, as under nohup.
$SIG{$_} = 'DEFAULT' for qw(HUP INT QUIT TERM);

my $binary = $ENV{TEST_CLI} // Intermission::root() . '/target/release/intermission';

sub new {
    my ($class, @hosts) = @_;
    @hosts = map { ref $_ ? url($_) : $_ } @hosts;
    return bless {hosts => "@hosts", dir => File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => 1), count => 0}, $class;
}

# The control endpoint of a test's nginx.
sub url {
    my ($t) = @_;
    return 'http://127.0.0.1:' . $t->port . '/_intermission';
}

sub dir    { $_[0]{dir} }
sub binary { $binary }

# Runs it. Returns {exit, out, err}; exit is 128 + n if it died of a signal.
sub run {
    my ($self, @arguments) = @_;
    return $self->start(@arguments)->done;
}

# Starts it. The first argument may be a hash: env => {}, before => [a command that it is started with], stdin => a handle.
sub start {
    my ($self, @arguments) = @_;
    my %opt = ref $arguments[0] ? %{shift @arguments} : ();
    my $base = $self->{dir} . '/' . ++$self->{count};
    open my $out, '>', "$base.out" or die "$base.out: $!";
    open my $err, '>', "$base.err" or die "$base.err: $!";
    local %ENV = (%ENV, HOME => $self->{dir}, INTERMISSION_HOSTS => $self->{hosts}, INTERMISSION_BY => 'alice', %{$opt{env} // {}});
    delete local @ENV{qw(XDG_CONFIG_HOME INTERMISSION_CONFIG)};
    my $pid = Intermission::Process::start("intermission @arguments", [@{$opt{before} // []}, $binary, @arguments], stdin => $opt{stdin}, stdout => $out, stderr => $err);
    return bless {pid => $pid, base => $base, what => "@arguments"}, 'Intermission::Cli::Going';
}

package Intermission::Cli::Going;

use strict;
use warnings;

sub pid { $_[0]{pid} }
sub out { Intermission::slurp("$_[0]{base}.out") }
sub err { Intermission::slurp("$_[0]{base}.err") }

sub signal {
    my ($self, $signal) = @_;
    kill $signal => $self->{pid};
}

# Waits until it has printed this on stderr. Returns the first group of the match, or 1.
sub wait_err { shift->_wait(err => @_) }
sub wait_out { shift->_wait(out => @_) }

sub _wait {
    my ($self, $which, $pattern) = @_;
    my $found = Intermission::Process::wait_until(sub { $self->$which =~ $pattern ? $1 // 1 : undef }, 20);
    return $found // Carp::croak("intermission $self->{what}: no $pattern in: " . $self->err . $self->out);
}

# Waits until it has ended, for at most this many seconds (40).
sub done {
    my ($self, $seconds) = @_;
    my $status;
    Intermission::Process::wait_until(sub { defined($status = Intermission::Process::reaped($self->{pid})) }, $seconds // 40)
        // Carp::croak("intermission $self->{what} does not end: " . $self->err);
    my $exit = $status & 127 ? 128 + ($status & 127) : $status >> 8;
    return {exit => $exit, out => $self->out, err => $self->err};
}

1;
