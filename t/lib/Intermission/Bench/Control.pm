package Intermission::Bench::Control;

# How long calls of the control endpoint take: with as many apps as the default zone has room for, with few and with many workers.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::Bench;
use Intermission::Bench::Held qw(clients);
use Intermission::Bench::Lock;
use Intermission::Bench::Machine qw(processors);
use Intermission::Client;
use Time::HiRes qw(time);

my $APPS = 485;
# In MiB: with room for so many apps, and for 1,024 workers and 2,048.
my ($ZONE, $LARGE_ZONE) = (80, 160);

sub run {
    calls(2, $ZONE);
    calls(trial(8, 256), $LARGE_ZONE);
    lock_time(trial(100, 2000));
}

# An nginx with this many paused apps.
sub with_apps {
    my ($workers, $zone, %conf) = @_;
    my $t = Intermission->new(
        workers => $workers, events => 'worker_connections ' . ($workers > 16 ? 256 : 8192) . ";\n",
        http => "intermission_zone ${zone}m; keepalive_requests 100000; access_log off;", %conf,
        locations => 'set $app_name $arg_app; location / { intermission on; proxy_pass http://backend; }'
            . ' location /_intermission { intermission_control apps=*; }',
    );
    my $operator = operator($t);
    for (1 .. $APPS - 1) {
        my $answer = timed($operator, "enable?app=app$_");
        die "enable for app $_: $answer->{status} $answer->{body}\n" if $answer->{status} != 200;
    }
    return $t;
}

sub operator {
    my ($t) = @_;
    return Intermission::Client->new(to => '127.0.0.1:' . $t->port);
}

# Makes a call on a kept connection, by a client that does as little as possible. Returns {status, body, ms}.
sub timed {
    my ($operator, $verb) = @_;
    my $socket = $operator->socket;
    $socket->blocking(1);
    my $began = time;
    syswrite $socket, "GET /_intermission/$verb HTTP/1.1\r\nHost: localhost\r\n\r\n";
    my ($answer, $length) = ('');
    until ($length && length $answer >= $length) {
        my $read = sysread $socket, $answer, 1 << 20, length $answer;
        die "$verb: the connection was closed\n" if !$read;
        $length //= $answer =~ /^Content-Length: (\d+)\r\n.*?\r\n\r\n/ms ? $+[0] + $1 : undef;
    }
    my $ms = 1000 * (time - $began);
    my ($status, $body) = $answer =~ m{^HTTP/1.1 (\d+) .*?\r\n\r\n(.*)}s;
    return {status => $status, body => $body, ms => $ms};
}

sub calls {
    my ($workers, $zone) = @_;
    my $times = trial(10, 200);
    my $t = with_apps($workers, $zone);
    my $operator = operator($t);
    timed($operator, 'enable?app=one');
    timed($operator, 'disable?app=one');
    my (@enable, @disable, @metrics, @status);
    for (1 .. $times) {
        push @enable, timed($operator, 'enable?app=one');
        push @disable, timed($operator, 'disable?app=one');
        push @status, timed($operator, 'status?app=one&format=json');
    }
    push @metrics, timed($operator, 'metrics') for 1 .. $times / 4;
    my %apps = map { $_ => 1 } $metrics[-1]{body} =~ /app="([^"]*)"/g;
    heading("Control endpoint, $workers workers, $APPS apps, no state file: from the call to the whole answer, ms");
    at_most(1, row('enable', 3, map { $_->{ms} } @enable));
    at_most(1, row('disable', 3, map { $_->{ms} } @disable));
    at_most(1, row('status', 3, map { $_->{ms} } @status));
    at_most(5, row('metrics, of ' . keys(%apps) . ' apps', 3, map { $_->{ms} } @metrics));
    none(say_of('answers other than 200', scalar grep { $_->{status} != 200 } @enable, @disable, @status, @metrics));
    finish('intermission', $t);
}

# The workers and the caller share the first processor, so that the watcher has the last for itself.
sub lock_time {
    my ($held) = @_;
    my $t = with_apps(2, $ZONE, processors() > 1 ? (main => "worker_cpu_affinity 01 01;\n") : ());
    my $operator = operator($t);
    my $clients = clients($t, $held, '--path', '/r/{i}?app=app1');
    $t->wait_held($held, app => 'app1', at => '/_intermission', seconds => 60);
    my %held;
    my $own = qx(taskset -pc $$) =~ s/.*: //sr =~ s/\s+//gr;
    qx(taskset -pc 0 $$) if processors() > 1;
    for my $verb ('status?app=app1&format=json', 'apps', 'metrics') {
        my $name = $verb =~ s/\?.*//r;
        push @{$held{$name}}, Intermission::Bench::Lock::held(($t->workers)[0], $ZONE << 20, sub {
            timed($operator, $verb) for 1 .. trial(20, 300);
        });
    }
    qx(taskset -pc $own $$);
    heading("Zone lock, " . grouped($held) . " held, $APPS apps: for how long a visit has it, µs");
    for my $name (qw(status apps metrics)) {
        my @sorted = sort { $a <=> $b } @{$held{$name}};
        row("$name, " . @sorted . ' visits seen', 1, @sorted);
        at_most(50, say_of('    99 of 100 have it for at most', $sorted[int 0.99 * $#sorted] // 0, 1)) if $name eq 'status';
    }
    timed($operator, 'disable?app=app1');
    $clients->done;
    finish('intermission', $t);
}

1;
