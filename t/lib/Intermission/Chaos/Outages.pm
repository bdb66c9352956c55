package Intermission::Chaos::Outages;

# The app of a run of scripts/chaos that dies, or stops in order, and comes back.

use strict;
use warnings;
use Intermission::App;
use Intermission::Chaos::Away qw($REFUSED);
use Intermission::Process;
use Time::HiRes ();

# For how long nginx may see an end of the app later.
my $SLACK = 0.5;

sub new {
    my ($class, $run) = @_;
    my $app = Intermission::App->new($run->nginx, name => 'going.sock')->up;
    return bless {run => $run, app => $app, ends => []}, $class;
}

# The logs of what has come to each of its lives.
sub logs { $_[0]{app}->logs }

# Carries out an event of the schedule.
sub begin {
    my ($self, $event) = @_;
    my ($app, $run) = @$self{qw(app run)};
    return if !$app->is_up;
    my $from = Time::HiRes::time();
    my $whole = $event->{how} eq 'kill' ? $app->down : $app->stop;
    $run->violation('the app does not stop in order') if $event->{how} eq 'stop' && !$whole;
    my $now = Time::HiRes::time();
    push @{$self->{ends}}, {how => $event->{how}, from => $from, gone => $now};
    @$self{qw(event until)} = ($event, $now + $event->{lasts});
    open $self->{log}, '<', $run->nginx->dir . '/error.log' or die "error.log: $!";
    seek $self->{log}, 0, 2;
    $run->log("the app is gone: $event->{how}");
}

# Starts it again if it is time. Kills the worker of the head of the line, if it is to be killed and has tried in vain.
sub attend {
    my ($self) = @_;
    return if !$self->{until};
    my $event = $self->{event};
    if ($event->{kills_head} && !$self->{killed_head} && $self->{run}->nginx->master) {
        my $log = $self->{log};
        seek $log, 0, 1;
        for my $line (grep { /$REFUSED/ } <$log>) {
            my ($pid) = $line =~ /\] (\d+)#/;
            $self->{killed_head} = $self->{run}->kill_worker($pid, 'the head of a line') or next;
            $self->{heads}++;
            last;
        }
    }
    $self->up if Time::HiRes::time() >= $self->{until};
}

sub up {
    my ($self) = @_;
    my $event = delete $self->{event} or return;
    delete @$self{qw(until killed_head log)};
    $self->{app}->up(backlog => $event->{backlog});
    $self->{run}->log("the app is back, backlog $event->{backlog}");
}

# How many workers were killed when they had tried to reach it in vain.
sub heads { return $_[0]{heads} // 0 }

# How often it ended so.
sub count {
    my ($self, $how) = @_;
    return scalar grep { $_->{how} eq $how } @{$self->{ends}};
}

# Whether it ended between these times, as far as nginx can see.
sub ended_within {
    my ($self, $from, $to) = @_;
    return scalar grep { $to >= $_->{from} - 0.05 && $from <= $_->{gone} + $SLACK } @{$self->{ends}};
}

1;
