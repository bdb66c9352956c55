# A PostgreSQL standby is promoted under load, in a pause, with docs/hooks/postgresql-switch.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission::Failover;
use Intermission::Failover::Command;
use Intermission::Failover::PostgreSQL;
use Test::More;

my $missing = Intermission::Failover::PostgreSQL::missing();
plan skip_all => $missing if $missing;
my $dir = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => !$ENV{TEST_KEEP});
chmod 0755, $dir;
my $stage = Intermission::Failover->new(dir => $dir, servers => [Intermission::Failover::PostgreSQL::pair($dir)]);

subtest 'no client sees that the standby is promoted' => sub {
    my $exit;
    my $figures = $stage->run(sub { $exit = Intermission::Failover::Command::note_run($stage->switch_in_pause) });
    is $exit, 0, 'promoted: the switch is done';
    is $figures->{at}, 'db2', 'promoted: the standby takes the writes';
    cmp_ok $figures->{paused}, '>', 0, 'promoted: requests are held';
    $stage->nobody_saw_it('promoted', $figures);
    my ($primary, $standby) = $stage->servers;
    $stage->nginx->wait_for(sub { keys %{$standby->orders} == keys %{$primary->orders} }, 'the standby to have all rows');
    pass 'promoted: the old primary is the standby of the new one';
};

subtest 'a switch that fails half-way leaves everything at the old primary' => sub {
    my ($primary, $standby) = $stage->servers;
    my $exit;
    my $figures = $stage->run(sub {
        $standby->stand_still;
        $exit = Intermission::Failover::Command::note_run($stage->switch_in_pause(patience => 1));
        $standby->go_on($primary);
    });
    is $exit, 1, 'half-way: the switch fails';
    is $figures->{at}, $primary->{name}, 'half-way: the old primary takes the writes';
    cmp_ok $figures->{paused}, '>', 1, 'half-way: requests were held until it failed';
    $stage->nobody_saw_it('half-way', $figures);
};

subtest 'a switch whose app does not start with the new primary is undone' => sub {
    my ($primary, $standby) = $stage->servers;
    my $restore = $stage->break_app($standby);
    my $exit;
    my $figures = $stage->run(sub { $exit = Intermission::Failover::Command::note_run($stage->switch_in_pause) });
    $restore->();
    is $exit, 1, 'the app does not start: the switch fails';
    is $figures->{at}, $primary->{name}, 'the app does not start: the old primary takes the writes';
    $stage->nobody_saw_it('the app does not start', $figures);
};

$stage->stop;
$stage->nginx->clean_ok;
done_testing;
