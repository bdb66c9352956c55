package Intermission::Chaos::Run;

# Carries out a schedule on a real nginx, and records what was done and when.

use strict;
use warnings;
use File::Spec ();
use File::Temp ();
use IO::Socket::INET;
use Intermission;
use Intermission::App;
use Intermission::Chaos::Conf;
use Intermission::Chaos::Outages;
use Intermission::Chaos::Schedule;
use Intermission::Process;
use Time::HiRes ();
use Time::Local ();

my $WORKERS = 4;
# No schedule holds a request for this long: a client that waits longer is stuck.
my $CROWD_SECONDS = 60;
my $CONTROL_SECONDS = 5;
my $MOST_CROWDS = 40;

# Keys: module, faults (true: the module can be told to die while it holds the lock), violation (a function that is
# called with a text for each fault).
sub new {
    my ($class, %opt) = @_;
    my $self = bless {
        %opt, crowds => [], controls => [], idle => [], killed => {}, stopped => {}, downs => [], reloads => [], next_id => 1,
        skipped => 0, count => {},
    }, $class;
    $self->{port} = Intermission::App::free_port();
    # Workers may write to the instance's own folder, so the state file cannot be there.
    $self->{state_folder} = File::Temp::tempdir('intermission-state-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    # The cache is in memory, if possible: a worker that waits for a busy disk is late for everything else.
    my $memory = -w '/dev/shm' ? '/dev/shm' : File::Spec->tmpdir;
    $self->{cache_folder} = File::Temp::tempdir('intermission-cache-XXXXXXXX', DIR => $memory, CLEANUP => 1);
    my $t = $self->{nginx} = Intermission->new(
        workers => $WORKERS, module => $opt{module}, http2 => 1, events => 'worker_connections 1024;',
        # If nginx keeps connections by default, none must be left in the end.
        upstream => 'keepalive_timeout 200ms;',
        http => Intermission::Chaos::Conf::http($self->{state_folder}, $self->{cache_folder}), server => "listen 127.0.0.1:$self->{port} backlog=4096;\naccess_log \@DIR\@/chaos.access chaos;\n",
        locations => join '', map { Intermission::Chaos::Conf::locations($_) } @Intermission::Chaos::Schedule::APPS,
    );
    chmod 0777, $t->dir;
    $self->{outages} = Intermission::Chaos::Outages->new($self);
    $self->{masters} = [$t->master];
    open $self->{log}, '>', $t->dir . '/chaos.log' or die "chaos.log: $!";
    $self->{log}->autoflush(1);
    return $self;
}

sub nginx { $_[0]{nginx} }

# The app that comes and goes.
sub outages { $_[0]{outages} }

# Carries out each event at its time.
sub carry_out {
    my ($self, @events) = @_;
    $self->{base} = Time::HiRes::time();
    for my $event (@events) {
        $self->_wait(sub { Time::HiRes::time() >= $self->{base} + $event->{at} });
        $self->act($event);
    }
}

# Carries out one event at once.
sub act {
    my ($self, $event) = @_;
    my $what = "_$event->{what}";
    return $self->$what($event);
}

# Ends all pauses, and waits until the last client is gone.
sub calm_down {
    my ($self) = @_;
    $self->log('calm down');
    $self->{outages}->up;
    @{$self->{idle}} = ();
    $self->_wait(sub { !@{$self->{controls}} });
    for my $app (@Intermission::Chaos::Schedule::APPS) {
        $self->_control({app => $app->{name}, verb => 'disable?spread=0&concurrency=0'});
    }
    my $end = Time::HiRes::time() + $CROWD_SECONDS + 5;
    $self->_wait(sub { (!@{$self->{controls}} && !$self->_running) || Time::HiRes::time() > $end });
    for my $crowd ($self->_running) {
        $self->violation("crowd $crowd->{number} does not end");
        $crowd->{crowd}->kill;
    }
}

# The crowds: {number, kind, app, first, count, log (what the clients saw), killed (when), body}.
sub crowds { @{$_[0]{crowds}} }

# When a caller was answered that an app is quiet, and no other caller called meanwhile: {app, at}.
sub quiet { @{$_[0]{quiet} // []} }

sub at { return '/ctl/' . ($_[0] || 'default') }

# ---- events

sub _outage { $_[0]{outages}->begin($_[1]) }

sub _control {
    my ($self, $event) = @_;
    my $client = eval { $self->{nginx}->send(at($event->{app}) . "/$event->{verb}") };
    return $self->violation("control: $event->{verb}: $@") if !$client;
    push @{$self->{controls}}, $self->{last}{$event->{app}} = {%$event, client => $client, since => Time::HiRes::time()};
    $self->{count}{verbs}++;
    $self->log("app \"$event->{app}\": $event->{verb}");
}

sub _crowd {
    my ($self, $event) = @_;
    if ($self->_running >= $MOST_CROWDS) {
        $self->{skipped}++;
        return $self->log('too many crowds: this one is skipped');
    }
    my ($t, $number) = ($self->{nginx}, scalar @{$self->{crowds}});
    my $place = $event->{kind} eq 'health' ? 'up?{i}.{n}&' : '{i}.{n}?';
    my $log = $t->dir . "/crowd.$number";
    my @arguments = (
        '--count', $event->{count}, '--first', $self->{next_id}, '--timeout', $CROWD_SECONDS, '--log', $log,
        '--path', '/' . ($event->{app} || 'default') . "/${place}delay=$event->{delay}", @{$event->{arguments}},
    );
    my $crowd = $event->{kind} =~ /^http2/
        ? $t->crowd_http2(@arguments)
        : $t->crowd('--to', "127.0.0.1:$self->{port}", @arguments);
    my %arguments = @{$event->{arguments}};
    push @{$self->{crowds}}, {
        number => $number, kind => $event->{kind}, app => $event->{app}, first => $self->{next_id},
        count => $event->{count}, log => $log, crowd => $crowd, body => $arguments{'--body'} // 0,
        delay => $event->{delay} / 1000,
    };
    $self->{next_id} += $event->{count};
    $self->log("crowd $number, $event->{kind}, pid @{[$crowd->pid]}: @arguments");
}

# Connects clients that send one request, and then keep their connections idle.
sub _idle {
    my ($self, $event) = @_;
    my $idle = $self->{idle};
    local $SIG{PIPE} = 'IGNORE';
    for (1 .. $event->{count}) {
        my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{port}") or last;
        print {$socket} "GET /default/up HTTP/1.1\r\nHost: x\r\n\r\n";
        $self->{count}{idle}++;
        push @$idle, $socket;
    }
    splice @$idle, 0, @$idle - $event->{keep} if @$idle > $event->{keep};
    $self->log("idle clients: @{[scalar @$idle]}");
}

sub _reload {
    my ($self) = @_;
    my $t = $self->{nginx};
    $t->workers;
    push @{$self->{reloads}}, Time::HiRes::time();
    $t->hup;
    $self->log('reload');
}

sub _reload_twice {
    my ($self, $event) = @_;
    $self->_reload;
    $self->_pause($event->{pause} / 3);
    $self->_reload;
}

sub _reload_and_kill {
    my ($self, $event) = @_;
    $self->_reload;
    $self->_pause($event->{pause});
    $self->_kill_one($event, $self->{nginx}->workers, $self->{nginx}->old_workers);
}

sub _kill {
    my ($self, $event) = @_;
    $self->_kill_one($event, $self->{nginx}->workers);
}

sub _kill_old {
    my ($self, $event) = @_;
    $self->_kill_one($event, $self->{nginx}->old_workers);
}

sub _kill_one {
    my ($self, $event, @pids) = @_;
    my $pid = $pids[@pids * $event->{place}] // return $self->log("$event->{what}: no worker to kill");
    $self->kill_worker($pid, "of @pids");
}

# Returns false if no worker has this pid.
sub kill_worker {
    my ($self, $pid, $which) = @_;
    return 0 if !grep { $_ == $pid } $self->{nginx}->workers, $self->{nginx}->old_workers;
    push @{$self->{killed}{$pid}}, Time::HiRes::time();
    kill KILL => $pid;
    $self->{count}{killed}++;
    $self->log("kill -9 $pid, $which");
    return 1;
}

# Kills the cache manager or the cache loader.
sub _kill_helper {
    my ($self, $event) = @_;
    my @pids = grep { Intermission::Process::title($_) =~ /^nginx: cache / } Intermission::Process::children($self->{nginx}->master);
    my $pid = $pids[@pids * $event->{place}] // return $self->log('no helper to kill');
    kill KILL => $pid;
    $self->{count}{helpers_killed}++;
    $self->log("kill -9 $pid, of the helpers @pids");
}

# A worker dies at a chosen step while it holds the lock, if the module has faults.
sub _die_in_lock {
    my ($self, $event) = @_;
    return $self->_kill($event) if !$self->{faults};
    my $file = $self->{nginx}->dir . '/fault';
    Intermission::write_file("$file.new", $event->{steps});
    rename "$file.new", $file or die "$file: $!";
    # The master must not be the process that dies: it visits the zone when it reloads.
    my $end = Time::HiRes::time() + 2;
    $self->_control({app => $event->{app}, verb => 'status'});
    $self->_wait(sub { !-e $file || Time::HiRes::time() > $end });
    $self->{count}{faults}++ if !unlink $file;
    $self->log("a worker is to die at step $event->{steps}");
}

sub _kill_crowd {
    my ($self, $event) = @_;
    my @running = $self->_running;
    my $crowd = $running[@running * $event->{place}] // return $self->log('no crowd to kill');
    $crowd->{killed} = Time::HiRes::time();
    $crowd->{crowd}->kill;
    $self->log("kill -9 crowd $crowd->{number}");
}

sub _quit  { $_[0]->_restart($_[1], sub { $_[0]->end_nginx(signal => 'QUIT', seconds => 20) }) }
sub _stop  { $_[0]->_restart($_[1], sub { $_[0]->end_nginx(signal => 'TERM', seconds => 10) }) }
sub _crash { $_[0]->_restart($_[1], \&_kill_everything) }

# Ends nginx in one way or another, and starts it again. It must have the same pauses. Meanwhile the schedule
# waits.
sub _restart {
    my ($self, $event, $end) = @_;
    my $t = $self->{nginx};
    my $begin = Time::HiRes::time();
    $self->_wait(sub { !@{$self->{controls}} });
    my %before = map { $_->{name} => $t->status(at => at($_->{name})) } @Intermission::Chaos::Schedule::APPS;
    my @pids = ($t->workers, $t->old_workers);
    my $down = {what => $event->{what}, from => Time::HiRes::time()};
    push @{$self->{downs}}, $down;
    my $racing = $event->{what} eq 'crash' && $event->{racing} && $self->_race($event, $before{$event->{app}});
    $self->log("$event->{what}, workers @pids");
    push @{$self->{killed}{$_}}, $down->{from} for $event->{what} ne 'quit' ? @pids : ();
    $self->{stopped}{$_} = 1 for $event->{what} eq 'stop' ? @pids : ();
    $end->($t) or $self->violation("$event->{what} does not end nginx as it should; left: @{$t->{leaked} // []}");
    if ($racing) {
        my $answer = $racing->{client}->response(1)->{status};
        $racing->{must} = $answer == 200;
        $self->log("app \"$event->{app}\": $racing->{verb} in the crash: $answer");
    }
    unlink $t->dir . '/http2.sock';
    $self->_pause($event->{pause});
    $t->start_nginx;
    push @{$self->{masters}}, $t->master;
    $down->{to} = Time::HiRes::time();
    $self->log("nginx is up again, master @{[$t->master]}");
    for my $app (map { $_->{name} } @Intermission::Chaos::Schedule::APPS) {
        $self->_is_as_before($app, $before{$app}, $racing && $app eq $event->{app} ? $racing : undef);
    }
    $self->{base} += Time::HiRes::time() - $begin;
}

# Calls a verb just before everything is killed. Its answer may come, or not.
sub _race {
    my ($self, $event, $before) = @_;
    my ($verb, $after) = $before->{state} eq 'open' ? (enable => 'paused') : (disable => 'open');
    my $client = $self->{nginx}->send(at($event->{app}) . "/$verb");
    $self->_pause($event->{pause} / 50);
    return {client => $client, verb => $verb, state => $after};
}

sub _kill_everything {
    my ($t) = @_;
    my $master = $t->master;
    # So that the master starts no other worker.
    kill STOP => $master;
    my @pids = ($master, Intermission::Process::children($master));
    kill KILL => @pids;
    my $gone = Intermission::Process::wait_until(sub { !grep { Intermission::Process::is_alive($_) } @pids }, 5);
    $t->end_nginx;
    return $gone;
}

sub _is_as_before {
    my ($self, $app, $before, $racing) = @_;
    my $now = $self->{nginx}->status(at => at($app));
    my $over = defined $before->{until} && _unix($before->{until}) <= Time::HiRes::time();
    my $kept = $before->{state} =~ /^(?:paused|stopped)$/ ? $before->{state} : 'open';
    my @allowed = $racing ? $racing->{state} : ();
    push @allowed, $kept, $over ? 'open' : () if !$racing || !$racing->{must};
    # A request may have found out already that its app is gone.
    my $goes = grep { $_->{name} eq $app && $_->{away} } @Intermission::Chaos::Schedule::APPS;
    push @allowed, qw(away draining) if $goes && grep { $_ eq 'open' } @allowed;
    if (!grep { $_ eq $now->{state} } @allowed) {
        $self->violation("app \"$app\" was $before->{state} before nginx ended, and is $now->{state}: not one of @allowed");
    }
    elsif ($now->{state} eq $kept && $kept ne 'open' && !$racing && $now->{pause} != $before->{pause}) {
        $self->violation("app \"$app\": pause $before->{pause} has become pause $now->{pause}");
    }
}

# ---- while the schedule runs

sub _wait {
    my ($self, $condition) = @_;
    until ($condition->()) {
        $self->_attend;
        Time::HiRes::sleep(0.005);
    }
}

sub _pause {
    my ($self, $seconds) = @_;
    my $end = Time::HiRes::time() + $seconds;
    $self->_wait(sub { Time::HiRes::time() >= $end });
}

# Reads answers of the control endpoint, and reaps crowds that have ended.
sub _attend {
    my ($self) = @_;
    $self->{outages}->attend;
    my $now = Time::HiRes::time();
    my @open;
    for my $control (@{$self->{controls}}) {
        my $what = "app \"$control->{app}\": $control->{verb}";
        if ($control->{client}->answered) {
            my $answer = $control->{client}->response;
            $self->log("$what: $answer->{status} " . ($answer->{error} // ''));
            $self->_unanswered($control, "$what: $answer->{error}") if !$answer->{status};
            my $late = $control->{verb} =~ /wait=/ ? 504 : 0;
            $self->violation("$what: answered $answer->{status}") if $answer->{status} !~ /^(?:0|200|304|409|$late)$/;
            $self->_waited($control, $answer->{status}) if $late;
        }
        elsif ($now > $control->{since} + $CONTROL_SECONDS) {
            $self->_unanswered($control, "$what: not answered within $CONTROL_SECONDS s");
        }
        else { push @open, $control }
    }
    @{$self->{controls}} = @open;
    for my $crowd ($self->_running) {
        my $status = Intermission::Process::reaped($crowd->{crowd}->pid);
        next if !defined $status;
        delete $crowd->{crowd};
        $self->violation("crowd $crowd->{number} failed itself, status $status") if !-e $crowd->{log};
    }
}

# A caller with wait= was answered. Records a 200, if no other caller called meanwhile.
sub _waited {
    my ($self, $control, $status) = @_;
    $self->{count}{"waited, and answered with $status"}++;
    my @others = grep { $_->{app} eq $control->{app} && $_ != $control } @{$self->{controls}}, @{$self->{last}}{$control->{app}} // ();
    return if $control->{verb} !~ /^enable/ || $status != 200 || grep { $_->{since} > $control->{since} } @others;
    push @{$self->{quiet}}, {app => $control->{app}, at => Time::HiRes::time()};
}

# The operator's client got no answer. That is a fault, unless its worker died.
sub _unanswered {
    my ($self, $control, $what) = @_;
    if ($self->{faults} || grep { $_ > $control->{since} - 1 } map { @$_ } values %{$self->{killed}}) {
        return $self->{count}{verbs_cut}++;
    }
    $self->violation($what);
}

sub _running { return grep { $_->{crowd} && !$_->{killed} } @{$_[0]{crowds}} }

sub log {
    my ($self, $line) = @_;
    my $now = Time::HiRes::time();
    my ($s, $m, $h) = localtime $now;
    printf {$self->{log}} "%02d:%02d:%02d.%03d %s\n", $h, $m, $s, 1000 * ($now - int $now), $line;
}

sub violation {
    my ($self, $text) = @_;
    $self->log("VIOLATION: $text");
    $self->{violation}->($text);
}

sub _unix {
    my ($y, $mon, $d, $h, $m, $s) = $_[0] =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):([\d.]+)Z$/ or die "no time: $_[0]";
    return Time::Local::timegm(0, $m, $h, $d, $mon - 1, $y) + $s;
}

1;
