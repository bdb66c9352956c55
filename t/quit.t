# A quit does not hang: the held requests of a paused app are answered, and a drain goes on.

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

subtest 'a quit answers the requests of a paused app' => sub {
    my $t = Intermission->new(workers => 4);
    $t->control('enable');
    my $crowd = held($t, 500);
    ok $t->stop(signal => 'QUIT', seconds => 10), 'nginx quits although it is paused';
    is $crowd->done->{statuses}{503}, 500, 'nginx quits: all held requests are answered with 503';
    is scalar(grep { /\[alert\]/ } split /\n/, $t->error_log), 0, 'nginx quits: no alert in the log';
};

subtest 'a quit answers the requests of old workers' => sub {
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $old = held($t, 100);
    $t->reload;
    $t->wait_for(sub { scalar $t->old_workers }, 'an old worker to be there');
    my $new = $t->crowd('--count', 100, '--first', 100, '--expect', '200,503');
    $t->wait_held(200);
    $t->reload;
    is $t->status->{held}, 200, 'reloads answer no held request';
    ok $t->stop(signal => 'QUIT', seconds => 10), 'nginx quits after reloads under a pause';
    is $_->done->{statuses}{503}, 100, 'nginx quits after reloads: requests of old and new workers are answered with 503' for $old, $new;
};

subtest 'a drain goes on while nginx quits' => sub {
    my $t = Intermission->new(workers => 2, backend => ['--delay', 20]);
    $t->control('enable');
    my $crowd = held($t, 200);
    $t->control('disable?spread=1s');
    kill QUIT => $t->master;
    is $crowd->done->{statuses}{200}, 200, 'a drain goes on while nginx quits';
    is $t->position_inversions, 0, 'a drain while nginx quits: released in order';
    $t->stop;
};

subtest 'a single worker that is told to quit goes on holding' => sub {
    # The master starts no other worker before this one ends. It is no quit of nginx: no request is answered.
    my $t = Intermission->new(workers => 1);
    $t->control('enable?for=4s');
    my $crowd = held($t, 20);
    my ($one) = $t->workers;
    kill QUIT => $one;
    $t->wait_for(sub { $t->old_workers }, 'the worker to be shutting down');
    is $crowd->done->{statuses}{200}, 20, 'a single worker that is told to quit: it holds until the lease is over';
    $t->wait_for(sub { ($t->workers)[0] // $one != $one }, 'another worker to be up');
    $t->clean_ok;
};

subtest 'one worker that leaves and one that dies are no quit' => sub {
    # Both together are no quit of nginx. Then nginx does quit.
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my @clients = map { $t->send("/$_") } 1 .. 20;
    $t->wait_held(20);
    my ($one) = $t->error_log =~ /\[info\] (\d+)#[^\n]*held, ticket/;
    my ($other) = grep { $_ != $one } $t->workers;
    kill QUIT => $one;
    $t->wait_for(sub { grep { $_ == $one } $t->old_workers }, 'the worker to be shutting down');
    kill KILL => $other;
    $t->wait_for(sub { grep { $_ != $one && $_ != $other } $t->workers }, 'another worker in the place of the dead one');
    my $held = $t->wait_for(sub { my $status = $t->status; $status->{totals}{lost} + $status->{held} == 20 && $status->{held} }, 'the requests of the dead worker to count as lost', 20);
    select undef, undef, undef, 1;
    is $t->status->{held}, $held, 'one worker leaves and one dies: the held requests stay';
    is $t->status->{totals}{stopped}, 0, 'one worker leaves and one dies: no held request is answered';
    ok $t->stop(signal => 'QUIT', seconds => 10), 'nginx quits after one worker left and one died';
    my %statuses;
    $statuses{$_->response->{status}}++ for @clients;
    is $statuses{503} // 0, $held, 'nginx quits: the requests that were still held are answered with 503';
};

subtest "a quit does not wait for the cache's helpers" => sub {
    my $t = Intermission->new(workers => 2, http => 'proxy_cache_path @DIR@/cache keys_zone=c:1m loader_files=1 loader_sleep=1s loader_threshold=1ms;');
    is $t->control('enable?wait=3s')->{status}, 200, 'an app is quiet although a helper has said nothing';
    my $crowd = held($t, 20);
    ok $t->stop(signal => 'QUIT', seconds => 10), "nginx with a cache's helpers quits";
    is $crowd->done->{statuses}{503}, 20, "nginx with a cache's helpers quits: held requests are answered with 503";
};

subtest 'one worker that leaves is no quit' => sub {
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = held($t, 100);
    my ($one) = $t->workers;
    kill QUIT => $one;
    $t->wait_for(sub { !grep { $_ == $one } $t->workers }, 'the worker to be shutting down');
    is $t->status->{held}, 100, 'one worker that leaves: no held request is answered';
    $t->control('disable');
    is $crowd->done->{statuses}{200}, 100, 'one worker that leaves: all held requests are served when the pause ends';
    $t->clean_ok;
};

for my $round (1 .. 3) {
    subtest "one worker that leaves and the only other one that dies are no quit, round $round" => sub {
        my $t = Intermission->new(workers => 2);
        $t->control('enable');
        my $crowd = held($t, 100, '--expect', '200');
        my ($told, $killed) = $t->workers;
        kill QUIT => $told;
        $t->wait_for(sub { !grep { $_ == $told } $t->workers }, 'the worker to be shutting down');
        my $theirs = $t->status->{held};
        # The frozen master starts another worker late.
        $t->freeze($t->master);
        kill KILL => $killed;
        select undef, undef, undef, 0.6;
        kill CONT => $t->master;
        $t->wait_for(sub { grep { $_ != $killed } $t->workers }, 'another worker to be up');
        $t->wait_for(sub { ($t->status->{totals}{lost} // 0) + $t->status->{held} == $theirs }, 'the requests of the dead worker to count as lost');
        is $t->status->{totals}{stopped}, 0, 'one worker leaves and the other is killed: no request is answered with 503';
        my $left = $t->status->{held};
        $t->control('disable');
        is $crowd->done->{statuses}{200} // 0, $left, 'one worker leaves and the other is killed: the remaining requests are served';
        $t->clean_ok(killed_process => 1);
    };
}

subtest 'worker_shutdown_timeout answers held requests before it cuts them off' => sub {
    my $t = Intermission->new(workers => 2, main => 'worker_shutdown_timeout 2s;');
    $t->control('enable?for=60s');
    my @held = map { $t->send("/$_") } 1 .. 4;
    $t->wait_held(4);
    $t->reload;
    my @answers = map { $_->response } @held;
    is scalar(grep { $_->{status} == 503 } @answers), 4, 'worker_shutdown_timeout: held requests of an old worker are answered with 503';
    is scalar(grep { ($_->{headers}{'retry-after'} // 0) > 50 } @answers), 4, 'worker_shutdown_timeout: the 503 says when the lease ends';
    is $t->logged('/1')->{intermission}, 'STOPPED', 'worker_shutdown_timeout: the access log says STOPPED';
    is $t->status->{totals}{left}, 0, 'worker_shutdown_timeout: no held request counts as left';
    $t->control('disable');
    $t->clean_ok;
};

subtest 'a worker that hangs when nginx quits does not keep the others from quitting' => sub {
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = held($t, 200);
    my ($hangs) = $t->workers;
    $t->freeze($hangs);
    kill QUIT => $t->master;
    $t->wait_for(sub { scalar $t->old_workers }, 'the other worker to be shutting down');
    kill KILL => $hangs;
    my $done = $crowd->done;
    is $done->{timed_out}, 0, 'a quit does not wait for a worker that dies before it was told to quit';
    is $done->{statuses}{503} + $done->{errors}{reset} + $done->{errors}{eof}, 200, "a worker dies before it was told to quit: the other worker's requests are answered with 503";
    $t->stop;
};

subtest 'a killed master: workers that quit answer their requests' => sub {
    # Without a master each worker must log how many it answered.
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = held($t, 20);
    my @workers = $t->workers;
    kill KILL => $t->master;
    $t->wait_for(sub { !Intermission::Process::is_alive($t->master) }, 'the master to end');
    kill QUIT => @workers;
    is $crowd->done->{statuses}{503}, 20, 'a killed master: held requests are answered with 503 when the workers quit';
    my $said = sub { my $sum = 0; $sum += $_ for $t->error_log =~ /nginx quits while the app is paused: it answered (\d+) held requests? with 503/g; return $sum };
    $t->wait_for(sub { !grep { Intermission::Process::is_alive($_) } @workers }, 'the workers to end');
    is $said->(), 20, 'a killed master: the log says how many were answered';
    $t->stop;
};

subtest 'a reload without the module answers held requests as a quit does' => sub {
    plan skip_all => 'the module is linked into nginx' if Intermission::is_linked();
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = held($t, 100);
    $t->reload(with_module => 0, locations => 'location / { proxy_pass http://backend; }');
    is $crowd->done->{statuses}{503}, 100, 'a reload without the module: held requests are answered with 503';
    $t->wait_old_workers_gone;
    pass 'a reload without the module: the old workers leave';
    $t->clean_ok;
};

done_testing;
