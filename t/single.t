# One process without a master (`master_process off`), as developers run nginx: everything works
# that does not need several workers.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $locations = <<'END';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /short { set $intermission_max_time 0.3; intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
END

sub instance { return Intermission->new(single => 1, locations => $locations, @_) }

# Whether nginx is one process, and ends by this signal in time, with status 0.
sub ends {
    my ($t, $signal) = @_;
    my $master = $t->master;
    my @children = Intermission::Process::children($master);
    my $clean = $t->end_nginx(signal => $signal);
    return !@children && $clean && !Intermission::Process::is_alive($master);
}

subtest 'one process without a master pauses and resumes' => sub {
    my $t = instance();
    $t->control('enable?reason=alone');
    my $status = $t->status;
    is_deeply [@$status{qw(state reason by held)}], ['paused', 'alone', '127.0.0.1', 0], 'one process: the app is paused';
    is $t->control('enable')->{status}, 304, 'one process: enable in a pause is answered with 304';
    my @held = map { my $held = $t->send("/$_"); $t->wait_held($_); $held } 1 .. 5;
    $held[2]->close;
    $t->wait_held(4);
    is $t->get('/up')->{status}, 200, 'one process: a health check passes';
    is $t->get('/short')->{status}, 200, 'one process: a request that expires is passed on';
    is $t->logged('/short')->{intermission}, 'EXPIRED', 'one process: access log: EXPIRED';
    $t->control('disable');
    is $_->response->{status}, 200, 'one process: held requests are released' for @held[0, 1, 3, 4];
    $t->came_ok(['/up', '/short', '/1', '/2', '/4', '/5'], 'one process: released in order, without the one that left');
    $t->wait_state('open');

    $t->control('enable');
    my $crowd = $t->crowd('--count', 500, '--path', '/crowd/{i}');
    $t->wait_held(500);
    $t->control('disable?spread=500ms');
    is $crowd->done->{statuses}{200}, 500, 'one process: 500 are released at a pace';
    is $t->position_inversions(after => 6), 0, 'one process: 500 are released in order';
    $t->wait_state('open');

    $t->control('enable?for=500ms');
    my $leased = $t->send('/leased');
    is $leased->response->{status}, 200, 'one process: a lease ends by itself';
    $t->wait_log(qr/\[notice\].*app "basecamp": lease ended/);

    $t->control('enable');
    my $stopped = $t->send('/stopped');
    $t->wait_held(1);
    $t->control('stop');
    is $stopped->response->{status}, 503, 'one process: a stop answers the held request 503';
    is $t->get('/newcomer')->{status}, 503, 'one process: a stop answers a new request 503';
    $t->control('disable');
    is $t->get('/last')->{status}, 200, 'one process: disable ends a stop';
    $t->clean_ok;
};

for my $signal ('QUIT', 'TERM') {
    subtest "one process without a master ends by $signal, and the pause lives on" => sub {
        my $t = instance(http => "intermission_state_file state;\n");
        $t->control('enable');
        my @held = map { $t->send("/held/$_") } 1 .. 3;
        $t->wait_held(3);
        ok ends($t, $signal), "one process: $signal ends it, and no process is left";
        is_deeply [map { $_->response->{error} } @held], [('closed') x 3], "one process: $signal closes the connections of held requests";
        is $t->backend_log, 0, "one process: $signal passes no held request on";
        unlike $t->error_log, qr/\[(?:alert|crit|error|emerg)\]/, "one process: $signal leaves no alert or error in the log";
        $t->start_nginx;
        is $t->status->{state}, 'paused', "one process: after $signal and a start the app is paused as before";
        my $again = $t->send('/again');
        $t->wait_held(1);
        $t->control('disable');
        is $again->response->{status}, 200, "one process: after $signal and a start a held request is released";
        $t->clean_ok;
    };
}

done_testing;
