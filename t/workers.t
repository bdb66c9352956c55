# No worker is without an entry for ever, and no app is quiet while there is one that cannot be asked.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $http = 'intermission_zone 128k;';

{
    my $t = Intermission->new(workers => 10, http => $http);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 200, '--expect', '503');
    $t->wait_held(200);
    $t->reload;
    my $more = $t->crowd('--count', 200, '--first', 200, '--expect', '503');
    $t->wait_held(400);
    unlike $t->error_log, qr/table is full/, 'the smallest zone has entries for ten workers and their reloads';
    is $t->status->{totals}{rejected}, 0, 'nobody is rejected';
    ok $t->stop(signal => 'QUIT', seconds => 10), 'nginx quits';
    is $_->done->{statuses}{503}, 200, 'everybody is answered' for $crowd, $more;
}

{
    # The table was made for one.
    my $t = Intermission->new(workers => 1, http => $http);
    $t->reload(workers => 17);
    $t->wait_log(qr/worker table is full/);
    my $answer = $t->control('enable?wait=2s');
    is $answer->{status}, 504, 'no app is quiet while a worker has no entry';
    $t->reload(workers => 12);
    $t->wait_for(sub { $t->control('enable?wait=2s')->{status} == 200 }, 'quiet when all have one', 20);
    my $crowd = $t->crowd('--count', 300);
    $t->wait_held(300);
    is $t->status->{totals}{rejected}, 0, 'all of them hold';
    $t->control('disable');
    is $crowd->done->{statuses}{200}, 300, 'and release';
    $t->clean_ok(allow => [qr/worker table is full/]);
}

{
    # One that stands still and has no entry is not forgotten, however long it stands.
    my $t = Intermission->new(workers => 1, http => $http);
    $t->control('enable');
    my $held = $t->send('/held');
    $t->wait_held(1);
    $t->reload(workers => 17);
    my @without;
    $t->wait_for(sub { 2 == (@without = $t->error_log =~ /\[error\] (\d+)#.*worker table is full/g) }, 'two without an entry');
    $t->freeze(@without);
    is $t->control('enable?wait=5s', timeout => 20)->{status}, 504, 'no app is quiet while a worker without an entry stands still';
    $t->reload(workers => 12);
    my $answer;
    # A new worker without an entry answers that with 503.
    $t->wait_for(sub { ($answer = $t->control('enable?wait=2s')->{status}) != 503 }, 'a worker that has an entry', 20);
    is $answer, 504, 'nor when it is to leave';
    kill KILL => @without;
    $t->wait_for(sub { $t->control('enable?wait=2s')->{status} == 200 }, 'quiet when it is dead', 20);
    pass 'quiet when it is dead';
    $t->control('disable');
    is $held->response->{status}, 200, 'the one held goes on';
    $t->clean_ok(allow => [qr/worker table is full/], killed_process => 1);
}

done_testing;
