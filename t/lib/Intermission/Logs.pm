package Intermission::Logs;

# What nginx and the backend of a test have written: the part of Intermission that reads it.

use strict;
use warnings;
use Intermission::Process;
use Test::More ();

sub error_log {
    my ($self) = @_;
    return $self->{log} .= _tail($self, 'error.log');
}

# The access log's lines: {method, target, status, time, intermission, hold_time, position}.
sub access_log {
    my ($self) = @_;
    return map {
        my %line;
        @line{qw(method target status time intermission hold_time position)} = split / /;
        \%line;
    } split /\n/, Intermission::Process::slurp("$self->{dir}/access.log") // '';
}

# The access log's last line about a target, once it is there: nginx writes it after the answer.
sub logged {
    my ($self, $target, $seconds) = @_;
    return $self->wait_for(sub { (grep { $_->{target} eq $target } $self->access_log)[-1] }, "access log: $target", $seconds);
}

# What came to the backend, in order: {seq, time, target, position, id, length, ended}; `position`
# and `id` are undef where there is none, `ended` is 'cut' where the body never came whole.
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

# How many requests with an X-Position came to the backend after one with a greater.
sub position_inversions {
    my ($self, %opt) = @_;
    my @lines = grep { $_->{seq} > ($opt{after} // 0) && ($_->{position} // '') =~ /^\d+$/ } $self->backend_log;
    return $self->inversions(map { {%$_, place => $_->{position}} } @lines);
}

# How many requests came to the backend after one with a later ticket, by what the error log says
# of each. Unlike the position a ticket says the order even where somebody left; targets must differ.
sub ticket_inversions {
    my ($self) = @_;
    my %ticket = reverse $self->error_log =~ /held, ticket (\d+), .*? request: "\S+ (\S+) /g;
    return $self->inversions(map { {%$_, place => $ticket{$_->{target}}} } grep { defined $ticket{$_->{target}} } $self->backend_log);
}

# How many lines stand behind one with a greater place. What came on a new connection is read in the turn after the one that accepts it:
# what the backend read meanwhile on a connection that it knew does not count.
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

# An assertion: exactly these targets came to the backend, in this order, as far as it can tell. `after`: since so many requests.
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
    return $self->wait_for(sub { $self->error_log =~ $pattern }, "error log: $pattern", $seconds);
}

sub wait_backend {
    my ($self, $number, $seconds) = @_;
    return $self->wait_for(sub { $self->backend_log >= $number }, "$number requests at the backend", $seconds);
}

# What was added to a file since the last call.
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
