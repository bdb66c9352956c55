# A forgotten pause ends by itself, and nobody's enable or disable touches another's pause.

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

{
    my $t = Intermission->new(workers => 2, locations => $control);
    my $start = Time::HiRes::time();
    is $t->control('enable?for=1s')->{status}, 200, 'enable for a second';
    like $t->status->{until}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'the status says until when';
    my $held = $t->send('/');
    is $held->response->{status}, 200, 'the lease ends, with nobody calling, and releases';
    my $took = Time::HiRes::time() - $start;
    cmp_ok $took, '>=', 0.95, 'not before its time';
    cmp_ok $took, '<', 10, 'and soon after';
    $t->wait_log(qr/app "basecamp": lease ended, pause \d+, after \S+ s, 1 held/);
    is $t->status->{until}, undef, 'an open app has no lease';

    $t->control('enable', at => '/leased');
    ok $t->status->{until}, 'intermission_lease is the lease of an enable that names none';
    $t->wait_state('open');
    $t->clean_ok;
}

{
    my $t = Intermission->new(workers => 2, locations => $control);
    $t->control('enable?for=60s');
    my $until = $t->status->{until};
    is $t->control('enable?for=1s')->{status}, 200, 'an enable with a shorter lease is answered';
    is $t->status->{until}, $until, 'and shortens nothing';
    is $t->control('enable?for=2m')->{status}, 200, 'one with a longer lease';
    cmp_ok $t->status->{until}, 'gt', $until, 'moves the end';
    is $t->control('enable')->{status}, 200, 'one without end';
    is $t->status->{until}, undef, 'makes it endless';
    is $t->control('enable')->{status}, 304, 'once more: nothing changes';
    $t->control('enable?for=1s');
    is $t->status->{until}, undef, 'and endless it stays';
    $t->control('disable');
    $t->clean_ok;
}

{
    # What nginx writes of a timer at debug level, it reads from what the timer belongs to.
    my $t = Intermission->new(workers => 2, locations => $control, main => 'error_log @DIR@/debug.log debug;');
    my @workers = sort $t->workers;
    $t->control('enable?for=200ms');
    my $held = $t->send('/');
    is $held->response->{status}, 200, 'with a log at debug level a lease ends';
    $t->wait_state('open');
    is_deeply [sort $t->workers], \@workers, 'and no worker dies of it';
    $t->clean_ok;
}

{
    # Whichever worker lives carries the end out; each in turn is killed.
    my $t = Intermission->new(workers => 2, locations => $control);
    $t->control('enable?for=1s');
    my $held = $t->send('/');
    $t->wait_held(1);
    $t->kill_worker(($t->workers)[0]);
    $t->wait_state('open');
    pass 'the lease ends although a worker died';
    $t->reload;
    $t->control('enable?for=500ms');
    $t->reload;
    $t->wait_state('open');
    pass 'and although nginx was reloaded';
    $held->close;
    $t->clean_ok(killed_process => 1);
}

{
    # Two operators, many times: a late heartbeat or disable never touches the other's pause.
    my $t = Intermission->new(workers => 4, locations => $control);
    my $wrong = 0;
    for my $round (1 .. 50) {
        my $mine = $t->control('enable?new=1')->{headers}{'intermission-pause'};
        is $t->control('enable?new=1')->{status}, 409, 'nobody begins a pause in a pause' if $round == 1;
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
}

done_testing;
