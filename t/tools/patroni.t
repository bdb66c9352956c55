# A switchover of a Patroni cluster under load, in a pause, with docs/hooks/patroni-switchover.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission::Failover;
use Intermission::Failover::Command;
use Intermission::Failover::Patroni;
use Test::More;

my $missing = Intermission::Failover::Patroni::missing();
plan skip_all => $missing if $missing;
my $dir = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => !$ENV{TEST_KEEP});
chmod 0755, $dir;
my $stage = Intermission::Failover->new(dir => $dir, servers => [Intermission::Failover::Patroni::pair($dir)]);

subtest 'no client sees a switchover of Patroni' => sub {
    my ($old, $new) = $stage->servers;
    my $exit;
    my $figures = $stage->run(sub { $exit = Intermission::Failover::Command::note_run($stage->switch_in_pause) });
    is $exit, 0, 'switchover: it is done';
    is $figures->{at}, $new->{name}, 'switchover: the other member leads';
    cmp_ok $figures->{paused}, '>', 0, 'switchover: requests are held';
    $stage->nobody_saw_it('switchover', $figures);
};

subtest 'a switchover that Patroni refuses fails, and the old leader goes on' => sub {
    my ($leader) = $stage->servers;
    my $exit;
    my $figures = $stage->run(sub {
        my @command = $stage->switch_in_pause;
        $_ eq 'db1' || $_ eq 'db2' and $_ = 'db3' for @command;
        $exit = Intermission::Failover::Command::note_run(@command);
    });
    is $exit, 1, 'refused: the switchover fails';
    is $figures->{at}, $leader->{name}, 'refused: the old leader goes on';
    $stage->nobody_saw_it('refused', $figures);
};

$stage->stop;
$stage->nginx->clean_ok;
done_testing;
