package Intermission::Chaos::Checks;

# Checks what Intermission::Chaos::Records has collected, and the apps' totals at the end. Each check returns what is
# wrong, as texts.

use strict;
use warnings;
use Intermission::Chaos::Away;
use Intermission::Chaos::Schedule;

# By how many seconds a busy worker or client may be late.
my $SLACK = 1;
# A request whose max_time is over, while its app drains, checks again after this many seconds.
my $ASKS_AGAIN = 1;
my $NEWCOMER = 0.3;
my $BORDER = 0.2;
my $SLOW = 5;
# How many bytes of a body fit into a connection from which nginx does not read.
my $PREREAD = 65_536;

my %app = map { $_->{name} => $_ } @Intermission::Chaos::Schedule::APPS;

sub new {
    my ($class, $records, $totals) = @_;
    my $all = $records->requests;
    my @requests = map { $all->{$_} } sort { $a <=> $b } keys %$all;
    my @passed_on = sort { $a->{backend}{seq} <=> $b->{backend}{seq} } grep { $_->{backend} } @requests;
    return bless {
        %$records, totals => $totals, requests => $all, all => \@requests, passed_on => \@passed_on,
        count => $records->{count} // {},
    }, $class;
}

sub all {
    my ($self) = @_;
    return map { $self->$_ } qw(
        answered answered_as_logged passed_on_once in_order not_overtaken not_overtaken_when_back not_after_leaving not_held_too_long not_slow bypassed
        quiet totals_add_up log_is_clean
    );
}

# Every client is answered, or left, or was cut off because its worker or nginx died.
sub answered {
    my ($self) = @_;
    my @wrong;
    for my $request (grep { $_->{client} } @{$self->{all}}) {
        my $word = $request->{client}{word};
        $self->{count}{requests}++;
        if    ($word =~ /^\d+$/) { $self->{count}{"answered with $word"}++ }
        elsif ($word eq 'left')  { $self->{count}{'left on purpose'}++ }
        elsif (my $why = $self->_why_cut_off($request)) { $self->{count}{"cut off: $why"}++ }
        else { push @wrong, _say($request, 'not answered, and no process died') }
    }
    return @wrong;
}

sub _why_cut_off {
    my ($self, $request) = @_;
    my ($client, $run) = ($request->{client}, $self->{run});
    return if $client->{word} !~ /^(?:connect|reset|eof)$/ && !($client->{word} eq 'malformed' && $request->{kind} =~ /^http2/);
    my $pid = _pid($request);
    return $self->_died_at($pid, $client->{ended}) ? 'its worker was killed' : undef if defined $pid;
    return 'nginx was down' if grep { $client->{ended} >= $_->{from} - 0.1 && $client->{ended} <= $_->{to} + 1 } @{$run->{downs}};
    return if $client->{word} eq 'connect' && $request->{kind} !~ /^http2/;
    my @pids = $self->_pids_of_connection($request);
    return 'unseen by nginx: the worker of its connection was killed' if grep { $self->_died_at($_, $client->{ended}) } @pids;
    # nginx closes a kept connection when its worker leaves, even if a request is on its way.
    return 'unseen by nginx: the worker of its connection was leaving'
        if grep { $_ <= $client->{ended} } map { @{$self->{leaving}{$_} // []} } @pids;
    # It also closes an HTTP/2 connection that was just accepted.
    return 'unseen by nginx: a worker was leaving at that moment'
        if $request->{kind} =~ /^http2/ && grep { $client->{ended} >= $_ && $client->{ended} <= $_ + 2 } map { @$_ } values %{$self->{leaving}};
    my $sent = $client->{sent} // $client->{ended};
    return 'unseen by nginx: a worker was killed at that moment'
        if grep { $sent <= $_->[1] + 0.1 && $client->{ended} >= $_->[0] - 0.1 && $client->{ended} <= $_->[1] + 1 } $self->_deaths;
    return;
}

# Whether this worker died just before this time.
sub _died_at {
    my ($self, $pid, $at) = @_;
    return grep { $at >= $_->[0] - 0.1 && $at <= $_->[1] + 1 } $self->_deaths($pid);
}

# The workers that answered other requests of the same connection, as far as the records say.
sub _pids_of_connection {
    my ($self, $request) = @_;
    my ($id, $nth) = split /\./, $request->{key};
    my @others = $request->{kind} =~ /^http2/
        ? grep { $_->{crowd} == $request->{crowd} } @{$self->{all}}
        : $nth ? $self->{requests}{join '.', $id, $nth - 1} : ();
    return grep { defined } map { _pid($_) } @others;
}

# The access log has the reason of each answer. Only a 200 comes from the backend.
sub answered_as_logged {
    my ($self) = @_;
    my @wrong;
    for my $request (grep { $_->{client} && $_->{client}{word} =~ /^\d+$/ } @{$self->{all}}) {
        my ($status, $access, $backend) = ($request->{client}{word}, @$request{qw(access backend)});
        my $word = $access ? $access->{word} : '';
        my $app = $app{$request->{app}};
        if ($status == 200) {
            push @wrong, _say($request, 'answered with 200, but not by the backend')
                if !$backend || $backend->{ended} ne 'whole' || $backend->{length} != $request->{body};
            push @wrong, _say($request, "answered with 200, although it was sent before: $request->{broken}")
                if $request->{broken} && !$self->_is_sent_again_by_nginx($request);
            next;
        }
        if ($app->{away} && $status == 502 && (my $why = Intermission::Chaos::Away::why_failed($self, $request))) {
            $self->{count}{"answered with 502: $why"}++;
            next;
        }
        my $known = $status == 503 && $word =~ /^(?:REJECTED|STOPPED)?$/
            || $status == ($app->{overflow} // 0) && $word =~ /^(?:REJECTED)?$/
            || $status == ($app->{expired} // 0) && $word =~ /^(?:EXPIRED)?$/;
        push @wrong, _say($request, "answered with $status, for which there was no reason") if !$known;
        push @wrong, _say($request, "answered with $status, and passed on") if $backend;
    }
    push @wrong, map { _say($_, 'logged more than once') } grep { $_->{access} && $_->{access}{times} > 1 } @{$self->{all}};
    $self->{count}{"nginx says $_->{access}{word}"}++ for grep { $_->{access} } @{$self->{all}};
    return @wrong;
}

sub passed_on_once {
    my ($self) = @_;
    return map { _say($_, 'passed on more than once') }
        grep { $_->{backend}{times} > 1 && !$self->_is_sent_again_by_nginx($_) } @{$self->{passed_on}};
}

sub _is_sent_again_by_nginx {
    my ($self, $request) = @_;
    return Intermission::Chaos::Away::is_sent_again_by_nginx($self, $request, $app{$request->{app}});
}

# Released requests came to the backend in the order of their tickets. A ticket is never given twice between a start
# of nginx and its end.
sub in_order {
    my ($self) = @_;
    my (@wrong, %line);
    for my $request (grep { $self->_released($_) && !$_->{refused} } @{$self->{passed_on}}) {
        my $line = $line{$request->{held}{life}, $request->{app}} //= [];
        my $place = @$line;
        my @ahead;
        while ($place && _in_doubt($line->[$place - 1]{request}, $request)) {
            my $ahead = $line->[--$place]{request};
            push @ahead, $ahead if !_read_late($ahead, $request);
        }
        push @ahead, $line->[$place - 1]{last} if $place;
        my ($last) = sort { $b->{held}{ticket} <=> $a->{held}{ticket} } @ahead;
        if ($last && $last->{held}{ticket} >= $request->{held}{ticket}) {
            push @wrong, _say($request, 'passed on after a request with a later ticket: ' . _say($last));
        }
        else {
            $last = @$line ? $line->[-1]{last} : $request;
            $last = $request if $last->{held}{ticket} < $request->{held}{ticket};
            push @$line, {request => $request, last => $last};
        }
        $self->{count}{'released, and their order checked'}++;
    }
    return @wrong;
}

# A request that came while an app was not open, and was not held, did not overtake requests that the pause held.
sub not_overtaken {
    my ($self) = @_;
    my (@wrong, %first, %doubtful, %latest);
    my @released = grep { $_->{access} && $self->_released($_) && $_->{held}{state} eq 'paused' && !$_->{refused} } @{$self->{passed_on}};
    for my $request (@released) {
        my $latest = \$latest{$request->{app}, $request->{held}{turns}};
        $$latest = _came($request) if ($$latest // 0) < _came($request);
    }
    # A line about a request that came after the pause may stand before the line about the pause's end.
    my %surely = map { $_->{key} => 1 }
        grep { _came($_) < $latest{$_->{app}, $_->{held}{turns}} - $BORDER } @released;
    for my $request (reverse @{$self->{passed_on}}) {
        my ($access, $client, $first) = (@$request{qw(access client)}, \$first{$request->{app}});
        my $doubtful = $doubtful{$request->{app}} //= [];
        while (@$doubtful && !_in_doubt($request, $doubtful->[0])) {
            my $other = shift @$doubtful;
            $$first = $other if !$$first || _came($other) < _came($$first);
        }
        if ($surely{$request->{key}}) {
            push @$doubtful, $request;
        }
        elsif ($access && $access->{word} eq 'PASSED' && $client && $client->{sent}) {
            my ($behind) = grep { $client->{sent} > _came($_) + $NEWCOMER }
                $$first // (), grep { !_read_late($request, $_) } @$doubtful;
            push @wrong, _say($request, 'not held, and passed on before a held request: ' . _say($behind)) if $behind;
        }
    }
    $self->{count}{'released, and checked that none was overtaken'} = keys %surely;
    return @wrong;
}

sub not_overtaken_when_back {
    my ($self) = @_;
    return map { _say($_->[0], 'came back, and later ones came to the app before it: ' . _say($_->[1])) }
        Intermission::Chaos::Away::not_overtaken_when_back($self);
}

# No request is passed on after its client was seen to leave.
sub not_after_leaving {
    my ($self) = @_;
    my @wrong;
    for my $request (@{$self->{passed_on}}) {
        my ($access, $client) = @$request{qw(access client)};
        if ($access && $access->{word} eq 'LEFT') {
            push @wrong, _say($request, 'passed on, although its client had left');
        }
        elsif ($client && $client->{word} eq 'left' && $request->{held} && $request->{backend}{at} > $client->{ended} + 1) {
            push @wrong, _say($request, 'passed on long after its client left');
        }
    }
    return @wrong;
}

# A request is held for longer than its max_time only in a drain, and only if it does not expire with an answer.
sub not_held_too_long {
    my ($self) = @_;
    my @wrong;
    for my $request (grep { $_->{access} && defined $_->{access}{hold} } @{$self->{all}}) {
        my ($access, $app) = ($request->{access}, $app{$request->{app}});
        my $over = $access->{hold} - $app->{max_time};
        next if $over <= $SLACK;
        my $end = _came($request) + $access->{hold};
        my ($drained, $drains) = $app->{expired} ? (0, 0) : $self->_drained($request->{app}, $end - $over, $end);
        $self->{count}{'held longer, in a drain'}++;
        # The last drain is the one in which it went on.
        $drains-- if $drains && $access->{word} eq 'HELD';
        push @wrong, _say($request, sprintf 'held for %.3f s, of which %.3f s in a drain count', $access->{hold}, $drained)
            if $over - $drained > $SLACK + $ASKS_AGAIN * $drains;
    }
    return @wrong;
}

# For how long an app drained at most between two times, and how often. Times in the error log are whole seconds.
sub _drained {
    my ($self, $app, $from, $to) = @_;
    my ($sum, $drains) = (0, 0);
    my @states = (@{$self->{states}{$app} // []}, [1e12, 'open']);
    for my $i (0 .. $#states - 1) {
        next if $states[$i][1] ne 'draining';
        my ($begin, $end) = ($states[$i][0], $states[$i + 1][0] + 1);
        $begin = $from if $begin < $from;
        $end = $to if $end > $to;
        next if $end <= $begin;
        my $took = $states[$i + 1][2];
        $sum += defined $took && $took < $end - $begin ? $took : $end - $begin;
        $drains++;
    }
    return ($sum, $drains);
}

# No request waits for anything but a pause.
sub not_slow {
    my ($self) = @_;
    my @wrong;
    for my $request (grep { $_->{client} && $_->{client}{word} =~ /^\d+$/ && $_->{access} } @{$self->{all}}) {
        my $beside = $request->{client}{ended} - $request->{client}{sent} - ($request->{access}{hold} // 0);
        $self->{count}{slowest} = $beside if $beside > ($self->{count}{slowest} // 0);
        push @wrong, _say($request, sprintf 'waited for %.3f s without its hold', $beside) if $beside > $SLOW;
    }
    return @wrong;
}

sub bypassed {
    my ($self) = @_;
    return map { _say($_, 'held, although no pause holds such requests') }
        grep { $_->{kind} =~ /^(?:robots|health)$/ && $_->{held} } @{$self->{all}};
}

# When a caller was answered that an app is quiet, the backend had answered all requests that had passed.
sub quiet {
    my ($self) = @_;
    my (@wrong, %passed);
    for my $request (grep { ($_->{access}{word} // '') =~ /^(?:PASSED|HELD)$/ } @{$self->{passed_on}}) {
        push @{$passed{$request->{app}}}, $request if $request->{access}{status} == 200;
    }
    for my $quiet ($self->{run}->quiet) {
        my $works = sub { $_[0]{backend}{at} < $quiet->{at} && $_[0]{backend}{at} + $_[0]{delay} > $quiet->{at} + 0.005 };
        push @wrong, map { _say($_, "in flight when the app was quiet, at $quiet->{at}") } grep { $works->($_) } @{$passed{$quiet->{app}}};
        $self->{count}{'quiet, and judged'}++;
    }
    return @wrong;
}

# The totals since nginx's last start add up. A worker that dies while it holds the lock may leave a request counted twice, or not at all.
sub totals_add_up {
    my ($self) = @_;
    my @wrong;
    for my $app (sort keys %{$self->{totals}}) {
        my $totals = $self->{totals}{$app};
        # Not all stopped requests were held before.
        my $gone = $totals->{released} + $totals->{expired} + $totals->{left} + $totals->{lost};
        # One that came back was counted when it was passed on or released, and is counted again if it ends in another way.
        my $unsure = $totals->{away} + ($self->{count}{'repaired after a worker died while it held the lock'} // 0);
        push @wrong, "app \"$app\": the totals do not add up: " . join ', ', map { "$_ $totals->{$_}" } sort keys %$totals
            if $totals->{held} < $gone - $unsure || $totals->{held} > $gone + $totals->{stopped} + $unsure;
    }
    return @wrong;
}

# The error log has only nginx's own lines about processes that the test killed.
sub log_is_clean {
    my ($self) = @_;
    my @wrong;
    for my $line (@{$self->{problems}}) {
        next if $line =~ /\[alert\].* exited on signal 9/ || $line =~ /\[alert\].* shared memory zone .* was locked by/;
        # A killed worker leaves the cache entries locked that it was filling.
        next if $line =~ /\[alert\].*: ignore long locked inactive cache entry / && %{$self->{run}{killed}};
        # nginx 1.22 itself writes these when an old worker with requests is told to stop.
        next if $line =~ /\[alert\] (\d+)#.*: (?:\*\d+ open socket #\d+ left in connection|aborting)/
            && $self->{run}{stopped}{$1} && $self->{leaving}{$1};
        push @wrong, "error log: $line";
    }
    my $killed = $self->{run}{killed};
    my @unasked = grep { !$killed->{$_} || grep { $_->{signal} != 9 } @{$self->{deaths}{$_}} } sort keys %{$self->{deaths}};
    my $asked = $self->{run}{count}{faults} // 0;
    push @wrong, "workers that died and were not killed: @unasked, where $asked were told to" if @unasked > $asked;
    return @wrong;
}

# ---- about one request

# Whether a request was held, and passed on in its turn, as far as the records say. If the worker was killed, no
# record says if the request expired. A large body may be incomplete when the request goes on.
sub _released {
    my ($self, $request) = @_;
    my ($held, $access, $client) = @$request{qw(held access client)};
    return 0 if !$held;
    my $is_read = !$request->{body} || $app{$request->{app}}{read_body};
    return 0 if !$is_read && ($request->{body} >= $PREREAD || !$access || ($access->{hold} // 0) < $SLACK);
    return $access->{word} eq 'HELD' if $access;
    my $since = $client && $client->{sent};
    return $since && $request->{backend}{at} - $since < $app{$request->{app}}{max_time} - 0.3;
}

# Whether the backend may have read both requests in the same turn, or the second one a turn later.
sub _in_doubt {
    my ($first, $second) = map { $_->{backend}{turn} } @_;
    return $second <= $first + 1;
}

# Whether the backend may have read the second request late: its connection was not accepted yet, and the first one
# came on a connection that the backend already had.
sub _read_late {
    my ($first, $second) = map { $_->{backend} } @_;
    return 0 if defined $first->{accepted} || !defined $second->{accepted};
    return $second->{turn} == $second->{accepted} + 1 && $first->{turn} >= $second->{accepted};
}

sub _came { return $_[0]{access}{at} - $_[0]{access}{took} }

sub _pid {
    my ($request) = @_;
    for my $seen (grep { defined } map { $request && $request->{$_} } qw(access backend held)) {
        return $seen->{pid};
    }
    return;
}

# [from, to] of each death: of the workers with these pids, or of all. For a worker that the test did not kill only
# the second is known. A pid may be given again.
sub _deaths {
    my ($self, @pids) = @_;
    my ($killed, $died) = ($self->{run}{killed}, $self->{deaths});
    @pids = keys %{{%$killed, %$died}} if !@pids;
    return map {
        my $pid = $_;
        $killed->{$pid} ? map { [$_, $_] } @{$killed->{$pid}} : map { [$_->{at}, $_->{at} + 1] } @{$died->{$pid} // []};
    } @pids;
}

sub _say {
    my ($request, $what) = @_;
    my $text = "request $request->{key} (crowd $request->{crowd}, $request->{kind}, app \"$request->{app}\"";
    for my $part (qw(client held access backend)) {
        my $seen = $request->{$part} or next;
        $text .= "; $part " . join ' ', map { "$_=" . ($seen->{$_} // '-') } sort keys %$seen;
    }
    return $text . ($what ? "): $what" : ')');
}

1;
