package Intermission::Chaos::Schedule;

# The events of a run of scripts/chaos, and when they happen. All follow from the seed.

use strict;
use warnings;
use List::Util qw(shuffle sum);

# The apps. max_time in seconds; expired: the answer to a request that was held for this long; kept: whether
# requests share connections to the backend; cached: whether nginx caches the answers (each is requested once);
# away: its requests go to an app that comes and goes, and are held for so long at most, in seconds.
our @APPS = (
    {name => 'alpha', max_time => 3, kept => 1, read_body => 'on'},
    {name => 'beta', max_time => 0.5, cached => 1},
    {name => 'gamma', max_time => 1, expired => 504, max_held => 120, overflow => 429},
    {name => 'delta', max_time => 20, lease => 4, release => 'spread=1s concurrency=40'},
    {name => '', max_time => 15, read_body => 'on'},
    {name => 'epsilon', max_time => 20, away => 20},
    {name => 'zeta', max_time => 20, away => 20, kept => 1},
);

# The disturbances: like a deck of cards, each is used this often before the deck is used again.
my %DECK = (
    reload => 5, reload_twice => 1, reload_and_kill => 2, kill => 3, kill_old => 2, die_in_lock => 2,
    quit => 1, stop => 1, crash => 2, kill_crowd => 1, kill_helper => 2,
);

my %CROWDS = (
    once => 22, burst => 10, keepalive => 20, http2 => 13, http2_resets => 8, leavers => 12, post => 9, http2_post => 4,
    robots => 3, health => 3,
);

# Events in their order: {at => seconds, what => word, and what the word needs}. `place` is a number
# from 0 to 1 that says which worker or crowd it hits.
sub make {
    my ($seed, $seconds) = @_;
    srand $seed;
    my @events = ((map { _verbs($_, $seconds) } @APPS), _crowds($seconds), _idlers($seconds), _disturbances($seconds), _outages($seconds));
    my @in_time = grep { $events[$_]{at} < $seconds } 0 .. $#events;
    return map { $events[$_] } sort { $events[$a]{at} <=> $events[$b]{at} || $a <=> $b } @in_time;
}

# ---- the operator of one app

sub _verbs {
    my ($app, $seconds) = @_;
    my @events;
    my $at = _between(0.2, 2);
    my $say = sub { push @events, {at => $at, what => 'control', app => $app->{name}, verb => $_[0]} };
    while ($at < $seconds) {
        my $length = rand() < 0.6 ? _between(0.05, 1.5) : _between(1.5, 4);
        $say->(_pick(enable => 25, _lease() => 30, 'enable?new=1' => 15, 'enable?reason=chaos' => 5, stop => 10, _wait() => 15));
        for (1 .. _pick(0 => 65, 1 => 25, 2 => 10)) {
            $at += my $part = $length * rand() / 2;
            $length -= $part;
            $say->(_pick(
                _lease() => 30, 'enable?reason=longer' => 15, 'enable?new=1' => 10, 'disable?id=1' => 5, stop => 15, status => 10,
                'enable' => 15, _wait() => 10,
            ));
        }
        $at += $length;
        $say->(_pick('disable' . _pace() => 80, 'disable?wait=500ms' => 20));
        while (rand() < 0.4) {
            $at += _between(0.005, 0.8);
            my $verb = _pick(
                enable => 40, _lease() => 10, stop => 10, 'disable' . _pace() => 25, 'disable?spread=0&concurrency=0' => 15,
            );
            $say->($verb);
            next if $verb =~ /^disable/;
            $at += _between(0.01, 1.5);
            $say->('disable' . _pace());
        }
        $at += rand() < 0.3 ? _between(0.02, 0.3) : _between(0.3, 4);
    }
    return @events;
}

sub _lease { return sprintf 'enable?for=%dms', _between(200, 3000) }

# Most of these calls are answered when the app is quiet, and some are too late.
sub _wait { return sprintf 'enable?wait=%dms%s', _between(5, 500), rand() < 0.3 ? '&keep=1' : '' }

sub _pace {
    my $spread = sprintf 'spread=%dms', _between(100, 2000);
    my $concurrency = sprintf 'concurrency=%d', _between(5, 60);
    return _pick('' => 45, "?$spread" => 20, "?$concurrency" => 20, "?$spread&$concurrency" => 15);
}

# ---- clients

sub _crowds {
    my ($seconds) = @_;
    my @events;
    for (my $at = 0.1; $at < $seconds; $at += _between(0.05, 0.7)) {
        my $kind = _pick(%CROWDS);
        my $app = $APPS[rand @APPS]{name};
        push @events, {at => $at, what => 'crowd', kind => $kind, app => $app, _crowd($kind)};
    }
    return @events;
}

# How many clients, and crowd's arguments.
sub _crowd {
    my ($kind) = @_;
    my @rate = ('--rate', int _between(50, 1000));
    my @leave = ('--leave', sprintf('%.2f', _between(0.2, 0.6)), '--leave-after', int _between(20, 1500));
    my @post = ('--method', 'POST', '--body', _pick(100 => 30, 3000 => 30, 15_000 => 20, 120_000 => 20));
    my @connections = ('--connections', 1 + int rand 5);
    my $count = int _between(30, 500);
    my $few = int _between(8, 60);
    my $delay = rand() < 0.5 ? 0 : int _between(1, 40);
    my %kinds = (
        once => [$count, @rate],
        burst => [$count],
        keepalive => [$few, @rate, '--keepalive', 3 + int rand 10],
        http2 => [$count, @connections],
        http2_resets => [$count, @connections, @leave],
        leavers => [$count, @rate, @leave],
        post => [$few, @rate, @post],
        http2_post => [$few, @connections, @post],
        robots => [$few, @rate, '--agent', 'a Robot'],
        health => [$few, @rate],
    );
    my ($number, @arguments) = @{$kinds{$kind}};
    return (count => $number, delay => $delay, arguments => \@arguments);
}

# Opens `count` idle connections, then closes the oldest until `keep` are left.
sub _idlers {
    my ($seconds) = @_;
    my @events;
    for (my $at = _between(0, 2); $at < $seconds; $at += _between(0.5, 4)) {
        push @events, {at => $at, what => 'idle', count => int _between(20, 300), keep => int _between(0, 600)};
    }
    return @events;
}

# ---- disturbances

sub _disturbances {
    my ($seconds) = @_;
    my (@events, @deck);
    for (my $at = 1; $at < $seconds; $at += _between(0.5, 2.6)) {
        @deck = shuffle map { ($_) x $DECK{$_} } sort keys %DECK if !@deck;
        push @events, {
            at => $at, what => shift @deck, place => rand, pause => _between(0, 0.3), racing => rand() < 0.5,
            steps => int rand 25, app => $APPS[rand @APPS]{name},
        };
    }
    return @events;
}

# The app that comes and goes is killed or stops in order, and is back after `lasts` seconds, while requests come. `kills_head`:
# the worker of a request that has tried to reach it is killed.
sub _outages {
    my ($seconds) = @_;
    my @apps = map { $_->{name} } grep { $_->{away} } @APPS;
    my @events;
    for (my $at = _between(0.5, 3); $at < $seconds; $at += _between(0.5, 5)) {
        my $lasts = rand() < 0.5 ? _between(0.01, 0.3) : _between(0.3, 2.5);
        my $rate = int _between(30, 200);
        push @events, {
            at => $at - 0.1, what => 'crowd', kind => 'once', app => $apps[rand @apps], delay => int rand 20,
            count => int(1 + $rate * ($lasts + 0.3)), arguments => ['--rate', $rate],
        };
        push @events, {
            at => $at, what => 'outage', how => _pick(kill => 60, stop => 40), kills_head => rand() < 0.3,
            lasts => $lasts, backlog => _pick(2 => 30, 20 => 30, 1000 => 40),
        };
    }
    return @events;
}

# ---- chance

sub _between { return $_[0] + rand() * ($_[1] - $_[0]) }

# One of several, by weight: value => weight, ...
sub _pick {
    my %weights = @_;
    my $left = rand sum values %weights;
    for my $value (sort keys %weights) {
        return $value if ($left -= $weights{$value}) < 0;
    }
    return (sort keys %weights)[-1];
}

1;
