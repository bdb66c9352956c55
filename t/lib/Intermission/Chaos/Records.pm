package Intermission::Chaos::Records;

# Collects the records of clients, nginx and the backend of a run of scripts/chaos.

use strict;
use warnings;
use Intermission::Chaos::Away qw($BROKEN $REFUSED $UNSENT);
use POSIX ();

# More than the requests that come, and the turns that are taken, in one life of an app.
my $LIFE = 1e9;
my $APP = qr/app "(?<app>\w+)"|the default app/;
my %BEGINS = (
    resumed => 'draining', 'lease ended' => 'draining', drained => 'open', paused => 'paused', stopped => 'stopped',
);

# requests: per "id.nth" a hash of
#   app, kind, body, connection (for HTTP/2) and the backend's delay (s), from the crowd's plan; and, if there are any,
#   client  => {sent, ended, word}         times in unix seconds
#   held    => {pid, life, ticket, state, turns}  the app's state at this place of the log, and how many
#              states it had before
#   access  => {pid, status, at, took, word, hold, times, sent => 'bytes of each try'}
#   backend => {seq, at, pid, length, ended, turn, accepted, times}
#   refused => the last second in which nginx could not reach the app that comes and goes, or could not send to it
#   broken  => the line of the error log about its connection to that app, which broke
# states: per app [[second, state, for `open` how long the drain before took], ...]; deaths: pid => [{signal, at}, ...]; leaving: pid => [second, ...];
# problems: lines of the error log from level error on; count: what => how many.
sub new {
    my ($class, $run) = @_;
    my $self = bless {
        run => $run, requests => {}, crowd_of => [], states => {}, deaths => {}, leaving => {}, problems => [],
    }, $class;
    for my $crowd ($run->crowds) {
        $self->{crowd_of}[$_] = $crowd for $crowd->{first} .. $crowd->{first} + $crowd->{count} - 1;
        $self->_read_clients($crowd);
    }
    $self->_read_error_log;
    $self->_read_access_log;
    $self->_read_backend_logs;
    return $self;
}

sub requests { return $_[0]{requests} }

# ---- the files

sub _read_clients {
    my ($self, $crowd) = @_;
    my $file = _open($crowd->{log}) or return;
    while (<$file>) {
        chomp;
        my ($id, $sent, $ended, $word, undef, undef, $nth) = split /\t/;
        my $request = $self->_request("$id.$nth") or next;
        $request->{client} = {sent => $sent eq '-' ? undef : $sent / 1e6, ended => $ended / 1e6, word => $word};
    }
}

sub _read_error_log {
    my ($self) = @_;
    my $file = _open($self->_path('error.log')) or die 'no error log';
    my @masters = @{$self->{run}{masters}};
    my ($life, %state) = (-1);
    while (<$file>) {
        my ($second, $level, $pid, $text) = /^(\S+ \S+) \[(\w+)\] (\d+)#\d+: (?:\*\d+ )?(.*)/ or next;
        ($life, %state) = ($life + 1) if $pid == ($masters[$life + 1] // 0);
        if ($level eq 'info') {
            my ($ticket, $key) = $text =~ /: held, ticket (\d+), .* request: "\S+ \S*?(\d+\.\d+)\S* / or next;
            my $request = $self->_request($key) or next;
            my $app = $request->{app};
            $request->{held} = {
                pid => $pid, life => $life, ticket => $ticket, state => $state{$app} // 'open',
                turns => scalar @{$self->{states}{$app} // []},
            };
            $self->{count}{'held, with a ticket'}++;
        }
        elsif ($text =~ /^intermission: (?:$APP): (?:still )?(?<what>paused|stopped|resumed|lease ended|drained)[ ,]/) {
            my $app = $+{app} // '';
            $state{$app} = $BEGINS{$+{what}};
            my ($took) = $text =~ /: drained, .* in ([\d.]+) s/;
            push @{$self->{states}{$app}}, [_unix($second), $state{$app}, $took];
            $self->{count}{pauses}++ if $state{$app} eq 'paused';
        }
        elsif ($text =~ /^intermission: (?:$APP): rolled back, .*: the app is (?<what>not paused|stopped)/) {
            my $app = $+{app} // '';
            $state{$app} = $+{what} eq 'stopped' ? 'stopped' : 'draining';
            push @{$self->{states}{$app}}, [_unix($second), $state{$app}, undef];
        }
        elsif ($text =~ /^worker process (\d+) exited on signal (\d+)/) {
            push @{$self->{deaths}{$1}}, {signal => $2, at => _unix($second)};
        }
        elsif ($text =~ /^gracefully shutting down/) { push @{$self->{leaving}{$pid}}, _unix($second) }
        next if $self->_is_about_going($second, $text);
        push @{$self->{problems}}, $_ if $level =~ /^(?:error|crit|alert|emerg)$/;
        $self->{count}{'repaired after a worker died while it held the lock'}++ if $text =~ /died while it held the lock: the tables were repaired/;
    }
}

# Whether it is what nginx says of a request that it cannot pass on to the app that comes and goes, or that it cannot finish
# because that app has gone.
sub _is_about_going {
    my ($self, $second, $text) = @_;
    my ($key) = $text =~ /request: "\S+ \S*?(\d+\.\d+)\S* / or return 0;
    my $request = $self->_request($key) or return 0;
    my $is_unsent = $text =~ $UNSENT;
    my $is_broken = $text =~ $BROKEN;
    $request->{refused} = _unix($second) if $text =~ $REFUSED || $is_unsent;
    $request->{broken} = $text if $is_broken;
    return $text =~ $REFUSED
        || ($is_broken || $is_unsent) && $self->{run}->outages->ended_within(_unix($second), _unix($second) + 1);
}

sub _read_access_log {
    my ($self) = @_;
    my $file = _open($self->_path('chaos.access')) or die 'no access log';
    while (<$file>) {
        my ($pid, $status, $at, $took, $word, $hold, $target, $tries) = split ' ', $_, 8;
        my ($sent) = $tries =~ /\|(.*)/;
        my $request = $self->_request($target) or next;
        my $times = ($request->{access}{times} // 0) + 1;
        $request->{access} = {
            pid => $pid, status => $status, at => $at, took => $took, word => $word, times => $times,
            hold => $hold eq '-' ? undef : $hold, sent => join(',', $sent =~ /\d+/g),
        };
    }
}

sub _read_backend_logs {
    my ($self) = @_;
    $self->_read_backend_log($self->_path('backend.log'), 0);
    my $before = 0;
    $self->_read_backend_log($_, $before += $LIFE) for $self->{run}->outages->logs;
}

# `before`: what to add to the numbers of a backend that came after another one in its place.
sub _read_backend_log {
    my ($self, $path, $before) = @_;
    my $file = _open($path) or die "no $path";
    while (<$file>) {
        chomp;
        my ($seq, $time, $target, $pid, undef, $length, $ended, $turn, $accepted) = split /\t/;
        my $request = $self->_request($target) or next;
        my $times = ($request->{backend}{times} // 0) + 1;
        $request->{backend} = {
            seq => $before + $seq, at => $time / 1e6, pid => $pid, length => $length, ended => $ended, times => $times,
            turn => $before + $turn, accepted => $accepted eq '-' ? undef : $before + $accepted,
        };
    }
}

# The request with this key, or with this target, which contains the key. Returns nothing if it is no client's.
sub _request {
    my ($self, $target) = @_;
    my ($id, $nth) = $target =~ /(\d+)\.(\d+)/ or return;
    my $crowd = $self->{crowd_of}[$id] or return;
    return $self->{requests}{"$id.$nth"} //= {
        key => "$id.$nth", app => $crowd->{app}, kind => $crowd->{kind}, body => $crowd->{body}, crowd => $crowd->{number}, delay => $crowd->{delay},
    };
}

sub _path { return $_[0]{run}->nginx->dir . "/$_[1]" }

sub _open {
    my ($path) = @_;
    open my $file, '<', $path or return;
    return $file;
}

my %seconds;

sub _unix {
    my ($text) = @_;
    return $seconds{$text} //= do {
        my ($y, $mon, $d, $h, $m, $s) = $text =~ m{^(\d+)/(\d+)/(\d+) (\d+):(\d+):(\d+)$} or die "no time: $text";
        POSIX::mktime($s, $m, $h, $d, $mon - 1, $y - 1900, 0, 0, -1);
    };
}

1;
