# pt-online-schema-change under load, with docs/hooks/pt_osc_pause.pm.

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
plan skip_all => 'no pt-online-schema-change' if !-x '/usr/bin/pt-online-schema-change';

my $dir = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => !$ENV{TEST_KEEP});
chmod 0755, $dir;
my ($db, $replica) = Intermission::Failover::MariaDB::pair($dir);
my $stage = Intermission::Failover->new(dir => $dir, servers => [$db, $replica]);

# Changes the table. Returns the exit code.
sub alter {
    my ($alter, @more) = @_;
    local $ENV{PATH} = $stage->command_folder . ":$ENV{PATH}";
    return Intermission::Failover::Command::note_run('pt-online-schema-change', '--alter', $alter, '--plugin', Intermission::root() . '/docs/hooks/pt_osc_pause.pm',
        qw(--recursion-method none --no-version-check), @more, "F=$dir/db1.cnf,D=shop,t=orders");
}

sub columns { join ' ', $db->ask('SELECT column_name FROM information_schema.columns WHERE table_schema = "shop" AND table_name = "orders" ORDER BY ordinal_position') }

subtest 'no client sees a change of the table' => sub {
    my $exit;
    my $figures = $stage->run(sub { $exit = alter('ADD COLUMN note VARCHAR(10)', '--execute') });
    is $exit, 0, 'a change: the tool is done';
    is columns(), 'id name note', 'a change: the table is changed';
    $stage->nobody_saw_it('a change', $figures);
    my @pauses = $stage->nginx->error_log =~ /paused by/g;
    is scalar @pauses, 2, 'a change: the app was paused twice';
    is $stage->nginx->status->{state}, 'open', 'a change: the app is open again';
};

subtest 'a dry run pauses nothing' => sub {
    my $before = () = $stage->nginx->error_log =~ /paused by/g;
    is alter('ADD COLUMN other INT', '--dry-run'), 0, 'a dry run: the tool is done';
    my $after = () = $stage->nginx->error_log =~ /paused by/g;
    is $after, $before, 'a dry run: nothing is paused';
};

subtest 'a change that cannot be paused for is not begun' => sub {
    $stage->nginx->control('enable?by=bob');
    local $ENV{INTERMISSION_PATIENCE} = 0;
    isnt alter('ADD COLUMN other INT', '--execute'), 0, "another caller's pause: the tool fails";
    is columns(), 'id name note', "another caller's pause: the table is as it was";
    is $stage->nginx->status->{by}, 'bob', "another caller's pause goes on";
    is join(' ', $db->ask('SHOW TRIGGERS FROM shop')), '', "another caller's pause: no trigger is left";
    is join(' ', $db->ask('SHOW TABLES FROM shop')), 'orders', "another caller's pause: no other table is left";
    $stage->nginx->control('disable');
};

subtest 'a tool that gives up in the pause ends it' => sub {
    # A transaction that has read the table keeps the tool from its lock.
    my $reader = Intermission::Process::start('a reader', ['mariadb', '--defaults-file=' . $db->cnf, 'shop', '-e',
        'START TRANSACTION; SELECT COUNT(*) FROM orders; SELECT SLEEP(60)']);
    $stage->nginx->wait_for(sub { $db->ask('SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE "SELECT SLEEP%"') }, 'the reader');
    my $exit;
    my $figures = $stage->run(sub {
        $exit = alter('ADD COLUMN other INT', '--execute', '--set-vars', 'lock_wait_timeout=1', '--tries', 'create_triggers:1:0.1');
        kill TERM => $reader;
    });
    isnt $exit, 0, 'a tool that gives up: it fails';
    cmp_ok $figures->{paused}, '>', 0.9, 'a tool that gives up: requests were held meanwhile';
    is columns(), 'id name note', 'a tool that gives up: the table is as it was';
    is $stage->nginx->status->{state}, 'open', 'a tool that gives up: the app is open again';
    $stage->nobody_saw_it('a tool that gives up', $figures);
};

$stage->stop;
$stage->nginx->clean_ok;
done_testing;
