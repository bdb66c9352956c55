# The binary upgrade: USR2, WINCH, QUIT, and the way back. The old and the new nginx have separate zones:
# held requests stay with the nginx that holds them. They share only the state file.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $locations = <<'END';
set $app_name basecamp;
add_header X-Pid $pid always;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
END

# Starts nginx as a daemon, because nginx ignores USR2 while its parent is the process that started it.
sub instance {
    my (%conf) = @_;
    return Intermission->new(daemon => 1, workers => 2, locations => $locations, %conf);
}

my @with_file = (http => "intermission_state_file state;\n");

sub slurp { return Intermission::Process::slurp($_[0]) // '' }

sub workers_of {
    my ($master) = @_;
    return grep { Intermission::Process::title($_) eq 'nginx: worker process' } Intermission::Process::children($master);
}

# Sends USR2. Returns the pid of the new master when its workers are up.
sub upgrade {
    my ($t) = @_;
    my $pid = $t->dir . '/nginx.pid';
    kill USR2 => $t->master;
    my $new = $t->wait_for(sub { -e "$pid.oldbin" && slurp($pid) =~ /^(\d+)\n/ && $1 != $t->master ? $1 : undef }, 'the new master to be up');
    Intermission::Process::adopt('new nginx', $new);
    $t->wait_for(sub { workers_of($new) == 2 }, 'the workers of the new master to be up');
    return $new;
}

# From now on $t means this master.
sub turn_to {
    my ($t, $master) = @_;
    $t->{master} = $master;
    $t->workers;
}

# A kept connection to a worker of this master.
sub connection_to {
    my ($t, $master) = @_;
    return $t->wait_for(sub {
        my $client = $t->send('/_intermission/status', keepalive => 1);
        my $pid = $client->response->{headers}{'x-pid'};
        (grep { $_ == $pid } workers_of($master)) ? $client : undef;
    }, "a connection to a worker of master $master");
}

# Sends a request on such a connection. Returns the answer.
sub ask {
    my ($client, $target) = @_;
    return $client->request($target, keepalive => 1)->response;
}

sub status_of {
    my ($client) = @_;
    return JSON::PP::decode_json(ask($client, '/_intermission/status?format=json')->{body});
}

sub wait_held_by {
    my ($t, $client, $number) = @_;
    return $t->wait_for(sub { status_of($client)->{held} == $number }, "$number requests to be held");
}

# Waits until a master has no workers.
sub wait_workless {
    my ($t, $master) = @_;
    my $workers = qr/^nginx: worker process/;
    return $t->wait_for(sub { !grep { Intermission::Process::title($_) =~ $workers } Intermission::Process::children($master) }, "master $master to have no workers");
}

sub answers { return [map { my $answer = $_->response; [$answer->{status}, $answer->{headers}{'retry-after'}] } @_] }

subtest 'USR2, WINCH, QUIT with a state file' => sub {
    my $t = instance(@with_file);
    my $old = $t->master;
    $t->control('enable?for=60s&reason=upgrade');
    my @old_held = map { $t->send("/old/$_") } 1 .. 3;
    $t->wait_held(3);
    my $to_old = connection_to($t, $old);
    my $before = status_of($to_old);

    my $new = upgrade($t);
    my $to_new = connection_to($t, $new);
    my $after = status_of($to_new);
    is_deeply [@$after{qw(state pause since until reason by)}], [@$before{qw(state pause since until reason by)}], 'USR2: the new nginx starts paused as the old one is';
    is_deeply [status_of($to_old)->{held}, $after->{held}], [3, 0], 'USR2: held requests stay with the old nginx';
    $to_new->request('/new/1', keepalive => 1);
    my $watch = connection_to($t, $new);
    wait_held_by($t, $watch, 1);
    $to_old->request('/old/4', keepalive => 1);
    my $other_old = connection_to($t, $old);
    wait_held_by($t, $other_old, 4);
    is status_of($watch)->{held}, 1, 'USR2: each nginx holds the requests that come to it';

    kill WINCH => $old;
    my @answers = map { $_->response } @old_held;
    is_deeply [map { $_->{status} } @answers], [(503) x 3], 'WINCH: the requests that the old nginx holds are answered with 503 at once';
    is scalar(grep { my $seconds = $_->{headers}{'retry-after'}; $seconds > 10 && $seconds <= 60 } @answers), 3, 'WINCH: the 503 says when the lease ends';
    is $to_old->response->{status}, 503, 'WINCH: a held request on a kept connection is answered with 503';
    wait_workless($t, $old);
    is $t->status->{held}, 1, 'WINCH: the new nginx holds on';
    my $late = $t->send('/new/2');
    $t->wait_held(2);

    my ($signal, $status) = Intermission::Process::end($old, [QUIT => 5], [KILL => 5]);
    is_deeply [$signal, $status], ['QUIT', 0], 'QUIT: the old nginx ends';
    turn_to($t, $new);
    is_deeply [$t->status->{state}, $t->status->{held}], ['paused', 2], 'QUIT: the new nginx stays paused';
    $t->control('disable');
    is $_->response->{status}, 200, 'the new nginx: held requests are released' for $to_new, $late;
    $t->came_ok(['/new/1', '/new/2'], 'the new nginx: released in order; no request of the old one came to the app');
    $t->wait_state('open');
    ok $t->end_nginx, 'the new nginx quits';
    $t->start_nginx;
    is $t->status->{state}, 'open', 'after a restart the app is as the new nginx left it';
    $t->clean_ok;
};

subtest 'USR2 and QUIT at once, with a drain' => sub {
    # QUIT without WINCH before, while old workers drain.
    my $t = instance(@with_file, backend => ['--delay', 20]);
    my $old = $t->master;
    $t->control('enable');
    my $crowd = $t->crowd('--count', 200, '--expect', '200,503');
    $t->wait_held(200);
    my $to_old = connection_to($t, $old);
    my $new = upgrade($t);
    is ask($to_old, '/_intermission/disable?spread=1s')->{status}, 200, 'disable reaches the nginx that it comes to';
    my $to_new = connection_to($t, $new);
    is status_of($to_new)->{state}, 'paused', 'disable does not reach the other nginx: it must be called there, too';
    my ($signal, $status) = Intermission::Process::end($old, [QUIT => 10], [KILL => 5]);
    is_deeply [$signal, $status], ['QUIT', 0], 'QUIT at once: the old nginx ends';
    is $crowd->done->{statuses}{200}, 200, "QUIT at once: all requests of the old nginx's drain are answered";
    is $t->position_inversions, 0, 'QUIT at once: released in order';
    turn_to($t, $new);
    $t->control('disable');
    $t->clean_ok;
};

subtest 'USR2 and QUIT without a state file' => sub {
    my $t = instance();
    my $old = $t->master;
    $t->control('enable');
    my @held = map { $t->send("/old/$_") } 1 .. 3;
    $t->wait_held(3);
    my $to_old = connection_to($t, $old);
    my $new = upgrade($t);
    my $to_new = connection_to($t, $new);
    is_deeply [status_of($to_old)->{state}, status_of($to_new)->{state}], ['paused', 'open'], 'without a state file the new nginx starts open';
    is ask($to_new, '/new')->{status}, 200, 'without a state file the new nginx passes requests on';
    kill QUIT => $old;
    is_deeply answers(@held), [([503, 10]) x 3], 'QUIT: the requests that the old nginx holds are answered with 503 at once';
    my ($signal, $status) = Intermission::Process::end($old, [CONT => 5], [KILL => 5]);
    is_deeply [$signal, $status], ['CONT', 0], 'without a state file the old nginx ends';
    turn_to($t, $new);
    is_deeply [map { $_->{target} } $t->backend_log], ['/new'], 'without a state file no held request came to the app';
    $t->clean_ok;
};

subtest 'back to the old nginx, by HUP and QUIT or by TERM' => sub {
    my $t = instance(@with_file);
    my $old = $t->master;
    $t->control('enable?reason=first');
    my $pause = $t->status->{pause};
    my $new = upgrade($t);
    kill WINCH => $old;
    wait_workless($t, $old);
    # Meanwhile the new nginx pauses and resumes.
    for (1 .. 5) {
        $t->control('disable');
        $t->control('enable?reason=second');
    }
    my $held = $t->send('/new');
    $t->wait_held(1);

    kill HUP => $old;
    $t->wait_for(sub { workers_of($old) == 2 }, 'the old nginx to have workers again');
    kill QUIT => $new;
    is_deeply answers($held), [[503, 10]], 'HUP and QUIT: the requests that the new nginx holds are answered with 503 at once';
    $t->wait_for(sub { !Intermission::Process::is_alive($new) }, 'the new nginx to end');
    turn_to($t, $old);
    my $status = $t->status;
    is_deeply [@$status{qw(state pause reason)}], ['paused', $pause, 'first'], 'after HUP and QUIT the old nginx is paused as it was at USR2';
    $held = $t->send('/back');
    $t->wait_held(1);
    pass 'after HUP and QUIT the old nginx holds';
    is $t->control('disable')->{status}, 200, 'after HUP and QUIT the old nginx resumes';
    is $held->response->{status}, 200, 'after HUP and QUIT the old nginx releases';
    ok $t->end_nginx(signal => 'TERM'), 'after HUP and QUIT the old nginx is stopped';
    $t->start_nginx;
    is $t->status->{state}, 'open', 'after a restart the last answered change counts, whichever nginx made it';

    $t->control('enable');
    $old = $t->master;
    $new = upgrade($t);
    kill WINCH => $old;
    wait_workless($t, $old);
    $held = $t->send('/held');
    $t->wait_held(1);
    kill TERM => $new;
    is $held->response->{error}, 'closed', 'TERM: held requests of the new nginx are cut off';
    $t->wait_for(sub { workers_of($old) == 2 }, 'the old nginx to have workers again');
    $held = $t->send('/after');
    $t->wait_held(1);
    pass 'TERM of the new nginx: the old nginx is still paused';
    $t->control('disable');
    is $held->response->{status}, 200, 'TERM of the new nginx: the old nginx releases';
    $t->clean_ok;
};

subtest 'a new nginx that does not start changes nothing' => sub {
    my $t = instance(@with_file);
    $t->control('enable');
    my $held = $t->send('/held');
    $t->wait_held(1);
    my $http = $t->{conf}{http};
    $t->{conf}{http} = "$http nonsense;";
    $t->write_conf;
    kill USR2 => $t->master;
    $t->wait_log(qr/unknown directive "nonsense"/);
    $t->wait_for(sub { !-e $t->dir . '/nginx.pid.oldbin' }, 'the old nginx to be alone again');
    is_deeply [@{$t->status}{qw(state held)}], ['paused', 1], 'a new nginx that does not start changes nothing';
    $t->control('disable');
    is $held->response->{status}, 200, 'a new nginx that does not start: the held request is released';
    $t->clean_ok(allow => [qr/nonsense/]);
};

subtest 'a new build of the module takes effect' => sub {
    plan skip_all => 'the module is linked into nginx' if Intermission::is_linked();
    my $t = instance(@with_file);
    my $copy = $t->dir . '/another.so';
    system('cp', Intermission::module_path(), $copy) == 0 or die "no copy of the module: $?";
    $t->control('enable');
    %{$t->{conf}} = (%{$t->{conf}}, module => $copy);
    $t->write_conf;
    my $old = $t->master;
    my $new = upgrade($t);
    like slurp("/proc/$new/maps"), qr/\Q$copy\E/, 'a new build of the module takes effect';
    Intermission::Process::end($old, [QUIT => 5], [KILL => 5]);
    turn_to($t, $new);
    is $t->status->{state}, 'paused', 'a new build of the module: the pause goes on';
    $t->control('disable');
    $t->clean_ok;
};

done_testing;
