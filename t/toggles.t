# Hundreds of pauses under load: no request is stuck, none is lost.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;
use Time::HiRes ();

subtest '500 pauses under load: no request is stuck, and none is lost' => sub {
    my $t = Intermission->new(workers => 4);
    my $load = $t->crowd('--count', 60, '--keepalive', 2000, '--path', '/load/{i}', '--timeout', 60);
    my ($done, $longest) = (0, 0);
    for my $round (1 .. 500) {
        my $on = Time::HiRes::time();
        my $enable = $t->control('enable');
        my $disable = $t->control('disable');
        $done++ if $enable->{status} == 200 && $disable->{status} == 200;
        my $took = Time::HiRes::time() - $on;
        $longest = $took if $took > $longest;
    }
    is $done, 500, '500 pauses begin and end';
    note sprintf 'the longest pause took %.3f s', $longest;
    $t->wait_state('open');
    my $result = $load->done;
    is $result->{failed}, 0, '500 pauses under load: no request fails';
    is $result->{timed_out}, 0, '500 pauses under load: no request is stuck';
    is $result->{statuses}{200}, $result->{sent}, '500 pauses under load: every request is answered';
    my $totals = $t->status->{totals};
    cmp_ok $totals->{held}, '>', 0, '500 pauses under load: requests were held';
    is $totals->{held}, $totals->{released}, '500 pauses under load: every held request was released';
    $t->clean_ok;
};

done_testing;
