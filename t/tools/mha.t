# MHA's masterha_master_switch under load, with docs/hooks/mha-online-change.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission::Failover;
use Intermission::Failover::Command;
use Intermission::Failover::MariaDB;
use Test::More;

my $missing = Intermission::Failover::MariaDB::missing();
plan skip_all => $missing if $missing;
plan skip_all => 'no masterha_master_switch' if !-x '/usr/bin/masterha_master_switch';

my $dir = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => !$ENV{TEST_KEEP});
chmod 0755, $dir;
my @servers = Intermission::Failover::MariaDB::pair($dir);
my $stage = Intermission::Failover->new(dir => $dir, servers => \@servers);
my $password = q{m h$a};
$servers[0]->ask("GRANT ALL ON *.* TO mha\@'%' IDENTIFIED BY '$password'");
$servers[1]->wait_synced($servers[0]);

# Debian's MHA stops at the version of Debian's MariaDB without this, see docs/hooks.md.
mkdir "$dir/lib";
mkdir "$dir/lib/MHA";
my $patched = Intermission::slurp('/usr/share/perl5/MHA/NodeUtil.pm') =~ s/^use warnings FATAL.*\n\K/no warnings 'redundant';\n/mr;
Intermission::write_file("$dir/lib/MHA/NodeUtil.pm", $patched);

Intermission::write_file("$dir/mha.cnf", join "\n", '[server default]', 'user=mha', "password=$password", 'repl_user=repl', 'repl_password=repl',
    "manager_workdir=$dir", 'ssh_user=root', "master_ip_online_change_script=$dir/hook",
    map { ("[server-$_->{name}]", 'hostname=' . $_->host, 'port=' . $_->port) } @servers);
# The hook's own POINT_APP gets HOST:PORT.
Intermission::write_file("$dir/point-app", "#!/bin/sh\ncase \$1 in\n" . join('', map { $_->host . ':' . $_->port . ") exec @{[$stage->point_app]} $_->{name}.cnf ;;\n" } @servers) . "esac\nexit 1\n");
chmod 0755, "$dir/point-app";

# Switches to the other server. in_between => a shell command after the hook's `stop`. Returns the exit code.
sub switch {
    my (%opt) = @_;
    my ($old, $new) = $stage->servers;
    my $hook = Intermission::root() . '/docs/hooks/mha-online-change';
    Intermission::write_file("$dir/hook", "#!/bin/sh\n$hook \"\$@\" || exit\n" . ($opt{in_between} ? "case \$* in *--command=stop*) $opt{in_between} ;; esac\n" : ''));
    chmod 0755, "$dir/hook";
    local $ENV{PERL5LIB} = "$dir/lib";
    local $ENV{POINT_APP} = "$dir/point-app";
    local $ENV{PATH} = $stage->command_folder . ":$ENV{PATH}";
    return Intermission::Failover::Command::note_run('masterha_master_switch', '--master_state=alive', "--conf=$dir/mha.cnf", '--new_master_host=' . $new->host,
        '--new_master_port=' . $new->port, '--orig_master_is_new_slave', '--interactive=0');
}

subtest 'no client sees a switch by MHA' => sub {
    my $exit;
    my $figures = $stage->run(sub { $exit = switch() });
    is $exit, 0, 'MHA: the switch is done';
    is $figures->{at}, 'db2', 'MHA: the new server takes the writes';
    cmp_ok $figures->{paused}, '>', 0, 'MHA: requests are held';
    $stage->nobody_saw_it('MHA', $figures);
    $servers[0]->wait_synced($servers[1]);
    is scalar keys %{$servers[0]->orders}, scalar keys %{$servers[1]->orders}, 'MHA: the old server replicates the new one';
};

subtest 'if the app does not start with the new server, all goes on with the old one' => sub {
    my $restore = $stage->break_app($servers[0]);
    my $exit;
    my $figures = $stage->run(sub { $exit = switch() });
    $restore->();
    isnt $exit, 0, 'the app does not start: MHA fails';
    is $figures->{at}, 'db2', 'the app does not start: the old server takes the writes';
    $stage->nobody_saw_it('the app does not start', $figures);
};

subtest 'if MHA stops between stop and start, all goes on with the old server' => sub {
    my ($old, $new) = $stage->servers;
    my $exit;
    my $figures = $stage->run(sub {
        $exit = switch(in_between => 'mariadb --defaults-file=' . $new->cnf . ' -e "STOP SLAVE SQL_THREAD"');
        $stage->nginx->wait_state('open');
    });
    isnt $exit, 0, 'between stop and start: MHA fails';
    is $figures->{at}, $old->{name}, 'between stop and start: the old server takes the writes';
    cmp_ok $figures->{paused}, '>', 0, 'between stop and start: requests are held';
    $stage->nobody_saw_it('between stop and start', $figures);
};

subtest "another caller's pause keeps MHA from switching" => sub {
    $stage->nginx->control('enable?by=bob');
    my ($old) = $stage->servers;
    isnt switch(), 0, "another caller's pause: MHA fails";
    is(($stage->servers)[0]{name}, $old->{name}, "another caller's pause: the old server takes the writes");
    is $stage->nginx->status->{by}, 'bob', "another caller's pause goes on";
    $stage->nginx->control('disable');
    is switch(), 0, "another caller's pause: after it MHA switches";
};

$stage->stop;
$stage->nginx->clean_ok;
done_testing;
