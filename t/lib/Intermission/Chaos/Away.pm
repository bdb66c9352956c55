package Intermission::Chaos::Away;

# Checks what became of requests for the app that comes and goes. $self is the Intermission::Chaos::Checks.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw($BROKEN $REFUSED $UNSENT);

# What nginx logs of a request that it cannot pass on to this app, of one that it had sent, and of one that it cannot send.
our $REFUSED = qr{connect\(\) (?:to \S+ )?failed.*/going\.sock};
our $BROKEN = qr{(?:upstream prematurely closed connection|recv\(\) failed).*/going\.sock};
our $UNSENT = qr{(?:send|writev|sendfile)\(\) failed.*/going\.sock};
# By how many seconds the time of a line of the error log, and of another process, may differ.
my $SLACK = 1.3;
# By how many seconds two workers may differ about which request came first.
my $NEWCOMER = 0.3;

# Why a request was answered with 502 although its app has intermission_away. Returns nothing if there is no reason.
sub why_failed {
    my ($self, $request) = @_;
    my ($access, $run) = ($request->{access} // return, $self->{run});
    my $was_sent = grep { $_ > 0 } split /,/, $access->{sent};
    return 'sent, and its app died' if $was_sent && $run->outages->ended_within($access->{at}, $access->{at});
    return if $was_sent || !$request->{refused};
    return 'such requests are never held' if $request->{kind} =~ /^(?:robots|health)$/;
    return 'nginx was told to end' if grep { $access->{at} >= $_->{from} - 0.1 && $access->{at} <= $_->{to} + 1 } @{$run->{downs}};
    return;
}

# nginx itself sends a request once more if the kept connection on which it was sent breaks, but not a POST.
sub is_sent_again_by_nginx {
    my ($self, $request, $app) = @_;
    my ($access, $at) = ($request->{access}, $request->{backend}{at});
    return 0 if !$app->{away} || $request->{kind} =~ /post/;
    return 1 < grep { $_ > 0 } split /,/, $access->{sent} if $access;
    return $self->{run}->outages->ended_within($at - 1, $at);
}

# A request that has come back stands before those that came later: none of them comes to the app before it, except one that had
# gone on before it came back.
sub not_overtaken_when_back {
    my ($self) = @_;
    my (@wrong, %before);
    for my $request (grep { $_->{access} && $_->{access}{word} =~ /^(?:PASSED|HELD)$/ } @{$self->{passed_on}}) {
        my ($access, $before) = ($request->{access}, $before{$request->{app}} //= []);
        my $one = {request => $request, came => $access->{at} - $access->{took}, at => $request->{backend}{at}};
        if (my $second = $request->{refused}) {
            $self->{count}{'came back, and went on'}++;
            for my $other (reverse @$before) {
                last if $other->{at} <= $second + $SLACK;
                push @wrong, [$request, $other->{request}] if $other->{came} > $one->{came} + $NEWCOMER;
            }
        }
        push @$before, $one;
    }
    return @wrong;
}

1;
