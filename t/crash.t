# When a worker dies, only its own requests are lost: no other request waits for it, and no ticket is lost.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $faulty = $ENV{TEST_NGINX_FAULTY} // Intermission::root() . '/target/faults/ngx_http_intermission_module.so';

# Each client is answered, or cut off by the death of its worker. Returns how many were cut off.
sub all_but_the_dead_are_served {
    my ($t, $done, $count, $name) = @_;
    is $done->{timed_out}, 0, "$name: no client waits for ever";
    my $answered = $done->{statuses}{200} // 0;
    my $cut = $done->{errors}{reset} + $done->{errors}{eof};
    is $answered + $cut, $count, "$name: all clients of the other workers are served";
    is $t->position_inversions, 0, "$name: released in order";
    $t->wait_state('open');
    return $cut;
}

for my $workers (2, 4) {
    subtest "when a worker is killed while it holds requests, only its own are lost, $workers workers" => sub {
        my $t = Intermission->new(workers => $workers);
        $t->control('enable');
        my $crowd = $t->crowd('--count', 400);
        $t->wait_held(400);
        # The victim must hold requests: on a busy machine one worker may hold all of them.
        my ($victim) = $t->error_log =~ /\[info\] (\d+)#[^\n]*: held, ticket/;
        $t->kill_worker($victim);
        $t->wait_for(sub { $t->status->{held} < 400 }, "the dead worker's requests to be out of the line");
        my $held = $t->status->{held};
        is $t->status->{slots}{used}, $held, 'a worker is killed while it holds: its slots are free again';
        is $t->status->{totals}{lost}, 400 - $held, 'a worker is killed while it holds: its requests are counted as lost';
        is $t->status->{state}, 'paused', 'a worker is killed while it holds: the pause goes on';
        $t->control('disable');
        my $cut = all_but_the_dead_are_served($t, $crowd->done, 400, "killed while holding, $workers workers");
        is $cut, 400 - $held, 'a worker is killed while it holds: only its own clients are cut off';
        $t->clean_ok(killed_process => 1);
    };
}

for my $round (1 .. 5) {
    subtest "when a worker is killed while it releases requests, only its own are lost, round $round" => sub {
        my $t = Intermission->new(workers => 4);
        $t->control('enable');
        my $crowd = $t->crowd('--count', 2000);
        $t->wait_held(2000, seconds => 20);
        my @victims = $t->workers;
        $t->control('disable');
        kill KILL => $victims[$round % 4];
        all_but_the_dead_are_served($t, $crowd->done, 2000, "killed while releasing, round $round");
        $t->clean_ok(killed_process => 1);
    };
}

subtest 'when an old worker is killed after a reload, only its own requests are lost' => sub {
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 300);
    $t->wait_held(300);
    $t->reload;
    # An old worker that holds no request leaves at once.
    my @old = $t->wait_for(sub { my @old = $t->old_workers; @old ? \@old : undef }, 'an old worker')->@*;
    my $more = $t->crowd('--count', 300, '--first', 300);
    $t->wait_held(600);
    @old = $t->old_workers;
    $t->kill_worker($old[0]);
    $t->control('disable');
    my ($done, $new) = ($crowd->done, $more->done);
    is $done->{timed_out} + $new->{timed_out}, 0, 'an old worker killed after a reload: no client waits for ever';
    is $new->{statuses}{200}, 300, 'an old worker killed after a reload: all requests that the new workers held are served';
    cmp_ok $done->{answered}, '>', 0, 'an old worker killed after a reload: requests of the other old worker are served' if @old > 1;
    is $t->position_inversions, 0, 'an old worker killed after a reload: released in order';
    $t->wait_old_workers_gone;
    $t->clean_ok(killed_process => 1);
};

subtest 'a worker that is killed while it releases is noticed without a call or a new request' => sub {
    # No call and no new request comes: the workers that wait must notice the death by themselves.
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 300);
    $t->wait_held(300);
    $t->reload;
    my ($old) = $t->wait_for(sub { my @old = $t->old_workers; @old ? \@old : undef }, 'an old worker')->@*;
    my $disable = $t->send('/_intermission/disable');
    kill KILL => $old;
    $disable->response;
    my $done = $crowd->done;
    is $done->{timed_out}, 0, 'an old worker killed while releasing is not waited for';
    $t->wait_old_workers_gone;
    $t->clean_ok(killed_process => 1);
};

SKIP: {
    skip 'no module with faults: scripts/test builds it', 1 if !-e $faulty;
    for my $step (0 .. 24) {
        subtest "a worker dies while it holds the lock, at step $step: the tables are repaired, and no client waits for ever" => sub {
            my $t = Intermission->new(workers => 2, module => $faulty);
            chmod 0777, $t->dir;
            $t->control('enable');
            my $crowd = $t->crowd('--count', 60);
            $t->wait_held(60);
            # At odd steps the worker dies while requests arrive, at even steps while it releases.
            my $fault = sub { open my $f, '>', $t->dir . '/fault' or die; print $f $step; close $f };
            my $dies_arriving = $step % 2;
            $fault->() if $dies_arriving;
            my $more = $t->crowd('--count', 60, '--first', 60);
            $more->wait_event('sent');
            $fault->() if !$dies_arriving;
            # The worker that gets the call may be the one that dies: then the call is repeated.
            my $disable = sub { $t->wait_for(sub { ($t->control('disable')->{status} // '') =~ /^(?:200|304)$/ }, 'an answer to disable') };
            $disable->();
            my ($done, $rest) = ($crowd->done, $more->done);
            is $done->{timed_out} + $rest->{timed_out}, 0, "killed while it holds the lock at step $step: no client waits for ever";
            is $t->ticket_inversions, 0, "killed while it holds the lock at step $step: released in order";
            # The worker may have had too little to do to reach the step.
            $t->wait_for(sub { $t->error_log =~ /exited on signal 9/ || do { $t->control('enable'); $disable->(); 0 } }, 'a worker to die at its step');
            $t->wait_log(qr/died while it held the lock: the tables were repaired/);
            $t->wait_state('open');
            $t->clean_ok(killed_process => 1);
        };
    }

    # The master does not unlock a zone that the present configuration does not have.
    for my $round (1 .. 3) {
        subtest "an old worker that dies while it holds the lock of a former zone stops no other, round $round" => sub {
            # With reuseport each worker gets some requests.
            my $t = Intermission->new(
                workers => 2, module => $faulty, backend => ['--delay', 2000], server => 'listen 127.0.0.2:@PORT@ reuseport;',
            );
            chmod 0777, $t->dir;
            my $crowd = $t->crowd('--count', 200, '--to', '127.0.0.2:' . $t->port);
            $t->wait_backend(200);
            $t->reload(http => 'intermission_zone 1m;');
            my @old = $t->old_workers;
            open my $f, '>', $t->dir . "/fault.$old[0]" or die;
            print $f 0;
            close $f;
            # The other worker comes to the lock only after the first has died with it.
            $t->freeze($old[1]);
            $t->wait_log(qr/exited on signal 9/);
            kill CONT => $old[1];
            $crowd->done;
            $t->wait_old_workers_gone;
            is scalar($t->old_workers), 0, 'an old worker that dies while it holds the lock of a former zone stops no other';
            $t->clean_ok(killed_process => 1);
        };
    }
}

done_testing;
