package Intermission::Bench::Release;

# How long a release takes, compared with the burst of as many clients that send at the same moment through nginx alone.

use strict;
use utf8;
use warnings;
use Intermission::Bench;
use Intermission::Bench::Held qw(server plain_server burst release);
use List::Util qw(max min sum0);

# How many are held, the workers, and the limit of the ratio.
my @USUAL = ([1000, 2, 1.3], [8000, 2, 0.85], [8000, 4, 1.0]);
my @TRIAL = ([100, 2, 1.3]);

# @numbers: how many to hold, instead.
sub run {
    my (@numbers) = @_;
    held(@$_) for @numbers ? map({ my $n = $_; map { [$n, @$_] } [2, $n < 8000 ? 1.3 : 0.85], [4, $n < 8000 ? 1.3 : 1.0] } @numbers)
        : trial(\@TRIAL, \@USUAL)->@*;
}

sub held {
    my ($number, $workers, $limit) = @_;
    my $pairs = trial(2, max(7, min(15, int(60_000 / $number))));
    my %server = map { $_->[0] => server($number, workers => $workers, %{$_->[1]}) } modules();
    my @who = map { $_->[0] } modules();
    my $plain = plain_server($number, $server{$who[0]}, workers => $workers);
    my (@burst, %release);
    for my $pair (1 .. $pairs) {
        my @runs = (sub { push @burst, burst($plain, $number) }, map {
            my $who = $_;
            sub { push @{$release{$who}}, release($server{$who}, $number) };
        } @who);
        $_->() for $pair % 2 ? @runs : reverse @runs;
    }

    heading(grouped($number) . " held, $workers workers, $pairs pairs");
    row('nginx alone: from go to the last answer, ms', 0, map { $_->{last} } @burst);
    row('    CPU of the workers per request, µs', 1, map { $_->{cpu} } @burst);
    wrong('nginx alone', @burst);
    for my $who (@who) {
        my @release = $release{$who}->@*;
        row("$who: from disable to the last answer, ms", 0, map { $_->{last} } @release);
        at_most($limit, row('    compared with nginx alone', 2, map { $release[$_]{last} / $burst[$_]{last} } 0 .. $#burst), 'times');
        at_most(5, row('    from disable to the first answer, ms', 1, map { $_->{first} } @release));
        row('    CPU of the workers per request, µs', 1, map { $_->{cpu} } @release);
        at_most(1, row('    compared with nginx alone', 2, map { $release[$_]{cpu} / $burst[$_]{cpu} } 0 .. $#burst), 'times');
        none(say_of('    out of order at the app', sum0 map { $_->{violations} } @release), 'of ' . grouped($pairs * $number));
        wrong($who, @release);
        finish($who, $server{$who});
    }
    finish('nginx alone', $plain);
}

sub wrong {
    my ($who, @runs) = @_;
    none(say_of('    answers other than 200', sum0 map { $_->{bad} } @runs));
}

1;
