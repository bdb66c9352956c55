# One process, no master: `master_process off`, as developers run nginx. All that does not need
# workers works, too.

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

# Whether nginx is one process, and ends with status 0 by the signal, within the time.
sub ends {
    my ($t, $signal) = @_;
    my $master = $t->master;
    my @children = Intermission::Process::children($master);
    my $clean = $t->end_nginx(signal => $signal);
    return !@children && $clean && !Intermission::Process::is_alive($master);
}

{
    my $t = instance();
    $t->control('enable?reason=alone');
    my $status = $t->status;
    is_deeply [@$status{qw(state reason by held)}], ['paused', 'alone', '127.0.0.1', 0], 'one process is paused';
    is $t->control('enable')->{status}, 304, 'twice: nothing to do';
    my @held = map { my $held = $t->send("/$_"); $t->wait_held($_); $held } 1 .. 5;
    $held[2]->close;
    $t->wait_held(4);
    is $t->get('/up')->{status}, 200, 'a health check goes by';
    is $t->get('/short')->{status}, 200, 'one that was held for its max_time goes on';
    is $t->logged('/short')->{intermission}, 'EXPIRED', 'out of turn';
    $t->control('disable');
    is $_->response->{status}, 200, 'those held are released' for @held[0, 1, 3, 4];
    $t->came_ok(['/up', '/short', '/1', '/2', '/4', '/5'], 'in their order, without the one that left');
    $t->wait_state('open');

    $t->control('enable');
    my $crowd = $t->crowd('--count', 500, '--path', '/crowd/{i}');
    $t->wait_held(500);
    $t->control('disable?spread=500ms');
    is $crowd->done->{statuses}{200}, 500, 'five hundred are released at the pace that was asked for';
    is $t->position_inversions(after => 6), 0, 'in their order';
    $t->wait_state('open');

    $t->control('enable?for=500ms');
    my $leased = $t->send('/leased');
    is $leased->response->{status}, 200, 'a lease ends by itself';
    $t->wait_log(qr/\[notice\].*app "basecamp": lease ended/);

    $t->control('enable');
    my $stopped = $t->send('/stopped');
    $t->wait_held(1);
    $t->control('stop');
    is $stopped->response->{status}, 503, 'a stop answers those held';
    is $t->get('/newcomer')->{status}, 503, 'and those who come';
    $t->control('disable');
    is $t->get('/last')->{status}, 200, 'until it is over';
    $t->clean_ok;
}

for my $signal ('QUIT', 'TERM') {
    my $t = instance(http => "intermission_state_file state;\n");
    $t->control('enable');
    my @held = map { $t->send("/held/$_") } 1 .. 3;
    $t->wait_held(3);
    ok ends($t, $signal), "$signal ends it at once, and nothing is left";
    is_deeply [map { $_->response->{error} } @held], [('closed') x 3], 'nginx closes on whom it has, as it does without us';
    is $t->backend_log, 0, 'and passes on nobody';
    unlike $t->error_log, qr/\[(?:alert|crit|error|emerg)\]/, 'without a complaint';
    $t->start_nginx;
    is $t->status->{state}, 'paused', 'started again it is paused as before';
    my $again = $t->send('/again');
    $t->wait_held(1);
    $t->control('disable');
    is $again->response->{status}, 200, 'and goes on as usual';
    $t->clean_ok;
}

done_testing;
