package Intermission::Fleet;

# Hosts of one fleet: an nginx on 127.0.0.1 to 127.0.0.4 each, with its agent, in front of one app.
#
#   my $fleet = Intermission::Fleet->new($etcd, hosts => 4);
#   my $done = $fleet->run('--', 'true');

use strict;
use warnings;
use Intermission;
use Intermission::App;
use Intermission::Cli;
use Intermission::Process;

sub new {
    my ($class, $etcd, %opt) = @_;
    my $self = bless {etcd => $etcd, cli => Intermission::Cli->new, hosts => []}, $class;
    $self->add(up => 1, map { $_ => $opt{$_} } qw(unix state control)) for 1 .. $opt{hosts} // 4;
    $self->wait_alive(scalar @{$self->{hosts}});
    return $self;
}

sub cli   { $_[0]{cli} }
sub dir   { $_[0]{cli}->dir }
sub hosts { @{$_[0]{hosts}} }
sub host  { $_[0]{hosts}[$_[1]] }

# The options that name the fleet.
sub options {
    my ($self, @urls) = @_;
    @urls = $self->{etcd}->urls if !@urls;
    return ('--fleet', 'web', map { ('--etcd', $_) } @urls);
}

# A further host. Its fields etcd => [URLs], poll => '1s', before => [what the agent's command begins with] and is_alone => 1 (callers do not know its
# endpoint) count when its agent starts. up => its agent runs. state => nginx has a state file. unix =>
# the agent reaches it by a Unix socket. control => directives of the control endpoint. Its field app is the app that it says it serves.
sub add {
    my ($self, %opt) = @_;
    my $number = @{$self->{hosts}};
    my ($first, $port, $listen) = ($self->{hosts}[0], Intermission::App::free_port(), Intermission::App::free_port());
    my $address = '127.0.0.' . ($number % 4 + 1);
    my $backend = $first ? $first->{t}->dir . '/backend.sock' : '@DIR@/backend.sock';
    my $t = Intermission->new(
        http => "upstream app { server unix:$backend; }" . ($opt{state} ? "\nintermission_state_file state;\n" : ''),
        server => "listen $address:$port;" . ($opt{unix} ? ' listen unix:@DIR@/control.sock;' : ''),
        locations => <<'END' . "location /_intermission { intermission_control; @{[$opt{control} // '']} }\n",
set $app_name basecamp;
location / { intermission on; proxy_pass http://app; }
END
    );
    chmod 0755, $t->dir;
    my $control = $opt{unix} ? 'unix:' . $t->dir . '/control.sock' : Intermission::Cli::url($t);
    my $host = {control => $control, t => $t, id => "h$number", address => "$address:$port", listen => "127.0.0.1:$listen"};
    push @{$self->{hosts}}, $host;
    $self->agent_up($number) if $opt{up};
    return $host;
}

# A further host that is down: it has never run. It has a state file.
sub add_down {
    my ($self) = @_;
    my $host = $self->add(state => 1);
    $host->{t}->end_nginx;
    unlink $host->{t}->dir . '/state';
    return $#{$self->{hosts}};
}

# Boots a host, as systemd does: the agent, then what is to be done before nginx starts, then nginx.
sub boot {
    my ($self, $at) = @_;
    $self->boot_agent($at);
    return $self->boot_nginx($at);
}

sub boot_agent {
    my ($self, $at) = @_;
    my $host = $self->agent_up($at);
    $host->{waits} = $self->{cli}->start('agent', '--wait-ready', '--listen', $host->{listen}, '--state-file', $host->{t}->dir . '/state');
}

sub boot_nginx {
    my ($self, $at) = @_;
    my $host = $self->{hosts}[$at];
    my $done = (delete $host->{waits})->done;
    die "--wait-ready: $done->{exit} $done->{err}" if $done->{exit};
    $host->{t}->start_nginx(port => $host->{t}->port);
    return $done->{err};
}

# A whole host dies: the agent, and nginx's master and workers.
sub kill_host {
    my ($self, $at) = @_;
    my $host = $self->{hosts}[$at];
    my @all = ($host->{t}->master, $host->{t}->workers, $host->{agent}->pid);
    kill KILL => @all;
    $self->agent_down($at);
    $host->{t}->end_nginx(signal => 'KILL');
}

# A host leaves in order: its nginx quits, then its agent is told.
sub leave {
    my ($self, $at) = @_;
    my $host = $self->{hosts}[$at];
    $host->{t}->end_nginx;
    $self->agent_down($at, 'QUIT');
    $host->{gone} = 1;
}

# A host that was there comes back, with an nginx that does not wait.
sub join {
    my ($self, $at) = @_;
    my $host = $self->agent_up($at);
    $host->{t}->start_nginx(port => $host->{t}->port);
}

sub agent_up {
    my ($self, $at) = @_;
    my $host = $self->{hosts}[$at];
    delete $host->{gone};
    my @endpoint = $host->{is_alone} ? () : ('--endpoint', Intermission::Cli::url($host->{t}));
    $host->{agent} = $self->{cli}->start(
        {env => {INTERMISSION_HOSTS => ''}, before => $host->{before}}, 'agent', $self->options(@{$host->{etcd} // []}), '--id', $host->{id},
        '--host', $host->{control}, '--app', $host->{app} // 'basecamp', @endpoint, '--listen', $host->{listen}, '--poll', $host->{poll} // '1s',
    );
    return $host;
}

# Ends an agent: by kill -9, or this signal.
sub agent_down {
    my ($self, $at, $signal) = @_;
    my $agent = delete $self->{hosts}[$at]{agent};
    Intermission::Process::end($agent->pid, [$signal // 'KILL' => 5]);
}

# What the agent says: the status of /ready, /clear or /metrics; 0 if it does not answer.
sub page {
    my ($self, $at, $page) = @_;
    my $host = $self->{hosts}[$at];
    return eval { $host->{t}->get("/$page", to => $host->{listen})->{status} } // 0;
}

# What etcd says.
sub look {
    my ($self) = @_;
    my $done = $self->{cli}->run('fleet', $self->options, '--json');
    return $done->{exit} == 0 ? JSON::PP::decode_json($done->{out}) : undef;
}

sub wait_alive {
    my ($self, $count) = @_;
    Intermission::Process::wait_until(sub {
        my $look = $self->look or return undef;
        return (grep { $_->{alive} } @{$look->{hosts}}) == $count || undef;
    }, 20) or die "not $count agents alive";
}

# Waits until etcd knows no pause.
sub wait_clear {
    my ($self) = @_;
    Intermission::Process::wait_until(sub { my $look = $self->look; $look && !@{$look->{pauses}} || undef }, 20) or die 'a pause is left';
}

sub states {
    my ($self) = @_;
    return CORE::join ' ', map { $_->{t}->status->{state} } grep { !$_->{gone} } $self->hosts;
}

# Starts `intermission run` over the fleet.
sub start {
    my ($self, @arguments) = @_;
    my %opt = ref $arguments[0] ? %{shift @arguments} : ();
    return $self->{cli}->start(\%opt, 'run', $self->options, '--app', 'basecamp', @arguments);
}

sub run { return shift->start(@_)->done }

# A command that writes when it began and ended, in µs, and sleeps so long.
sub noting {
    my ($self, $seconds) = @_;
    my $file = $self->dir . '/times';
    unlink $file;
    return ('sh', '-c', "date +%s%6N >$file; sleep $seconds; date +%s%6N >>$file");
}

# Those times; empty if it did not run to its end.
sub times {
    my ($self) = @_;
    my @times = -e $self->dir . '/times' ? split /\n/, Intermission::slurp($self->dir . '/times') : ();
    return @times;
}

# How many requests came to the app between two times, in µs.
sub came_between {
    my ($self, $from, $to) = @_;
    my $log = Intermission::slurp($self->host(0)->{t}->dir . '/backend.log');
    return scalar grep { /^\d+\t(\d{16})\t/ && $1 > $from && $1 < $to } split /\n/, $log;
}

# Waits until all hosts are open.
sub wait_open {
    my ($self, $seconds) = @_;
    Intermission::Process::wait_until(sub { $self->states =~ /paused|draining/ ? undef : 1 }, $seconds // 20);
    return $self->states;
}

# A steady load on these hosts, or on all. Returns the crowds.
sub load {
    my ($self, $seconds, $rate, @hosts) = @_;
    return map {
        $_->{t}->crowd('--to', $_->{address}, '--count', $rate * $seconds, '--rate', $rate, '--timeout', $seconds + 60, '--path', "/$_->{id}/{i}?delay=3")
    } grep { !$_->{gone} } @hosts ? map { $self->host($_) } @hosts : $self->hosts;
}

# How many of the crowds' requests were not answered with 200, and how many were.
sub count {
    my (undef, @crowds) = @_;
    my ($bad, $good) = (0, 0);
    for my $crowd (@crowds) {
        my $end = $crowd->done(90);
        my $fine = $end->{statuses}{200} // 0;
        $good += $fine;
        $bad += $end->{sent} - $fine;
    }
    return ($bad, $good);
}

1;
