package Intermission::Logs;

# The part of Intermission that reads the logs of nginx and of the backend.

use strict;
use warnings;
use Intermission::Process;
use Test::More ();

sub error_log {
    my ($self) = @_;
    return $self->{log} .= _tail($self, 'error.log');
}

# The lines of the access log: {method, target, status, time, intermission, hold_time, position}.
sub access_log {
    my ($self) = @_;
    return map {
        my %line;
        @line{qw(method target status time intermission hold_time position)} = split / /;
        \%line;
    } split /\n/, Intermission::Process::slurp("$self->{dir}/access.log") // '';
}

# Waits for a line of the access log about a target: nginx writes it after the answer. Returns the last such line.
sub logged {
    my ($self, $target, $seconds) = @_;
    return $self->wait_for(sub { (grep { $_->{target} eq $target } $self->access_log)[-1] }, "a line of the access log about $target", $seconds);
}

# The requests that came to the backend, in order: {seq, time, target, position, id, length, ended}. `position`
# and `id` are undef if there is none. `ended` is 'whole', or 'cut' if the body did not come whole.
sub backend_log {
    my ($self) = @_;
    $self->{backend_log} .= _tail($self, 'backend.log');
    my $lines = $self->{backend_lines} //= [];
    while ($self->{backend_log} =~ s/^(.*)\n//) {
        my %line;
        @line{qw(seq time target position id length ended turn accepted connection)} = map { $_ eq '-' ? undef : $_ } split /\t/, $1;
        push @$lines, \%line;
    }
    return wantarray ? sort { $a->{seq} <=> $b->{seq} } @$lines : scalar @$lines;
}

# How many requests with an X-Position came to the backend after a request with a greater one.
sub position_inversions {
    my ($self, %opt) = @_;
    my @lines = grep { $_->{seq} > ($opt{after} // 0) && ($_->{position} // '') =~ /^\d+$/ } $self->backend_log;
    return $self->inversions(map { {%$_, place => $_->{position}} } @lines);
}

# How many requests came to the backend after a request with a later ticket. The error log has the tickets. Unlike
# positions, tickets say the order even if clients left. The targets must differ.
sub ticket_inversions {
    my ($self) = @_;
    my %ticket = reverse $self->error_log =~ /held, ticket (\d+), .*? request: "\S+ (\S+) /g;
    return $self->inversions(map { {%$_, place => $ticket{$_->{target}}} } grep { defined $ticket{$_->{target}} } $self->backend_log);
}

# How many lines come after a line with a greater place. The backend reads from a new connection in the turn after it accepts it.
# Requests that it read meanwhile from connections that it already had do not count.
sub inversions {
    my ($self, @lines) = @_;
    my ($inversions, @greatest) = (0, -1);
    for my $at (0 .. $#lines) {
        my $line = $lines[$at];
        my ($before, $greatest) = ($at, -1);
        while (defined $line->{accepted} && $before && $lines[$before - 1]{turn} >= $line->{accepted}) {
            my $other = $lines[--$before];
            $greatest = $other->{place} if defined $other->{accepted} && $other->{place} > $greatest;
        }
        $greatest = $greatest[$before] if $greatest[$before] > $greatest;
        $inversions++ if $line->{place} < $greatest;
        push @greatest, $line->{place} > $greatest[-1] ? $line->{place} : $greatest[-1];
    }
    return $inversions;
}

# An assertion: exactly these targets came to the backend, in this order, as far as `inversions` can tell. after => skip this many requests.
sub came_ok {
    my ($self, $targets, $name, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %place = map { $targets->[$_] => $_ } 0 .. $#$targets;
    my @came = map { {%$_, place => $place{$_->{target}}} } grep { $_->{seq} > ($opt{after} // 0) } $self->backend_log;
    if (!grep({ !defined $_->{place} } @came) && !$self->inversions(@came)) {
        @came = sort { $a->{place} <=> $b->{place} } @came;
    }
    return Test::More::is_deeply([map { $_->{target} } @came], $targets, $name);
}

sub wait_log {
    my ($self, $pattern, $seconds) = @_;
    return $self->wait_for(sub { $self->error_log =~ $pattern }, "a line of the error log that matches $pattern", $seconds);
}

sub wait_backend {
    my ($self, $number, $seconds) = @_;
    return $self->wait_for(sub { $self->backend_log >= $number }, "$number requests at the backend", $seconds);
}

# The text that was added to a file since the last call.
sub _tail {
    my ($self, $name) = @_;
    open my $file, '<', "$self->{dir}/$name" or return '';
    seek $file, $self->{read}{$name} // 0, 0;
    local $/;
    my $text = readline($file) // '';
    $self->{read}{$name} = tell $file;
    return $text;
}

1;
