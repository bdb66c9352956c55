# A reload keeps pauses, held requests and their order.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $control = "location /_intermission { intermission_control; }\n";

sub location {
    my ($name, $lines) = @_;
    return "location /$name { $lines intermission on; proxy_pass http://backend; }\n";
}

# Runs `nginx` with these arguments and the running configuration. Returns its exit code and output.
sub nginx {
    my ($t, @arguments) = @_;
    open my $output, '>', $t->dir . '/output' or die "output: $!";
    my $command = Intermission::command($t->dir, @arguments);
    my $pid = Intermission::Process::start('nginx', $command, stdout => $output, stderr => $output);
    my $status;
    $t->wait_for(sub { defined($status = Intermission::Process::reaped($pid)) }, "nginx @arguments to end");
    return ($status >> 8, Intermission::Process::slurp($t->dir . '/output'));
}

# Waits until this many workers are left, old ones included.
sub wait_only {
    my ($t, $number) = @_;
    return $t->wait_for(sub { Intermission::Process::children($t->master) == $number }, "only $number workers to be left");
}

# The pid of the worker that holds the only request.
sub holder {
    my ($t) = @_;
    return $t->wait_for(sub { $t->error_log =~ /\[info\] (\d+)#[^\n]*intermission: [^\n]*held/ ? $1 : undef }, 'the line of the worker that holds the request');
}

subtest 'reloads under load keep a pause and its requests' => sub {
    my $t = Intermission->new(workers => 4, http2 => 1);
    $t->control('enable?reason=upgrade');
    my $pause = $t->status;
    my $streams = $t->crowd_http2('--count', 100, '--connections', 2);
    $t->wait_held(100);
    my $crowd = $t->crowd('--count', 900, '--rate', 600);
    for my $held (200, 400, 700) {
        $t->wait_for(sub { $t->status->{held} >= $held }, "$held requests to be held");
        $t->reload;
    }
    is_deeply [@{$t->status}{qw(state pause since reason)}], [@$pause{qw(state pause since reason)}], 'three reloads keep a pause';
    $t->wait_held(1000);
    cmp_ok scalar $t->old_workers, '>', 4, 'old workers of more than one reload stay for the requests that they hold';
    is $t->backend_log, 0, 'reloads in a pause: no request has passed';
    $t->control('disable');
    my $done = $crowd->done;
    is_deeply [@$done{qw(answered failed timed_out)}], [900, 0, 0], 'reloads in a pause: all clients are answered';
    is $streams->done->{statuses}{200}, 100, 'reloads in a pause: all HTTP/2 streams are answered';
    is_deeply [sort { $a <=> $b } map { $_->{position} } $t->backend_log], [0 .. 999], 'reloads in a pause: each request comes to the app once';
    is $t->position_inversions, 0, 'reloads in a pause: released in order over old and new workers';
    $t->wait_old_workers_gone;
    wait_only($t, 4);
    pass 'reloads in a pause: no old worker is left in the end';
    is $t->status->{totals}{lost}, 0, 'reloads in a pause: no request counts as lost';
    $t->clean_ok;
};

subtest 'the requests of old workers are released, expire and leave as before' => sub {
    my $t = Intermission->new(
        workers => 2,
        locations => $control . location('', '')
            . location('short', 'set $intermission_max_time 1; intermission_expired 504;'),
    );
    $t->control('enable');
    my $leaver = $t->send('/leaver');
    my @held = map { $t->send("/$_") } 1 .. 20;
    $t->wait_held(21);
    my $short = $t->send('/short');
    $t->wait_for(sub { $t->status->{totals}{held} == 22 }, '22 requests to be held');
    $t->reload;
    cmp_ok $t->status->{held}, '>=', 21, 'new workers count the requests that old ones hold';
    is $t->control('enable')->{status}, 304, 'new workers know that the app is paused';
    is $t->control('enable?reason=more')->{status}, 200, 'new workers may change the pause';
    $leaver->close;
    $t->wait_for(sub { $t->status->{totals}{left} == 1 }, 'the client of an old worker to count as left');
    is $short->response->{status}, 504, 'a request that an old worker holds expires';
    is $t->status->{held}, 20, 'a client of an old worker that leaves is out of the line';
    push @held, map { $t->send("/$_") } 21 .. 40;
    $t->wait_held(40);
    $t->control('disable');
    is scalar(grep { $_->response->{status} == 200 } @held), 40, 'disable on a new worker releases the requests of old workers';
    is $t->position_inversions, 0, 'requests of old and new workers are released in order';
    $t->wait_old_workers_gone;
    $t->control('enable');
    is $t->status->{state}, 'paused', "the next pause begins after the old workers' requests are released";
    my $next = $t->send('/next');
    $t->wait_held(1);
    $t->control('disable');
    is $next->response->{status}, 200, 'the next pause ends';
    $t->clean_ok;
};

subtest 'a held request finishes on the configuration under which it came' => sub {
    # Each reload has another configuration, and another number of workers.
    my $to = sub { "$control location / { intermission on; intermission_expired $_[1]; proxy_pass http://backend/$_[0]\$request_uri; }" };
    my $t = Intermission->new(workers => 2, locations => $to->('one', 503));
    $t->control('enable');
    my @held;
    my $hold = sub {
        for my $number (1 .. 10) {
            push @held, $t->send("/$number");
            $t->wait_held(scalar @held);
        }
    };
    $hold->();
    $t->reload(locations => $to->('two', 504), workers => 4);
    $hold->();
    $t->reload(locations => $to->('three', 503), workers => 1);
    $hold->();
    $t->reload(locations => "$control location / { return 404; }", workers => 3);
    is $t->get('/now')->{status}, 404, 'a new configuration applies to new requests';
    $t->control('disable');
    is scalar(grep { $_->response->{status} == 200 } @held), 30, 'a new configuration: requests that were held before are answered';
    my @came = map { my $configuration = $_; map { "/$configuration/$_" } 1 .. 10 } 'one', 'two', 'three';
    $t->came_ok(\@came, 'a new configuration: each held request finishes on the one under which it came, in order');
    $t->wait_old_workers_gone;
    wait_only($t, 3);
    $t->clean_ok;
};

subtest 'a reload that turns intermission off leaves held requests held' => sub {
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my @held = map { $t->send("/$_") } 1 .. 10;
    $t->wait_held(10);
    $t->reload(locations => "set \$app_name basecamp; $control location / { intermission off; proxy_pass http://backend; }");
    is $t->get('/new')->{status}, 200, 'where a reload turns intermission off new requests pass';
    is $t->status->{held}, 10, 'intermission is turned off: held requests stay held';
    is scalar(grep { $_->answered } @held), 0, 'intermission is turned off: no held request is answered';
    $t->control('disable');
    is scalar(grep { $_->response->{status} == 200 } @held), 10, 'intermission is turned off: held requests are answered when the pause ends';
    $t->wait_old_workers_gone;
    $t->clean_ok;
};

subtest 'another size of the zone is refused while requests depend on it' => sub {
    # New workers would not find the requests that are held in the old zone.
    my $t = Intermission->new(workers => 2, http => 'intermission_zone 2m;');
    my $slots = $t->status->{slots}{total};
    my $refusals = 0;
    my $refused = sub {
        my ($what) = @_;
        my @workers = sort $t->workers;
        $t->hup(http => 'intermission_zone 4m;');
        $refusals++;
        my $line = qr/\[emerg\][^\n]*intermission[^\n]*paused or[^\n]*held[^\n]*"intermission_zone"/;
        $t->wait_for(sub { $refusals == (() = $t->error_log =~ /$line/g) }, 'the refusal in the error log');
        pass "another size of the zone is refused $what";
        is_deeply [sort $t->workers], \@workers, "another size of the zone is refused $what: the old workers go on";
        is $t->status->{slots}{total}, $slots, "another size of the zone is refused $what: the old zone goes on";
        return;
    };
    $t->control('enable');
    $refused->('while paused');
    is $t->status->{state}, 'paused', 'another size of the zone is refused: the pause goes on';
    my @held = map { $t->send("/$_") } 1 .. 10;
    $t->wait_held(10);
    $refused->('while requests are held');
    is $t->status->{held}, 10, 'another size of the zone is refused: requests stay held';
    $t->reload(http => 'intermission_zone 2m;');
    is $t->status->{held}, 10, 'a reload with the same size is accepted';
    $refused->('while old workers hold requests');
    $t->control('disable');
    is scalar(grep { $_->response->{status} == 200 } @held), 10, 'after refused reloads all held requests are answered';
    is $t->position_inversions, 0, 'after refused reloads requests are released in order';
    $t->wait_state('open');
    $t->wait_old_workers_gone;

    $t->control('enable');
    my $head = $t->send('/head');
    $t->wait_held(1);
    my ($holder) = grep { $t->error_log =~ /\[info\] $_#[^\n]*"GET \/head / } $t->workers;
    $t->freeze($holder);
    $t->control('disable');
    $refused->('while a drain goes on');
    kill CONT => $holder;
    is $head->response->{status}, 200, 'after a refused reload the drain ends';
    $t->wait_state('open');

    $t->reload(http => 'intermission_zone 4m;');
    $t->wait_old_workers_gone;
    cmp_ok $t->status->{slots}{total}, '>', $slots, 'another size is accepted while no app is paused and no request is held';
    $t->control('enable');
    my $next = $t->send('/next');
    $t->wait_held(1);
    $t->control('disable');
    is $next->response->{status}, 200, 'a new zone of another size serves requests';
    $t->clean_ok(allow => [qr/\[emerg\].*intermission_zone/]);
};

subtest 'another build of the module is refused while requests depend on it' => sub {
    plan skip_all => 'the module is linked into nginx' if Intermission::is_linked();
    # Another build may have another layout of the zone's tables.
    my $t = Intermission->new(workers => 2);
    my $copy = $t->dir . '/another.so';
    system('cp', Intermission::module_path(), $copy) == 0 or die "no copy of the module: $?";
    $t->control('enable');
    my $held = $t->send('/held');
    $t->wait_held(1);
    my @workers = sort $t->workers;
    $t->hup(module => $copy);
    $t->wait_log(qr/\[emerg\][^\n]*another build[^\n]*paused or[^\n]*held/);
    is_deeply [sort $t->workers], \@workers, 'another build of the module is refused while paused: the old workers go on';
    is_deeply [@{$t->status}{qw(state held)}], ['paused', 1], 'another build of the module is refused: the pause and its held request stay';
    $t->control('disable');
    is $held->response->{status}, 200, 'another build of the module is refused: the held request is answered when the pause ends';
    $t->wait_state('open');
    $t->reload(module => $copy);
    is $t->control($_)->{status}, 200, "another build of the module is accepted while all apps are open, and answers $_" for 'enable', 'disable';
    $t->wait_old_workers_gone;
    $t->clean_ok(allow => [qr/\[emerg\].*another build/]);
};

subtest 'enable tells the truth while the zone changes its size' => sub {
    # The old worker stands still until the new one is up. Then both serve for a while, each with its own zone.
    my $t = Intermission->new(workers => 1, http => 'intermission_zone 2m;');
    my ($old) = $t->workers;
    my ($operator, $client) = map { $t->send($_, keepalive => 1) } '/_intermission/status', '/early';
    $_->response for $operator, $client;
    $t->freeze($old);
    $t->reload(http => 'intermission_zone 4m;');
    $operator->request('/_intermission/enable', keepalive => 1);
    $client->request('/late', keepalive => 1);
    kill CONT => $old;
    my $enabled = $operator->response->{status};
    $t->wait_for(sub { !grep { $_ == $old } $t->workers }, 'the old worker to be shutting down');
    is $t->status->{state}, $enabled == 200 ? 'paused' : 'open', "while the zone changes its size enable tells the truth: $enabled";
    $t->control('disable');
    is $client->response(3)->{status}, 200, 'no request is held in a zone that no verb reaches';
    $_->close for $operator, $client;
    $t->wait_old_workers_gone;
    $t->clean_ok;
};

subtest 'a reload that fails leaves the zone as it was' => sub {
    # The configuration would replace the zone, but fails later, at bind().
    my $t = Intermission->new(workers => 2);
    my $pid = $t->master;
    my $bells = () = glob "/proc/$pid/fd/*";
    for my $round (1 .. 3) {
        $t->hup(http => 'intermission_zone 2m;', server => 'listen 192.0.2.1:80;');
        $t->wait_log(qr/(?:\[emerg\][^\n]*bind\(\) to 192\.0\.2\.1:80 failed.*?){$round}/s);
        $t->wait_for(sub { $t->control('enable')->{status} == 200 }, 'enable to be answered with 200');
        $t->control('disable');
        $t->reload(http => '', server => '');
    }
    pass 'a reload that fails leaves the zone that it was to replace as it was';
    my $now;
    my $closed = Intermission::Process::wait_until(sub { ($now = () = glob "/proc/$pid/fd/*") <= $bells }, 10);
    ok $closed, "a failed reload leaves no descriptor open: $bells, $now";
    $t->clean_ok(allow => [qr/bind\(\)|still could not bind/]);
};

subtest 'a drain goes on over a reload' => sub {
    # A frozen worker makes the drain last.
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $head = $t->send('/head');
    $t->wait_held(1);
    my $holder = holder($t);
    $t->freeze($holder);
    my @held = map { $t->send("/$_") } 1 .. 20;
    $t->wait_held(21);
    $t->control('disable');
    $t->wait_state('draining');
    $t->reload;
    is $t->status->{state}, 'draining', 'a drain goes on over a reload';
    my @late = map { $t->send("/late/$_") } 1 .. 20;
    $t->wait_held(41);
    is $t->backend_log, 0, 'a drain over a reload: no new request overtakes';
    kill CONT => $holder;
    is scalar(grep { $_->response->{status} == 200 } $head, @held, @late), 41, 'a drain over a reload: all are answered';
    is $t->position_inversions, 0, 'a drain over a reload: released in order';
    $t->wait_state('open');
    $t->wait_old_workers_gone;
    $t->clean_ok;
};

subtest 'reloads in a drain at full speed keep the order' => sub {
    my $t = Intermission->new(workers => 2);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 3000);
    $t->wait_held(3000, seconds => 20);
    $t->control('disable');
    $t->reload for 1 .. 3;
    is $crowd->done->{statuses}{200}, 3000, 'reloads while a drain runs: all requests are answered';
    is $t->position_inversions, 0, 'reloads while a drain runs: released in order';
    $t->wait_state('open');
    wait_only($t, 2);
    $t->clean_ok;
};

subtest 'nginx -t and hasty reloads change nothing' => sub {
    my $t = Intermission->new(workers => 2);
    my %first = map { $_ => 1 } $t->workers;
    $t->control('enable');
    my @held = map { $t->send("/$_") } 1 .. 20;
    $t->wait_held(20);
    is_deeply [nginx($t, '-s', 'reload')], [0, ''], 'nginx -s reload prints nothing' for 1 .. 3;
    $t->wait_for(sub { 2 == grep { !$first{$_} } $t->workers }, 'two new workers to be up');
    push @held, map { $t->send("/$_") } 21 .. 40;
    $t->wait_held(40);
    my ($exit, $output) = nginx($t, '-t');
    is $exit, 0, 'nginx -t on the running configuration passes';
    unlike $output, qr/intermission:/, 'nginx -t on the running configuration logs nothing of intermission';
    my $other = Intermission::Process::slurp($t->dir . '/nginx.conf') =~ s/^http \{/http { intermission_zone 3m;/mr;
    Intermission::write_file($t->dir . '/other.conf', $other);
    is +(nginx($t, '-t', '-c', $t->dir . '/other.conf'))[0], 0, 'nginx -t passes with another size of the zone';
    $t->hup(http => 'nonsense;');
    $t->wait_log(qr/unknown directive "nonsense"/);
    $t->hup(http => '');
    is_deeply [@{$t->status}{qw(state held)}], ['paused', 40], 'after nginx -t and hasty reloads the pause and its held requests are as before';
    $t->control('disable');
    is scalar(grep { $_->response->{status} == 200 } @held), 40, 'after three hasty reloads all are answered';
    is $t->position_inversions, 0, 'after three hasty reloads requests are released in order';
    wait_only($t, 2);
    is +(nginx($t, '-t'))[0], 0, 'nginx -t passes while the app is open';
    is $t->get('/last')->{status}, 200, 'after nginx -t the running nginx answers';
    $t->clean_ok(allow => [qr/unknown directive "nonsense"/]);
};

done_testing;
