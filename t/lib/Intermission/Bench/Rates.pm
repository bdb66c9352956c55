package Intermission::Bench::Rates;

# Requests per second by wrk, of two or more nginx with one worker each, in turn.

use strict;
use utf8;
use warnings;
use Exporter 'import';
use Intermission::Bench;
use Intermission::Bench::Machine qw(on_cpu pinned);

our @EXPORT_OK = qw(rates wrk one_worker);

# What Intermission->new needs for a single worker that has a processor of its own.
sub one_worker { return (workers => 1, main => pinned() ? "worker_cpu_affinity 01;\n" : '') }

# Compares nginx with the first of them, in so many pairs of runs. @servers: name, server, … The limit is how many requests per
# second each has at least, compared with the first. Returns how many requests each got.
sub rates {
    my ($pairs, $limit, @servers) = @_;
    my %server = @servers;
    my ($base, @others) = @servers[grep { $_ % 2 == 0 } 0 .. $#servers];
    my (%rate, %cpu, %requests);
    for my $pair (1 .. $pairs) {
        for my $which ($pair % 2 ? ($base, @others) : reverse $base, @others) {
            my ($rate, $cpu, $requests) = wrk($server{$which});
            push @{$rate{$which}}, $rate;
            push @{$cpu{$which}}, $cpu;
            $requests{$which} += $requests;
        }
    }
    for ($base, @others) {
        row("$_: requests per second", 0, @{$rate{$_}});
        row('    CPU of the worker per request, µs', 2, @{$cpu{$_}});
    }
    for my $other (@others) {
        my @ratios = map { $rate{$other}[$_] / $rate{$base}[$_] } 0 .. $pairs - 1;
        at_least($limit, row("$other, compared with $base", 3, @ratios));
        # This ratio depends less on other work on the machine.
        my @by_cpu = map { $cpu{$base}[$_] / $cpu{$other}[$_] } 0 .. $pairs - 1;
        at_least($limit, row('    the same per second of CPU', 3, @by_cpu));
    }
    return @requests{$base, @others};
}

# Runs wrk for a second. Returns requests per second, CPU µs per request, and how many requests it were. With one worker that is the
# limit, not the clients.
sub wrk {
    my ($server, $path) = @_;
    my $before = on_cpu($server->workers);
    my $command = join ' ', pinned(), 'wrk -t1 -c32 -d1s', "http://127.0.0.1:@{[$server->port]}" . ($path // '/gif');
    my $output = `$command 2>&1`;
    my ($requests) = $output =~ /(\d+) requests in/ or die "wrk: $output";
    die "wrk: $output" if $output =~ /Non-2xx|Socket errors/;
    my ($rate) = $output =~ m{Requests/sec:\s*([\d.]+)};
    return ($rate, (on_cpu($server->workers) - $before) / 1000 / $requests, $requests);
}

1;
