package Intermission::Crowd;

# A running `crowd clients` or `crowd http2`.

use strict;
use warnings;
use IO::Select;
use Intermission::Process;
use JSON::PP ();
use Time::HiRes ();

# command => [...], errors => file for its stderr
sub new {
    my ($class, %opt) = @_;
    pipe my $stdin, my $say or die "pipe: $!";
    pipe my $hear, my $stdout or die "pipe: $!";
    open my $errors, '>>', $opt{errors} or die "$opt{errors}: $!";
    my $pid = Intermission::Process::start(
        "@{$opt{command}}[0, 1]", $opt{command},
        stdin => $stdin, stdout => $stdout, stderr => $errors,
    );
    $say->autoflush(1);
    $hear->blocking(0);
    return bless {pid => $pid, say => $say, hear => $hear, input => '', events => {}, errors => $opt{errors}}, $class;
}

sub pid { $_[0]{pid} }

sub say {
    my ($self, $word) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print {$self->{say}} "$word\n";
}

# Waits for the event of this name, and returns it. Dies if it does not come. Each event comes once.
sub wait_event {
    my ($self, $name, $seconds) = @_;
    my $end = Time::HiRes::time() + ($seconds // 60);
    until ($self->{events}{$name}) {
        my $left = $end - Time::HiRes::time();
        $self->_fail("no event '$name' in time") if $left <= 0;
        next if !IO::Select->new($self->{hear})->can_read($left);
        my $read = sysread $self->{hear}, $self->{input}, 65536, length $self->{input};
        $self->_fail("it ended without event '$name'") if defined $read && !$read;
        while ($self->{input} =~ s/^(.*)\n//) {
            my $event = JSON::PP::decode_json($1);
            $self->{events}{$event->{event} // 'progress'} = $event;
        }
    }
    return $self->{events}{$name};
}

# Waits for the end. Returns the last event, with `exit` added.
sub done {
    my ($self, $seconds) = @_;
    my $done = $self->wait_event('done', $seconds);
    my $status;
    Intermission::Process::wait_until(
        sub { defined($status = Intermission::Process::reaped($self->{pid})) }, 5);
    return $self->{done} //= {%$done, exit => defined $status ? $status >> 8 : undef};
}

sub kill {
    my ($self) = @_;
    Intermission::Process::end($self->{pid}, [KILL => 5]);
}

sub _fail {
    my ($self, $why) = @_;
    my $errors = Intermission::Process::slurp($self->{errors}) // '';
    $self->kill;
    die "crowd: $why\n$errors";
}

1;
