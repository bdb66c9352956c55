package Intermission::Failover;

# The stage of a database switch: nginx, an app of several processes behind it, two database servers, and clients.
#
#   my $stage = Intermission::Failover->new(dir => $dir, servers => [Intermission::Failover::MariaDB::pair($dir)]);
#   my $figures = $stage->run(sub { system $stage->switch_in_pause });

use strict;
use warnings;
use Intermission;
use Intermission::Failover::Command;
use Intermission::Process;
use JSON::PP ();
use List::Util qw(max);
use Test::More ();
use Time::HiRes ();

my $PROCESSES = 4;
# So many requests before and after a switch are load.
my $ENOUGH = 200;

# dir => a folder, with a name.cnf for each server; servers => [the one with the writes, its replica].
sub new {
    my ($class, %opt) = @_;
    my $self = bless {clients => 64, %opt, runs => 0}, $class;
    my $dir = $self->{dir};
    Intermission::write_file("$dir/$_->{name}.conf", JSON::PP::encode_json($_->conf)) for @{$self->{servers}};
    Intermission::write_file("$dir/app.conf", JSON::PP::encode_json($self->{servers}[0]->conf));
    my $here = Intermission::root() . '/t/failover';
    open my $errors, '>', "$dir/service.stderr" or die "service.stderr: $!";
    $self->{service} = Intermission::Process::start('the app\'s service',
        [$^X, "$here/service.pl", "$dir/state", "$here/app.pl", "$dir/app.conf", "$dir/app.sock", $PROCESSES], stderr => $errors);
    Intermission::write_file("$dir/service.pid", "$self->{service}\n");
    Intermission::Process::wait_until(sub { (Intermission::Process::slurp("$dir/state") // '') =~ /^1 up$/ }, 20)
        // die "the app does not start:\n", Intermission::Process::slurp("$dir/service.stderr");
    $self->{nginx} = Intermission->new(http => "upstream shop { server unix:$dir/app.sock; }", locations => <<'LOCATIONS');
set $app_name shop;
location / { intermission on; proxy_pass http://shop; }
location ^~ /_intermission { allow 127.0.0.1; deny all; intermission_control; }
LOCATIONS
    return $self;
}

sub nginx { $_[0]{nginx} }

# The address of the control endpoint.
sub control { 'http://127.0.0.1:' . $_[0]{nginx}->port . '/_intermission' }

# The app's command that docs/hooks/ speaks of, without its last argument.
sub point_app { (Intermission::root() . '/t/failover/point-app', $_[0]{dir}) }

# The folder with the command `intermission`, which knows this nginx. For a PATH.
sub command_folder { Intermission::Failover::Command::folder($_[0]{dir}, $_[0]->control) }

# The command that moves the writes to the other server, and the same in a pause. What else the command needs is
# put into the environment. patience => seconds that the replica gets to catch up (10).
sub switch {
    my ($self, %opt) = @_;
    my ($old, $new) = $self->servers;
    $ENV{PATIENCE} = $opt{patience} // 10;
    return $old->switch_command($new, $self->point_app);
}

sub switch_in_pause {
    my ($self, %opt) = @_;
    return (Intermission::Failover::Command::path(), 'run', '--host', $self->control,
        qw(--lease 60s --wait 10s --reason), 'db switch', '--', $self->switch(%opt));
}

# The server with the writes, then the other one.
sub servers {
    my ($self) = @_;
    my ($one, $other) = @{$self->{servers}};
    my @writable = map { $_->is_writable } $one, $other;
    die "not exactly one server takes writes: @writable\n" if !!$writable[0] == !!$writable[1];
    return $writable[0] ? ($one, $other) : ($other, $one);
}

# Runs a function while the clients send requests: for seconds (0.5) before and after it, and at least so many that
# it is under load. Returns what happened, see _figures.
sub run {
    my ($self, $function, %opt) = @_;
    my $log = "$self->{dir}/clients." . ++$self->{runs};
    my ($pid, $say) = $self->_clients($log);
    my $load = sub {
        my $more = $ENOUGH + (() = (Intermission::Process::slurp($log) // '') =~ /\n/g);
        Time::HiRes::sleep($opt{seconds} // 0.5);
        Intermission::Process::wait_until(sub { $more <= (() = (Intermission::Process::slurp($log) // '') =~ /\n/g) }, 60)
            // die "there is no load\n";
    };
    $load->();
    $function->();
    $load->();
    close $say;
    my $status;
    Intermission::Process::wait_until(sub { defined($status = Intermission::Process::reaped($pid)) }, 40);
    die "the clients failed: ", Intermission::Process::slurp("$log.stderr") if !defined $status || $status;
    return $self->_figures($log);
}

sub _clients {
    my ($self, $log) = @_;
    pipe my $stdin, my $say or die "pipe: $!";
    open my $errors, '>', "$log.stderr" or die "$log.stderr: $!";
    my $pid = Intermission::Process::start('the clients',
        [$^X, Intermission::root() . '/t/failover/clients.pl', $self->{nginx}->port, $self->{clients}, $log],
        stdin => $stdin, stderr => $errors);
    return ($pid, $say);
}

# requests, and of these failed: not answered with 200; why: with what instead; said: the app's errors. saved: POSTs
# answered with 200; lost: those of them without a row; twice: those with two. unseen: GETs that did not find the row.
# longest: how many seconds a request took; paused: how many it was held. at: the server that takes the writes.
sub _figures {
    my ($self, $log) = @_;
    my ($server) = $self->servers;
    my $orders = $server->orders;
    my @lines = map { [split /\t/] } split /\n/, Intermission::Process::slurp($log);
    my @saved = map { $_->[1] } grep { $_->[0] eq 'POST' && $_->[4] eq '200' } @lines;
    my %posted = map { $_->[1] => 1 } grep { $_->[0] eq 'POST' } @lines;
    my @held = grep { /^\d/ } map { $_->{hold_time} } grep { $posted{$_->{target} =~ s{.*/}{}r} } $self->{nginx}->access_log;
    my %why;
    $why{$_->[4]}++ for grep { $_->[4] ne '200' } @lines;
    return {
        requests => scalar @lines,
        failed => scalar(grep { $_->[4] ne '200' } @lines),
        saved => scalar @saved,
        lost => scalar(grep { !$orders->{$_} } @saved),
        twice => scalar(grep { ($orders->{$_} // 0) > 1 } keys %posted),
        unseen => scalar(grep { $_->[0] eq 'GET' && $_->[4] eq '200' && !$_->[5] } @lines),
        longest => max(map { $_->[3] - $_->[2] } @lines),
        paused => max(0, @held),
        why => join(', ', map { "$why{$_} times $_" } sort keys %why),
        said => [map { $_->[5] } grep { $_->[4] eq '500' } @lines],
        at => $server->{name},
    };
}

# Passes if every request was answered, and every row is there once.
sub nobody_saw_it {
    my ($self, $what, $figures) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::is($figures->{failed}, 0, "$what: no request fails") || Test::More::diag(join "\n", $figures->{why}, @{$figures->{said}});
    Test::More::is($figures->{lost}, 0, "$what: no row is lost");
    Test::More::is($figures->{twice}, 0, "$what: no row is there twice");
    Test::More::is($figures->{unseen}, 0, "$what: each row is found by the client that wrote it");
    Test::More::cmp_ok($figures->{saved}, '>', $ENOUGH / 2, "$what: rows are written");
}

# The app does not start with this server, until the function that is returned is called.
sub break_app {
    my ($self, $server) = @_;
    my $conf = "$self->{dir}/$server->{name}.conf";
    rename $conf, "$conf.right" or die "$conf: $!";
    Intermission::write_file($conf, Intermission::slurp("$conf.right") =~ s/"user":"\w+"/"user":"nobody"/r);
    return sub { rename "$conf.right", $conf or die "$conf: $!" };
}

sub stop {
    my ($self) = @_;
    Intermission::Process::end(delete $self->{service}, [TERM => 10], [KILL => 5]) if $self->{service};
    $_->stop for @{$self->{servers}};
}

1;
