package Intermission::Bench::Rates;

# Requests per second by wrk, of two or more nginx with one worker each, in turn.

use strict;
use utf8;
use warnings;
use Exporter 'import';
use Intermission::Bench;
use Intermission::Bench::Machine qw(on_cpu pinned);

our @EXPORT_OK = qw(rates by_wrk wrk one_worker);

# What Intermission->new needs for a single worker that has a processor of its own.
sub one_worker { return (workers => 1, main => pinned() ? "worker_cpu_affinity 01;\n" : '') }

# Compares nginx with the first of them, in so many pairs of runs. @those: {name, run}; `run` returns what `wrk` does. The limit is how
# many requests per second each has at least, compared with the first; undef: none. Returns how many requests each got.
sub rates {
    my ($pairs, $limit, @those) = @_;
    for my $pair (1 .. $pairs) {
        for my $which ($pair % 2 ? @those : reverse @those) {
            my ($rate, $cpu, $requests) = $which->{run}->();
            push @{$which->{rate}}, $rate;
            push @{$which->{cpu}}, $cpu;
            $which->{requests} += $requests;
        }
    }
    my ($base, @others) = @those;
    for (@those) {
        row("$_->{name}: requests per second", 0, @{$_->{rate}});
        row('    CPU of the worker per request, µs', 2, @{$_->{cpu}});
    }
    for my $other (@others) {
        my @ratios = map { $other->{rate}[$_] / $base->{rate}[$_] } 0 .. $pairs - 1;
        my $ratio = row("$other->{name}, compared with $base->{name}", 3, @ratios);
        at_least($limit, $ratio) if $limit;
        # This ratio depends less on other work on the machine.
        my @by_cpu = map { $base->{cpu}[$_] / $other->{cpu}[$_] } 0 .. $pairs - 1;
        my $by_cpu = row('    the same per second of CPU', 3, @by_cpu);
        at_least($limit, $by_cpu) if $limit;
    }
    return map { $_->{requests} } @those;
}

# One of `rates`: wrk on this server.
sub by_wrk {
    my ($name, $server, $path) = @_;
    return {name => $name, run => sub { wrk($server, $path) }};
}

# Runs wrk for a second on a server, or on a peer. Returns requests per second, CPU µs per request, and how many requests it were. With one worker that is the
# limit, not the clients.
sub wrk {
    my ($server, $path) = @_;
    my ($address, @pids) = ref $server eq 'HASH' ? ($server->{address}, $server->{pids}->()) : ('127.0.0.1:' . $server->port, $server->workers);
    my $command = join ' ', pinned(), 'wrk -t1 -c32 -d1s', "http://$address" . ($path // '/gif');
    my ($before, $output, $requests);
    # On a busy machine it may not run at all within its second.
    for (1 .. 5) {
        $before = on_cpu(@pids);
        $output = `$command 2>&1`;
        die "wrk: $output" if $output =~ /Non-2xx|Socket errors: connect [1-9]/;
        ($requests) = $output =~ /(\d+) requests in/ or die "wrk: $output";
        last if $requests;
    }
    die "wrk: $output" if !$requests;
    my ($rate) = $output =~ m{Requests/sec:\s*([\d.]+)};
    return ($rate, (on_cpu(@pids) - $before) / 1000 / $requests, $requests);
}

1;
