# The measurements of scripts/bench. The exit status says nothing about the figures.

use strict;
use utf8;
use warnings;
use lib 't/lib';
use Intermission;
use List::Util qw(max min sum0);
use POSIX ();
use Time::HiRes ();

my $HOLD_SECONDS = 3;
my $WRK_PAIRS = 21;
# The location of the sample configuration.
my $SAMPLE = <<'END';
set $intermission_max_time 300;
set $intermission_health_check_path /up/database;
set $intermission_privileged_user_agent "Pingdom";
intermission on;
END

my @sizes = @ARGV ? @ARGV : (1000, 8000);
my $files = POSIX::sysconf(POSIX::_SC_OPEN_MAX());
my $most = int($files * 0.75);
for my $size (@sizes) {
    next if $size =~ /^[1-9]\d*$/ && $size <= $most;
    print STDERR "usage: scripts/bench [how many to hold: 1 to $most, as the limit on open files allows] ...\n";
    exit 2;
}

$| = 1;
binmode STDOUT, ':encoding(UTF-8)';
print machine(), "\n";
held($_) for @sizes;
spread(500, 5);
passed();

# ---- N held

sub held {
    my ($number) = @_;
    my $pairs = min(15, max(5, int(20_000 / $number)));
    my $ours = server($number);
    # Both use the same backend.
    my $plain = server($number, with_module => 0,
        locations => "location / { proxy_pass http://unix:@{[$ours->dir]}/backend.sock; }");
    my ($idle, $waiting) = waiting($plain, $number);
    my $while_held;
    my (@burst, @release);
    for my $pair (1 .. $pairs) {
        my @runs = (
            sub { push @burst, burst($plain, $number) },
            sub { push @release, release($ours, $number, $while_held ? undef : \$while_held) },
        );
        $_->() for $pair % 2 ? @runs : reverse @runs;
    }
    my $violations = sum0 map { $_->{violations} } @release;

    heading(grouped($number) . " held, 2 workers, $pairs pairs", qw(min median max));
    row('plain nginx: from go to the last answer, ms', 0, map { $_->{last} } @burst);
    row('held: from disable to the first answer, ms', 1, map { $_->{first} } @release);
    row('held: from disable to the last answer, ms', 0, map { $_->{last} } @release);
    my @ratios = map { $release[$_]{last} / $burst[$_]{last} } 0 .. $pairs - 1;
    bound('at most 1.3', row('ratio held / plain, pair by pair', 2, @ratios) <= 1.3);
    say_of('out of order at the backend', $violations);
    bound('none of ' . grouped($pairs * $number), !$violations);
    say_of('CPU of the workers while they hold, clock ticks', $while_held->{ticks});
    bound("none in $HOLD_SECONDS s", !$while_held->{ticks});
    say_of('the same as the scheduler counts it, ms', sprintf '%.3f', $while_held->{ms});
    say_of('memory of the workers per held request, kB (PSS)', sprintf '%.1f', $while_held->{pss});
    bound('at most 10', $while_held->{pss} <= 10);
    say_of('the same by RSS, which counts shared pages twice', sprintf '%.1f', $while_held->{rss});
    say_of('plain nginx: per request that waits for the app, kB (PSS)', sprintf '%.1f', $waiting->{pss});
    say_of('plain nginx: per idle connection, kB (PSS)', sprintf '%.1f', $idle->{pss});
    for (['plain nginx', @burst], ['held', @release]) {
        my ($what, @runs) = @$_;
        my $bad = sum0 map { $_->{bad} } @runs;
        say_of("$what: answers other than 200", $bad) if $bad;
    }
    finish('plain nginx', $plain);
    finish('held', $ours);
}

# Clients are spread evenly over the workers. That is the hardest case for the order.
sub server {
    my ($number, %conf) = @_;
    my $connections = min($files, 1024 + int(1.5 * $number));
    my $server = Intermission->new(
        workers => 2,
        listen => '127.0.0.1:@PORT@ backlog=4096 reuseport',
        events => "worker_connections $connections;\n",
        %conf,
    );
    # The memory that a worker takes for its first request must not count. One at a time, so that it takes no more.
    $server->get('/warm') for 1 .. 20;
    return $server;
}

# The memory for connected clients that send nothing, and for requests that the app does not answer.
sub waiting {
    my ($server, $number) = @_;
    my $before = memory($server);
    my $crowd = $server->crowd('--count', $number, '--start-on-stdin', '--timeout', 120, '--path', '/r/{i}?delay=3000');
    $crowd->wait_event('connected');
    Time::HiRes::sleep(0.2);
    my $idle = per($number, $before, memory($server));
    $crowd->say('go');
    $crowd->wait_event('sent');
    Time::HiRes::sleep(1);
    my $waiting = per($number, $before, memory($server));
    $crowd->done(120);
    return ($idle, $waiting);
}

# Connects all clients, then lets all send at once.
sub burst {
    my ($server, $number) = @_;
    my $crowd = $server->crowd('--count', $number, '--start-on-stdin', '--timeout', 120);
    $crowd->wait_event('connected');
    my $began = Time::HiRes::time();
    $crowd->say('go');
    return times_of($crowd->done(120), $began, $number);
}

# Sets $$while_held to the memory and CPU that held requests cost.
sub release {
    my ($server, $number, $while_held) = @_;
    my $seen = $server->backend_log;
    $server->control('enable');
    my $before = $while_held && memory($server);
    my $crowd = $server->crowd('--count', $number, '--timeout', 120);
    $server->wait_held($number, seconds => 60);
    my $operator = Intermission::Client->new(to => '127.0.0.1:' . $server->port);
    # Time for nginx to accept the operator's connection.
    Time::HiRes::sleep(0.2);
    $$while_held = {per($number, $before, memory($server))->%*, work($server)->%*} if $while_held;
    my $began = Time::HiRes::time();
    $operator->request('/_intermission/disable');
    my $run = times_of($crowd->done(120), $began, $number);
    $run->{violations} = $server->position_inversions(after => $seen);
    return $run;
}

sub times_of {
    my ($done, $began, $number) = @_;
    return {
        first => 1000 * ($done->{first_answer_us} / 1e6 - $began),
        last => 1000 * ($done->{last_answer_us} / 1e6 - $began),
        bad => $number - ($done->{statuses}{200} // 0),
    };
}

# ---- a paced drain

# How evenly this many requests come to the app over this many seconds.
sub spread {
    my ($number, $seconds) = @_;
    my $server = server($number);
    $server->control('enable');
    my $crowd = $server->crowd('--count', $number, '--timeout', 120);
    $server->wait_held($number, seconds => 60);
    my $seen = $server->backend_log;
    my $began = Time::HiRes::time();
    $server->control("disable?spread=${seconds}s");
    my $done = $crowd->done(120);
    my @came = map { 1000 * ($_->{time} / 1e6 - $began) } grep { $_->{seq} > $seen } $server->backend_log;
    my $step = 1000 * $seconds / $number;
    heading("$number held, disable?spread=${seconds}s, 2 workers", qw(min median max));
    row('between neighbours, ms', 1, map { $came[$_] - $came[ $_ - 1 ] } 1 .. $#came);
    row("difference from its time in an even spread, ms", 1, map { $came[$_] - $step * $_ } 0 .. $#came);
    my $last = 1000 * ($done->{last_answer_us} / 1e6 - $began);
    say_of('from disable to the last answer, ms', sprintf '%.0f', $last);
    bound(sprintf('at most %d and one answer', 1000 * $seconds), $last <= 1000 * $seconds + 100);
    my $violations = $server->position_inversions(after => $seen);
    say_of('out of order at the backend', $violations);
    bound('none', !$violations);
    finish('held', $server);
}

# ---- without a pause

sub passed {
    my $locations = '%slocation / { %s access_log off; empty_gif; }';
    my $control = "set \$app_name basecamp;\nlocation /_intermission { intermission_control; }\n";
    my $plain = Intermission->new(workers => 1, with_module => 0, locations => sprintf $locations, '', '');
    my $ours = Intermission->new(workers => 1, locations => sprintf $locations, $control, $SAMPLE);
    my (%rate, %cpu);
    for my $pair (1 .. $WRK_PAIRS) {
        for my $which ($pair % 2 ? qw(plain ours) : qw(ours plain)) {
            my ($rate, $cpu) = wrk($which eq 'ours' ? $ours : $plain);
            push @{$rate{$which}}, $rate;
            push @{$cpu{$which}}, $cpu;
        }
    }
    heading("No pause: empty_gif, 1 worker, 32 connections, $WRK_PAIRS pairs", qw(min median max));
    row('plain nginx: requests per second', 0, @{$rate{plain}});
    row('with the sample configuration: requests per second', 0, @{$rate{ours}});
    my @ratios = map { $rate{ours}[$_] / $rate{plain}[$_] } 0 .. $WRK_PAIRS - 1;
    bound('at least 0.97', row('ratio with / plain, pair by pair', 3, @ratios) >= 0.97);
    row('plain nginx: CPU of the worker per request, µs', 2, @{$cpu{plain}});
    row('with the sample configuration: the same, µs', 2, @{$cpu{ours}});
    # This ratio depends less on other work on the machine.
    my @by_cpu = map { $cpu{plain}[$_] / $cpu{ours}[$_] } 0 .. $WRK_PAIRS - 1;
    bound('at least 0.97', row('ratio with / plain of requests per second of CPU', 3, @by_cpu) >= 0.97);
    finish('plain nginx', $plain);
    finish('with the sample', $ours);
}

# Returns requests per second, and CPU µs per request. There is one worker, so that it is the limit, not the clients.
sub wrk {
    my ($server) = @_;
    my $before = on_cpu($server);
    my $output = `wrk -t1 -c32 -d1s http://127.0.0.1:@{[$server->port]}/gif 2>&1`;
    my ($requests) = $output =~ /(\d+) requests in/ or die "wrk: $output";
    die "wrk: $output" if $output =~ /Non-2xx|Socket errors/;
    my ($rate) = $output =~ m{Requests/sec:\s*([\d.]+)};
    return ($rate, (on_cpu($server) - $before) / 1000 / $requests);
}

# ---- the workers' figures, from /proc

# The workers' CPU time in some seconds of holding.
sub work {
    my ($server) = @_;
    my ($ticks, $on_cpu) = (ticks($server), on_cpu($server));
    Time::HiRes::sleep($HOLD_SECONDS);
    return {ticks => ticks($server) - $ticks, ms => (on_cpu($server) - $on_cpu) / 1e6};
}

sub ticks {
    return sum0 map { my @of = split ' ', slurp("/proc/$_/stat") =~ s/.*\)//r; $of[11] + $of[12] } $_[0]->workers;
}

# The workers' CPU time in ns.
sub on_cpu { return sum0 map { (split ' ', slurp("/proc/$_/schedstat"))[0] } $_[0]->workers }

# The workers' memory in kB.
sub memory {
    my %sum;
    for my $pid ($_[0]->workers) {
        my $map = slurp("/proc/$pid/smaps_rollup");
        $sum{lc $1} += $2 while $map =~ /^(Pss|Rss):\s+(\d+) kB/mg;
    }
    return \%sum;
}

sub per {
    my ($number, $before, $after) = @_;
    return {map { $_ => ($after->{$_} - $before->{$_}) / $number } keys %$after};
}

sub slurp { return Intermission::Process::slurp($_[0]) // die "$_[0]: $!\n" }

sub machine {
    my ($version) = `nginx -v 2>&1` =~ m{(nginx/\S+)};
    my $processors = () = slurp('/proc/cpuinfo') =~ /^processor/mg;
    my ($load) = split ' ', slurp('/proc/loadavg');
    return ($version // 'nginx') . ", $processors processors, load average $load; a limit is compared with the median";
}

# ---- the table

my $line;

sub end_line {
    print $line =~ s,\s+$,,r, "\n" if defined $line;
    undef $line;
}

sub heading {
    my ($what, @columns) = @_;
    end_line();
    printf "\n%-62s%9s%9s%9s   limit\n", $what, @columns;
}

# Minimum, median and maximum; returns the median.
sub row {
    my ($what, $digits, @figures) = @_;
    end_line();
    @figures = sort { $a <=> $b } @figures;
    my $middle = @figures % 2 ? $figures[$#figures / 2] : ($figures[@figures / 2 - 1] + $figures[@figures / 2]) / 2;
    $line = sprintf "  %-60s" . "%9.${digits}f" x 3, $what, $figures[0], $middle, $figures[-1];
    return $middle;
}

sub say_of {
    my ($what, $figure) = @_;
    end_line();
    $line = sprintf '  %-60s%9s%9s%9s', $what, '', $figure, '';
}

# Adds the limit to the line above, and says if the figure is beyond it.
sub bound {
    my ($bound, $is_held) = @_;
    $line .= "   $bound" . ($is_held ? '' : ': beyond its limit');
}

sub grouped { return $_[0] =~ s/(?<=\d)(?=(?:\d{3})+$)/,/gr }

# Stops the server. Prints unexpected lines of its error log, and whether it did not quit cleanly.
sub finish {
    my ($what, $server) = @_;
    end_line();
    my $stopped = $server->stop;
    my @lines = grep { /\[(?:warn|error|crit|alert|emerg)\]/ } split /\n/, $server->error_log;
    print "  $what: error log: $_\n" for @lines[0 .. min($#lines, 2)];
    print '  ... ', @lines - 3, " more\n" if @lines > 3;
    print "  $what: nginx did not quit cleanly\n" if !$stopped;
}
