package Intermission;

# An nginx with the module, its backend and its clients, for one test file.
#
#   use lib 't/lib'; use Intermission;
#   my $t = Intermission->new(workers => 4);
#   $t->control('enable');
#   my $held = $t->send('/a');
#   $t->wait_held(1);
#   ...
#   $t->clean_ok; done_testing;

use strict;
use warnings;
use Carp ();
use Cwd ();
use File::Basename ();
use File::Temp ();
use IO::Socket::INET;
use Intermission::Client;
use Intermission::Conf;
use Intermission::Crowd;
use Intermission::Process;
use JSON::PP ();
use Test::More ();
use parent 'Intermission::Logs';

my $root = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');
my $nginx = $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx';
my $module = $ENV{TEST_NGINX_MODULE} // "$root/objs/ngx_http_intermission_module.so";
# A module that is linked into nginx has no file to load.
my $LOAD_LINKED = qr/load_module\s+linked;/;
my $crowd = $ENV{TEST_CROWD} // "$root/target/release/crowd";

# Starts the backend and nginx. Keys: those of Intermission::Conf::text; module => the path of another build; with_module => 0:
# nginx without the module; under => [a command that runs nginx]; backend => [further arguments of `crowd backend`].
sub new {
    my ($class, %conf) = @_;
    my $self = bless {conf => \%conf, dir => _directory(), log => '', workers_seen => {}}, $class;
    $self->_start_backend;
    return $self->start_nginx;
}

sub dir    { $_[0]{dir} }
sub port   { $_[0]{port} }
sub master { $_[0]{master} }

# Runs nginx -t on a whole configuration (conf => text), or on the parts that `new` takes.
# Returns its exit code and all that it printed.
sub nginx_t {
    my (%conf) = @_;
    my $dir = _directory();
    my $text = $conf{conf} // _text($dir, "unix:$dir/nginx.sock", %conf);
    $text =~ s/\@DIR\@/$dir/g;
    $text =~ s/$LOAD_LINKED//g;
    write_file("$dir/nginx.conf", $text);
    open my $output, '>', "$dir/output" or die "$dir/output: $!";
    my $pid = Intermission::Process::start('nginx -t', command($dir, '-t'), stdout => $output, stderr => $output);
    my $status;
    Intermission::Process::wait_until(sub { defined($status = Intermission::Process::reaped($pid)) }, 10)
        or die 'nginx -t does not end';
    return ($status & 127 ? "signal $status" : $status >> 8, slurp("$dir/output"));
}

# Whether this nginx has a directive. The locations, or other parts that `new` takes, must use it correctly.
sub knows {
    my ($directive, $locations, %conf) = @_;
    my ($exit, $output) = nginx_t(with_module => 0, locations => $locations, %conf);
    return 0 if $output =~ /unknown directive "\Q$directive\E"/;
    return $exit eq '0' || die "nginx -t: $output";
}

sub module_path { $module }
sub is_linked   { $module eq 'linked' }
sub root        { $root }

# ---- requests

# Sends a request on a new connection, and waits for the answer. Options: those of Intermission::Client::request,
# to => another address, timeout => seconds (10).
sub get {
    my ($self, $target, %opt) = @_;
    return $self->send($target, %opt)->response($opt{timeout});
}

# The same without waiting. Returns the Intermission::Client.
sub send {
    my ($self, $target, %opt) = @_;
    my $client = Intermission::Client->new(to => $opt{to} // "127.0.0.1:$self->{port}");
    return $client->request($target, %opt);
}

# Calls a verb with its parameters, such as 'enable?for=30s'. at => another location than /_intermission.
sub control {
    my ($self, $verb, %opt) = @_;
    return $self->get(($opt{at} // '/_intermission') . "/$verb", %opt);
}

# The decoded status. Options: app => name, and those of control.
sub status {
    my ($self, %opt) = @_;
    my $app = defined $opt{app} ? "&app=$opt{app}" : '';
    my $answer = $self->control("status?format=json$app", %opt);
    my $status = $answer->{status} == 200 && eval { JSON::PP::decode_json($answer->{body}) };
    return $status || die "no status, but $answer->{status}: $answer->{body}\n";
}

# Starts `crowd clients` with these arguments on this nginx (or on another --to). Returns the
# Intermission::Crowd.
sub crowd {
    my ($self, @arguments) = @_;
    return $self->_crowd('clients', "127.0.0.1:$self->{port}", @arguments);
}

# The same over HTTP/2. It needs `new` with http2 => 1.
sub crowd_http2 {
    my ($self, @arguments) = @_;
    return $self->_crowd('http2', "unix:$self->{dir}/http2.sock", @arguments);
}

# ---- waiting

# Polls until the condition is true. Returns its value, or dies after this many seconds (10). $what: what is waited for.
sub wait_for {
    my ($self, $condition, $what, $seconds) = @_;
    $seconds //= 10;
    return Intermission::Process::wait_until($condition, $seconds)
        // Carp::croak("not within $seconds s: $what");
}

sub wait_held {
    my ($self, $number, %opt) = @_;
    my $held;
    return $self->wait_for(sub { ($held = $self->status(%opt)->{held}) == $number || undef }, "$number requests to be held", $opt{seconds});
}

sub wait_state {
    my ($self, $state, %opt) = @_;
    return $self->wait_for(sub { $self->status(%opt)->{state} eq $state }, "the app to be $state", $opt{seconds});
}

# ---- processes

# The pids of the workers, without those that are shutting down.
sub workers {
    my ($self) = @_;
    my @workers = grep { Intermission::Process::title($_) eq 'nginx: worker process' }
        Intermission::Process::children($self->{master});
    $self->{workers_seen}{$_} = Intermission::Process::started($_) for @workers;
    return @workers;
}

sub old_workers {
    my ($self) = @_;
    return grep { Intermission::Process::title($_) =~ /^nginx: worker process is shutting down/ }
        Intermission::Process::children($self->{master});
}

sub wait_old_workers_gone {
    my ($self, $seconds) = @_;
    my %new = map { $_ => 1 } $self->workers;
    return $self->wait_for(
        sub { !grep { !$new{$_} } $self->_workers_left },
        'the old workers to be gone', $seconds);
}

# The workers that are alive, of all that `workers` has seen.
sub _workers_left {
    my ($self) = @_;
    my $seen = $self->{workers_seen};
    return grep { Intermission::Process::is_alive($_) && Intermission::Process::started($_) == $seen->{$_} } keys %$seen;
}

# Kills a worker by kill -9. Waits until it is gone and, if nginx starts another worker, until that one is up.
sub kill_worker {
    my ($self, $pid) = @_;
    my $is_old = grep { $_ == $pid } $self->old_workers;
    my $number = $self->{conf}{workers} // 2;
    kill KILL => $pid;
    $self->wait_for(sub { !Intermission::Process::is_alive($pid) }, "worker $pid to be gone");
    return if $is_old;
    return $self->wait_for(sub { $self->workers >= $number }, "another worker in the place of $pid");
}

# Writes the configuration, with the changes in %conf, and sends HUP.
sub hup {
    my ($self, %conf) = @_;
    %{$self->{conf}} = (%{$self->{conf}}, %conf);
    $self->write_conf;
    kill HUP => $self->{master};
}

# Reloads. Waits until all new workers are up, and the old ones accept no more connections (frozen workers
# are not waited for). Dies if nginx refuses the configuration.
sub reload {
    my ($self, %conf) = @_;
    my %old = map { $_ => 1 } $self->workers;
    my $emergencies = () = $self->error_log =~ /\[emerg\]/g;
    $self->hup(%conf);
    my $number = $self->{conf}{workers} // 2;
    $self->wait_for(sub {
        my $now = () = $self->error_log =~ /\[emerg\]/g;
        Carp::croak('nginx refuses the reload: ' . ($self->error_log =~ /.*(\[emerg\].*)/s)[0]) if $now > $emergencies;
        return $number == grep { !$old{$_} } $self->workers;
    }, 'the new workers to be up');
    delete @old{grep { _stands($_) } @{$self->{frozen} // []}};
    return $self->wait_for(sub { !grep { $old{$_} } $self->workers }, 'the old workers to be shutting down');
}

# Stops processes until kill CONT. Waits until they stand still.
sub freeze {
    my ($self, @pids) = @_;
    push @{$self->{frozen}}, @pids;
    kill STOP => @pids;
    for my $pid (@pids) {
        $self->wait_for(sub { _stands($pid) }, "process $pid to stand still");
    }
}

# Whether a process stands still after kill STOP.
sub _stands {
    my ($pid) = @_;
    return (Intermission::Process::slurp("/proc/$pid/stat") // '') =~ /\) T /;
}

# Ends nginx and the backend. True if the first signal (QUIT) was enough within
# its time, and nginx ended with status 0.
sub stop {
    my ($self, %opt) = @_;
    my $clean = $self->end_nginx(%opt);
    Intermission::Process::end(delete $self->{backend}, [TERM => 5], [KILL => 5]) if $self->{backend};
    return $clean;
}

# The same, but the backend goes on, for start_nginx.
sub end_nginx {
    my ($self, %opt) = @_;
    return 1 if !$self->{master};
    $self->workers;
    my @first = ($opt{signal} // 'QUIT', $opt{seconds} // 5);
    my ($signal, $status) = Intermission::Process::end($self->{master}, \@first, [TERM => 5], [KILL => 5]);
    my @left = grep { Intermission::Process::title($_) =~ /^nginx: worker/ } $self->_workers_left;
    kill KILL => @left;
    $self->{leaked} = \@left;
    delete $self->{master};
    $self->_no_crash;
    return ($signal // '') eq $first[0] && defined $status && $status == 0 && !@left;
}

# Fails if a process of nginx died by a signal that no test sends.
sub _no_crash {
    my ($self) = @_;
    my @crashes = grep { /exited on signal (?!9\b)/ && !/exited on signal 15\b/ } split /\n/, $self->error_log;
    Test::More::fail("no process of nginx crashes: $crashes[0]") if @crashes;
}

# Starts nginx once more in the same directory, on a new port, or on port => number.
sub start_nginx {
    my ($self, %opt) = @_;
    for my $try (1 .. 5) {
        return $self if $self->_start_nginx($opt{port});
    }
    die "nginx does not start:\n", $self->error_log, slurp("$self->{dir}/stderr");
}

# The last assertion of a test: no request is held, no ticket is lost, the log is clean, and nginx quits.
# apps => [names] and at => [control locations]: whose status to check. killed_process => 1: allows nginx's alerts about it. allow => [patterns of log lines].
sub clean_ok {
    my ($self, %allowed) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @faults;
    my @places = map { [at => $_] } @{$allowed{at} // ($allowed{apps} ? [] : ['/_intermission'])};
    push @places, map { [app => $_] } @{$allowed{apps} // []};
    for my $place ($self->{no_module} ? () : @places) {
        my $idle = eval {
            $self->wait_for(sub {
                my $status = $self->status(@$place);
                return $status->{held} == 0 && $status->{slots}{used} == 0;
            }, 'no request to be held, and no slot to be used', 5);
        };
        push @faults, "@$place: $@" if !$idle;
    }
    push @faults, 'nginx did not quit cleanly' if !$self->stop;
    push @faults, "workers left behind: @{$self->{leaked}}" if @{$self->{leaked}};
    my @patterns = @{$allowed{allow} // []};
    push @patterns, qr/\[alert\].*exited on signal 9/, qr/\[alert\].*shared memory zone .* was locked by/
        if $allowed{killed_process};
    for my $line (grep { /\[(?:emerg|alert|crit|error)\]/ } split /\n/, $self->error_log . slurp("$self->{dir}/early.log")) {
        push @faults, $line if !grep { $line =~ $_ } @patterns;
    }
    splice @faults, 20, @faults - 20, '... ' . (@faults - 20) . ' more' if @faults > 20;
    return Test::More::ok(!@faults, 'no request is held, no ticket is lost, and the error log is clean')
        || Test::More::diag(join "\n", @faults);
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != ($self->{owner} // $$);
    local ($@, $?, $!);
    $self->stop(signal => 'TERM');
}

# ---- how it starts

sub _start_backend {
    my ($self) = @_;
    my $dir = $self->{dir};
    pipe my $ready, my $stdout or die "pipe: $!";
    open my $errors, '>', "$dir/backend.stderr" or die "backend.stderr: $!";
    $self->{backend} = Intermission::Process::start(
        'crowd backend',
        [$crowd, 'backend', '--listen', "unix:$dir/backend.sock", '--log', "$dir/backend.log", @{$self->{conf}{backend} // []}],
        stdout => $stdout, stderr => $errors,
    );
    close $stdout;
    my $line = <$ready> // die "no backend ($crowd): ", slurp("$dir/backend.stderr");
    chmod 0777, "$dir/backend.sock";
}

# Returns false if the port was taken meanwhile.
sub _start_nginx {
    my ($self, $port) = @_;
    my $dir = $self->{dir};
    my $probe = !$port && (IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 1) || die "no port: $!");
    $self->{port} = $port || $probe->sockport;
    close $probe if $probe;
    $self->write_conf;
    open my $errors, '>', "$dir/stderr" or die "stderr: $!";
    $self->{owner} = $$;
    Intermission::Process::take_orphans() if $self->{conf}{daemon};
    my @command = (@{$self->{conf}{under} // []}, @{command($dir)});
    $self->{master} = Intermission::Process::start('nginx', \@command, stdout => $errors, stderr => $errors);
    my $number = $self->{conf}{workers} // 2;
    my $gone;
    my $up = Intermission::Process::wait_until(sub {
        $gone //= Intermission::Process::reaped($self->{master});
        return 1 if defined $gone && ($gone != 0 || !$self->{conf}{daemon});
        if (defined $gone) {
            return 0 if slurp("$dir/nginx.pid") !~ /^(\d+)\n/;
            $self->{master} = Intermission::Process::adopt('nginx', $1);
            $gone = undef;
        }
        return $self->{conf}{single} ? -s "$dir/nginx.pid" : $self->workers >= $number;
    }, 15);
    return 1 if $up && !defined $gone;
    delete $self->{master} if defined $gone;
    die "nginx does not start:\n", $self->error_log, slurp("$dir/stderr")
        if !defined $gone || $self->error_log . slurp("$dir/early.log") !~ /Address already in use/;
    return 0;
}

# Writes nginx.conf from the parts that `new` and `hup` were given.
sub write_conf {
    my ($self) = @_;
    $self->{no_module} = !($self->{conf}{with_module} // 1);
    my $text = _text($self->{dir}, "127.0.0.1:$self->{port} backlog=4096", %{$self->{conf}});
    $text =~ s/\@DIR\@/$self->{dir}/g;
    $text =~ s/\@PORT\@/$self->{port}/g;
    $text =~ s/$LOAD_LINKED//g;
    # nginx may be reading the old file.
    write_file("$self->{dir}/nginx.conf.new", $text);
    rename "$self->{dir}/nginx.conf.new", "$self->{dir}/nginx.conf" or die "nginx.conf: $!";
}

sub _text {
    my ($dir, $listen, %conf) = @_;
    my $with_module = $conf{with_module} // 1;
    return Intermission::Conf::text(
        listen => $listen, %conf, dir => $dir, module => $with_module ? $conf{module} // $module : '');
}

sub _crowd {
    my ($self, $command, $to, @arguments) = @_;
    return Intermission::Crowd->new(
        command => [$crowd, $command, '--to', $to, @arguments],
        errors => "$self->{dir}/crowd.stderr",
    );
}

# The command that runs nginx in a directory, with further arguments.
sub command {
    my ($dir, @more) = @_;
    # early.log has what nginx logs before it has read which log is configured.
    return [$nginx, '-p', "$dir/", '-c', "$dir/nginx.conf", '-e', "$dir/early.log", @more];
}

# Makes a temporary folder. Workers run as nobody, and must reach the sockets in it. TEST_KEEP=1 keeps it.
sub _directory {
    my $dir = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => !$ENV{TEST_KEEP});
    chmod 0755, $dir;
    Test::More::diag("kept: $dir") if $ENV{TEST_KEEP};
    return $dir;
}

# Writes a whole file.
sub write_file {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!";
    print {$file} $text;
    close $file or die "$path: $!";
}

# The content of a file; '' if it cannot be read.
sub slurp { Intermission::Process::slurp($_[0]) // '' }

1;
