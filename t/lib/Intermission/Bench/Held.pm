package Intermission::Bench::Held;

# Many requests that are held, and the same as a plain burst: an nginx for so many, its clients, and how long they take.

use strict;
use utf8;
use warnings;
use Exporter 'import';
use Intermission;
use Intermission::Bench::Machine qw(on_cpu);
use List::Util qw(max min sum0);
use POSIX ();
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(server plain_server clients burst release most_held);

# Of one process of clients: it needs a file for each, and some more.
my $FILES = POSIX::sysconf(POSIX::_SC_OPEN_MAX());
my $CLIENTS = int($FILES * 0.75);
# nginx alone sends a header of the same length as X-Position.
my $PLAIN = 'location / { proxy_set_header X-Position $connection; proxy_pass http://unix:%s/backend.sock; }';

# How many requests this many workers can hold here: five eighths of their connections, and room for uneven workers.
sub most_held { return int($_[0] * $FILES * 0.6) }

# An nginx that can hold this many requests. Clients are spread evenly over the workers: that is the hardest case for the order.
sub server {
    my ($number, %conf) = @_;
    my $workers = $conf{workers} // 2;
    my $connections = min($FILES, 1024 + int(3 * $number / $workers));
    my $server = Intermission->new(
        workers => $workers, listen => '@PORT@ backlog=4096 reuseport',
        events => "worker_connections $connections;\n", %conf,
    );
    # The memory that a worker takes for its first requests must not count. One at a time, so that it takes no more.
    $server->get('/warm') for 1 .. 10 * $workers;
    return $server;
}

# An nginx without the module, with the app of another server.
sub plain_server {
    my ($number, $of, %conf) = @_;
    return server($number, %conf, with_module => 0, locations => sprintf $PLAIN, $of->dir);
}

# ---- clients

# Starts this many clients, as several processes if the limit on open files wants it, each at an address of its own.
sub clients {
    my ($server, $number, @more) = @_;
    my $processes = POSIX::ceil($number / $CLIENTS);
    my @crowds;
    for my $of (1 .. $processes) {
        my $first = int($number * ($of - 1) / $processes);
        my $count = int($number * $of / $processes) - $first;
        push @crowds, $server->crowd(
            '--to', "127.0.0.$of:" . $server->port, '--first', $first, '--count', $count, '--timeout', 120,
            # No process is held up by the others' listen queue.
            '--connecting', max(1, int(256 / $processes)), @more);
    }
    return bless {crowds => \@crowds}, __PACKAGE__;
}

sub say        { $_->say($_[1]) for $_[0]{crowds}->@* }
sub kill       { $_->kill for $_[0]{crowds}->@* }
sub wait_event { $_->wait_event($_[1]) for $_[0]{crowds}->@* }

# Waits for the end: {statuses, first_answer_us, last_answer_us} of all together.
sub done {
    my ($self) = @_;
    my @done = map { $_->done(180) } $self->{crowds}->@*;
    my %statuses;
    for my $done (@done) {
        $statuses{$_} += $done->{statuses}{$_} for keys %{$done->{statuses}};
    }
    return {
        statuses => \%statuses, first_answer_us => min(map { $_->{first_answer_us} } @done),
        last_answer_us => max(map { $_->{last_answer_us} } @done),
    };
}

# ---- a run

# Connects all clients, then lets all send at once. $while_connected: called before that.
sub burst {
    my ($server, $number, $while_connected) = @_;
    my $clients = clients($server, $number, '--start-on-stdin');
    $clients->wait_event('connected');
    $while_connected->() if $while_connected;
    my $cpu = on_cpu($server->workers);
    my $began = time;
    $clients->say('go');
    return _run($server, $clients->done, $began, $number, $cpu);
}

# Holds this many, then resumes. $while_held: called while they are held. The app's log must be read by `server`.
sub release {
    my ($server, $number, $while_held) = @_;
    my $seen = $server->backend_log;
    $server->control('enable');
    my $clients = clients($server, $number);
    $clients->wait_event('sent');
    $server->wait_held($number, seconds => 60);
    $while_held->() if $while_held;
    my $operator = Intermission::Client->new(to => '127.0.0.1:' . $server->port);
    # Time for nginx to accept the operator's connection.
    sleep 0.2;
    my $cpu = on_cpu($server->workers);
    my $began = time;
    $operator->request('/_intermission/disable');
    my $run = _run($server, $clients->done, $began, $number, $cpu);
    $run->{violations} = $server->position_inversions(after => $seen);
    return $run;
}

# first and last answer in ms; bad: how many were not answered with 200; cpu: of the workers, µs per request.
sub _run {
    my ($server, $done, $began, $number, $cpu) = @_;
    return {
        first => 1000 * ($done->{first_answer_us} / 1e6 - $began),
        last => 1000 * ($done->{last_answer_us} / 1e6 - $began),
        bad => $number - ($done->{statuses}{200} // 0),
        cpu => (on_cpu($server->workers) - $cpu) / 1000 / $number,
    };
}

1;
