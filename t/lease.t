# A forgotten pause ends by itself, and a late enable or disable does not change another operator's pause.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;
use Time::HiRes ();

my $control = <<'END';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
location /leased { intermission_control; intermission_lease 500ms; }
END

subtest 'a lease ends by itself' => sub {
    my $t = Intermission->new(workers => 2, locations => $control);
    my $start = Time::HiRes::time();
    is $t->control('enable?for=1s')->{status}, 200, 'enable?for=1s is answered with 200';
    like $t->status->{until}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'the status has the end of the lease';
    my $held = $t->send('/');
    is $held->response->{status}, 200, 'the lease ends by itself, and releases the held request';
    my $took = Time::HiRes::time() - $start;
    cmp_ok $took, '>=', 0.95, 'the lease does not end before its time';
    cmp_ok $took, '<', 10, 'the lease ends soon after its time';
    $t->wait_log(qr/app "basecamp": lease ended, pause \d+, after \S+ s, 1 held/);
    is $t->status->{until}, undef, 'an open app has no lease';

    $t->control('enable', at => '/leased');
    ok $t->status->{until}, 'intermission_lease is the lease of an enable that names none';
    $t->wait_state('open');
    $t->clean_ok;
};

subtest 'a shorter lease changes nothing, a longer one moves the end' => sub {
    my $t = Intermission->new(workers => 2, locations => $control);
    $t->control('enable?for=60s');
    my $until = $t->status->{until};
    is $t->control('enable?for=1s')->{status}, 200, 'an enable with a shorter lease is answered';
    is $t->status->{until}, $until, 'an enable with a shorter lease does not change the end';
    is $t->control('enable?for=2m')->{status}, 200, 'an enable with a longer lease is answered with 200';
    cmp_ok $t->status->{until}, 'gt', $until, 'an enable with a longer lease moves the end';
    is $t->control('enable')->{status}, 200, 'an enable without a lease is answered with 200';
    is $t->status->{until}, undef, 'an enable without a lease makes the pause endless';
    is $t->control('enable')->{status}, 304, 'enable of an endless pause: 304';
    $t->control('enable?for=1s');
    is $t->status->{until}, undef, 'enable of an endless pause leaves it endless';
    $t->control('disable');
    $t->clean_ok;
};

subtest 'a lease ends with a log at debug level' => sub {
    # At debug level nginx logs each timer, with the file descriptor of the connection that it takes from ev->data.
    my $t = Intermission->new(workers => 2, locations => $control, main => 'error_log @DIR@/debug.log debug;');
    my @workers = sort $t->workers;
    $t->control('enable?for=200ms');
    my $held = $t->send('/');
    is $held->response->{status}, 200, 'with a log at debug level a lease ends';
    $t->wait_state('open');
    is_deeply [sort $t->workers], \@workers, 'with a log at debug level the end of a lease kills no worker';
    $t->clean_ok;
};

subtest 'a lease ends although workers are killed' => sub {
    # The worker that is left must end the lease.
    my $t = Intermission->new(workers => 2, locations => $control);
    $t->control('enable?for=1s');
    my $held = $t->send('/');
    $t->wait_held(1);
    $t->kill_worker(($t->workers)[0]);
    $t->wait_state('open');
    pass 'the lease ends although a worker is killed';
    $t->reload;
    $t->control('enable?for=500ms');
    $t->reload;
    $t->wait_state('open');
    pass 'the lease ends although nginx is reloaded';
    $held->close;
    $t->clean_ok(killed_process => 1);
};

subtest 'a late enable or disable never changes the pause of another operator' => sub {
    my $t = Intermission->new(workers => 4, locations => $control);
    my $wrong = 0;
    for my $round (1 .. 50) {
        my $mine = $t->control('enable?new=1')->{headers}{'intermission-pause'};
        is $t->control('enable?new=1')->{status}, 409, 'enable?new=1 in a pause: 409' if $round == 1;
        $t->control('disable');
        my @late = map { $t->send("/_intermission/$_?id=$mine") } 'enable', 'disable', 'enable';
        my $other = $t->control('enable?new=1');
        $_->response for @late;
        my $status = $t->status;
        $wrong++ if $other->{status} != 200 || $status->{state} ne 'paused'
            || $status->{pause} != $other->{headers}{'intermission-pause'} || $status->{pause} == $mine;
        my $stale = $t->control("disable?id=$mine");
        $wrong++ if $stale->{status} != 409 || $t->status->{state} ne 'paused';
        $t->control('disable');
        $t->wait_state('open');
    }
    is $wrong, 0, 'stale heartbeats and disables change nothing';
    $t->clean_ok;
};

done_testing;
