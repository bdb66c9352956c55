# intermission_away over several workers: the line keeps its order, its head alone tries the app, and operators' verbs go before.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::App;
use Intermission::Away;
use Test::More;
use Time::HiRes qw(sleep time);

my $app = 'upstream app { server unix:@DIR@/app.sock; }';
# The app reads a request on a kept connection before one that came earlier on a new connection, which it has to accept first.
my $pass = 'proxy_http_version 1.0; proxy_set_header Connection close; proxy_pass http://app;';

# An app that is away, with so many requests in its line, in the order of their numbers.
sub away_with {
    my ($number, %more) = @_;
    my $t = nginx("set \$intermission_health_check_path /up; $pass", http => $app, workers => 4, %more);
    my @client;
    for (1 .. $number) {
        push @client, $t->send("/o/$_");
        $t->wait_held($_);
    }
    return ($t, Intermission::App->new($t), @client);
}

# A try is a line of nginx's about the connection.
sub tries { scalar grep { /$gone[0]/ } split /\n/, $_[0]->error_log }

subtest 'those who come while the app is away stand behind, and all go on in order' => sub {
    my ($t, $app, @client) = away_with(60);
    my $status = $t->status;
    is $status->{state}, 'away', 'away: the status says so';
    is $status->{away}{status}, 502, 'away: the status says why';
    ok $status->{away}{since}, 'away: the status says since when';
    is $t->control('status')->{body}, "Pause disabled.\n", 'away: it is no pause';
    is $t->control('disable')->{status}, 304, 'away: disable has nothing to change';
    like $t->control('metrics')->{body}, qr/^intermission_away\{app="[^"]*"\} 1$/m, 'away: the metrics say so';
    $t->wait_log(qr/away: nginx cannot reach the app \(502\)/);
    is $t->get('/up')->{status}, 502, 'away: a health check is answered at once';
    my $before = tries($t);
    sleep 2;
    cmp_ok tries($t) - $before, '<=', 4, 'away: one of 60 requests tries, at most every second';
    $app->up;
    my $up = time;
    is_deeply [map { $_->response->{status} } @client], [(200) x 60], 'the app is up: 200 for all';
    cmp_ok time - $up, '<', 2, 'the app is up: soon';
    is_deeply [$app->order], [map { "/o/$_" } 1 .. 60], 'the app is up: they come in the order in which they came';
    $t->wait_log(qr/back after \d+\.\d+ s, \d+ held/);
    $t->wait_state('open');
    my $totals = $t->status->{totals};
    cmp_ok $totals->{away}, '>=', 1, 'totals: away counts those that were taken back';
    is $totals->{failed}, 0, 'totals: none failed';
    is scalar(grep { $_->{target} =~ m{/o/} && $_->{intermission} eq 'HELD' } $t->access_log), 60, 'the access log says HELD';
    $t->clean_ok(allow => \@gone);
};

subtest 'enable makes it a pause' => sub {
    my ($t, $app, @client) = away_with(8);
    is $t->control('enable')->{status}, 200, 'enable while away: 200';
    is $t->status->{state}, 'paused', 'enable while away: paused';
    $app->up;
    sleep 1.5;
    ok !(grep { $_->begun } @client), 'enable while away: nobody goes on though the app is up';
    push @client, $t->send('/o/9');
    $t->wait_held(9);
    is $t->control('disable')->{status}, 200, 'disable: 200';
    is_deeply [map { $_->response->{status} } @client], [(200) x 9], 'disable: 200 for all';
    is_deeply [$app->order], [map { "/o/$_" } 1 .. 9], 'disable: in order';
    $t->clean_ok(allow => \@gone);
};

subtest 'stop answers all' => sub {
    my ($t, undef, @client) = away_with(8);
    is $t->control('stop')->{status}, 200, 'stop while away: 200';
    is_deeply [map { $_->response->{status} } @client], [(503) x 8], 'stop while away: all are answered';
    is $t->get('/new')->{status}, 503, 'stop while away: so is who comes';
    $t->control('disable');
    $t->clean_ok(allow => \@gone);
};

subtest 'a pause ends, and its app comes late: those who come meanwhile stand behind' => sub {
    my $t = nginx($pass, http => $app, workers => 4);
    my $app = Intermission::App->new($t);
    $t->control('enable');
    my @client;
    for (1 .. 40) {
        $t->control('disable') if $_ == 31;
        push @client, $t->send("/o/$_");
        $t->wait_held($_);
    }
    $app->up;
    is_deeply [map { $_->response->{status} } @client], [(200) x 40], 'late: 200 for all';
    is_deeply [$app->order], [map { "/o/$_" } 1 .. 40], 'late: in the order in which they came';
    $t->wait_log(qr/drained/);
    $t->clean_ok(allow => \@gone);
};

subtest 'the worker of the head is killed: another tries' => sub {
    my ($t, $app, @client) = away_with(30);
    $t->wait_for(sub { tries($t) >= 2 }, 'a try');
    my ($pid) = reverse $t->error_log =~ /\[\w+\] (\d+)#[^\n]*$gone[0]/g;
    $t->kill_worker($pid);
    $app->up;
    my @status = map { $_->response->{status} } @client;
    ok !$status[0], 'killed: the head had this worker';
    is_deeply [sort { $a <=> $b } keys %{{map { $_ => 1 } grep { $_ } @status}}], [200], 'killed: 200 for all of other workers';
    my @served = grep { $status[$_ - 1] } 1 .. 30;
    is_deeply [$app->order], [map { "/o/$_" } @served], 'killed: in order';
    cmp_ok scalar @served, '>', 0, 'killed: there are some';
    $t->wait_state('open');
    $t->clean_ok(allow => [@gone, qr/exited on signal 9/]);
};

subtest 'each is held for its time, whichever worker has it' => sub {
    my $t = nginx($pass, http => $app, workers => 4, locations => 'location /o { intermission on; intermission_away 1s; proxy_pass http://app; }');
    my (@client, @began);
    for (1 .. 20) {
        push @client, $t->send("/o/$_");
        push @began, time;
        sleep 0.05;
    }
    my @took = map { [$client[$_]->response->{status}, time - $began[$_]] } 0 .. $#client;
    is_deeply [map { $_->[0] } @took], [(502) x 20], 'time over: 502';
    cmp_ok $_->[1], '<', 2.5, 'time over: about a second after it came' for @took;
    cmp_ok $_->[1], '>', 0.9, 'time over: not before' for @took;
    $t->wait_state('open');
    $t->clean_ok(allow => \@gone);
};

done_testing;
