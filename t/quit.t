# Quitting does not hang: whoever is held by a pause is answered; a drain goes on.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

sub held {
    my ($t, $count, @more) = @_;
    my $crowd = $t->crowd('--count', $count, '--expect', '200,503', @more);
    $t->wait_held($count, seconds => 20);
    return $crowd;
}

{
    my $t = Intermission->new(workers => 4);
    $t->control('enable');
    my $crowd = held($t, 500);
    ok $t->stop(signal => 'QUIT', seconds => 10), 'nginx quits although it is paused';
    is $crowd->done->{statuses}{503}, 500, 'everybody held is answered 503';
    is scalar(grep { /\[alert\]/ } split /\n/, $t->error_log), 0, 'without an alert';
}

{
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $old = held($t, 100);
    $t->reload;
    $t->wait_for(sub { scalar $t->old_workers }, 'an old worker');
    my $new = $t->crowd('--count', 100, '--first', 100, '--expect', '200,503');
    $t->wait_held(200);
    $t->reload;
    is $t->status->{held}, 200, 'reloads answer nobody';
    ok $t->stop(signal => 'QUIT', seconds => 10), 'nginx quits after reloads under a pause';
    is $_->done->{statuses}{503}, 100, 'those whom old workers held are answered too' for $old, $new;
}

{
    my $t = Intermission->new(workers => 2, backend => ['--delay', 20]);
    $t->control('enable');
    my $crowd = held($t, 200);
    $t->control('disable?spread=1s');
    kill QUIT => $t->master;
    is $crowd->done->{statuses}{200}, 200, 'a drain goes on while nginx quits';
    is $t->position_inversions, 0, 'in order';
    $t->stop;
}

{
    # One worker told to quit is not nginx quitting.
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = held($t, 100);
    my ($one) = $t->workers;
    kill QUIT => $one;
    $t->wait_for(sub { !grep { $_ == $one } $t->workers }, 'a worker that leaves');
    is $t->status->{held}, 100, 'one worker that leaves answers nobody';
    $t->control('disable');
    is $crowd->done->{statuses}{200}, 100, 'all are served';
    $t->clean_ok;
}

{
    # A worker that hangs when nginx quits, and is killed then, keeps nobody else.
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = held($t, 200);
    my ($hangs) = $t->workers;
    $t->freeze($hangs);
    kill QUIT => $t->master;
    $t->wait_for(sub { scalar $t->old_workers }, 'the other one told to leave');
    kill KILL => $hangs;
    my $done = $crowd->done;
    is $done->{timed_out}, 0, 'a worker that dies before it was told to leave is not waited for';
    is $done->{statuses}{503} + $done->{errors}{reset} + $done->{errors}{eof}, 200, 'the others are answered 503';
    $t->stop;
}

{
    # A configuration without the module counts as a quit.
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = held($t, 100);
    $t->reload(with_module => 0, locations => 'location / { proxy_pass http://backend; }');
    is $crowd->done->{statuses}{503}, 100, 'a reload without the module answers everybody';
    $t->wait_old_workers_gone;
    pass 'and the old workers leave';
    $t->clean_ok;
}

done_testing;
