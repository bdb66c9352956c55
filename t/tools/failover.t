# A database switch under load: MariaDB, an app of several processes, docs/hooks/mariadb-switch, with and without a pause.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission::Failover;
use Intermission::Failover::Command;
use Intermission::Failover::MariaDB;
use Intermission::Process;
use Test::More;

my $missing = Intermission::Failover::MariaDB::missing();
plan skip_all => $missing if $missing;
my $dir = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => !$ENV{TEST_KEEP});
chmod 0755, $dir;
my $stage = Intermission::Failover->new(dir => $dir, servers => [Intermission::Failover::MariaDB::pair($dir)]);

subtest 'a switch without a pause fails requests' => sub {
    my $exit;
    my $figures = $stage->run(sub { $exit = Intermission::Failover::Command::note_run($stage->switch) });
    is $exit, 0, 'without a pause: the switch is done';
    is $figures->{at}, 'db2', 'without a pause: the other server takes the writes';
    cmp_ok $figures->{failed}, '>', 0, "without a pause: requests fail: $figures->{why}";
    is $figures->{paused}, 0, 'without a pause: no request is held';
};

subtest 'no client sees a switch in a pause' => sub {
    my $exit;
    my $figures = $stage->run(sub { $exit = Intermission::Failover::Command::note_run($stage->switch_in_pause) });
    is $exit, 0, 'in a pause: the switch is done';
    is $figures->{at}, 'db1', 'in a pause: the other server takes the writes';
    cmp_ok $figures->{paused}, '>', 0, 'in a pause: requests are held';
    $stage->nobody_saw_it('in a pause', $figures);
};

subtest 'a switch that fails half-way leaves everything at the old server' => sub {
    my (undef, $replica) = $stage->servers;
    my $exit;
    my $figures = $stage->run(sub {
        $replica->stand_still;
        $exit = Intermission::Failover::Command::note_run($stage->switch_in_pause(patience => 1));
        $replica->go_on;
    });
    is $exit, 1, 'half-way: the switch fails';
    is $figures->{at}, 'db1', 'half-way: the old server takes the writes';
    cmp_ok $figures->{paused}, '>', 1, 'half-way: requests were held until it failed';
    $stage->nobody_saw_it('half-way', $figures);
};

subtest 'a switch whose app does not start with the new server is undone' => sub {
    my $restore = $stage->break_app(($stage->servers)[1]);
    my $exit;
    my $figures = $stage->run(sub { $exit = Intermission::Failover::Command::note_run($stage->switch_in_pause) });
    $restore->();
    is $exit, 1, 'the app does not start: the switch fails';
    is $figures->{at}, 'db1', 'the app does not start: the old server takes the writes';
    $stage->nobody_saw_it('the app does not start', $figures);
    is Intermission::Failover::Command::note_run($stage->switch_in_pause), 0, 'the app does not start: the next switch is done';
    is(($stage->servers)[0]{name}, 'db2', 'the app does not start: after the next switch the new server takes the writes');
};

subtest 'a switch whose pause is lost goes back to the old server' => sub {
    my ($old, $replica) = $stage->servers;
    my $exit;
    my $figures = $stage->run(sub {
        $replica->stand_still;
        my ($intermission, $run, @rest) = $stage->switch_in_pause(patience => 30);
        my $nginx = $stage->nginx;
        my $pid = Intermission::Process::start('the switch', [$intermission, $run, qw(--on-lost kill --grace 20s), @rest]);
        $nginx->wait_for(sub { !$old->is_writable || undef }, 'the switch to begin');
        $nginx->control('disable?by=bob');
        $nginx->wait_for(sub { my $status = Intermission::Process::reaped($pid); defined $status and $exit = $status >> 8; defined $status }, 'the switch to end', 15);
        $replica->go_on;
    });
    is $exit, 80, 'the pause is lost: the status says so';
    is $figures->{at}, $old->{name}, 'the pause is lost: the old server takes the writes again';
    is $figures->{lost}, 0, 'the pause is lost: no row is lost';
};

$stage->stop;
# Without a pause nginx cannot reach the app while it restarts.
$stage->nginx->clean_ok(allow => [qr/\[error\].*upstream/, qr/\[crit\] .*connect\(\) to unix/]);
done_testing;
