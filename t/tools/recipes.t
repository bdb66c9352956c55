# The recipes for deploy scripts, cron, systemd and Ansible in docs/recipes.md, exactly as they are there.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission;
use Intermission::Failover::Command;
use Test::More;
use Text::ParseWords qw(shellwords);

my $t = Intermission->new(locations => <<'END');
set $app_name shop;
location / { intermission on; proxy_pass http://backend; }
location = /healthy { return 200; }
location ^~ /_intermission { allow 127.0.0.1; deny all; intermission_control; }
END
my $here = 'http://127.0.0.1:' . $t->port;
my $dir = File::Temp::tempdir(CLEANUP => 1);
local $ENV{PATH} = Intermission::Failover::Command::folder($dir, "$here/_intermission") . ":$ENV{PATH}";
my $recipes = Intermission::slurp($t->root . '/docs/recipes.md');
$t->get('/');

# The sample of this language under this heading, with this test's addresses and paths.
sub recipe {
    my ($heading, $language) = @_;
    my ($section) = $recipes =~ /^## \Q$heading\E\n(.*?)(?=^## |\z)/ms or die "no $heading";
    my ($sample) = $section =~ /^```\Q$language\E\n(.*?)^```$/ms or die "no $language";
    $sample =~ s{http://127\.0\.0\.1:3000/up}{$here/healthy}g;
    $sample =~ s{/srv/app}{$dir/app}g;
    $sample =~ s{/usr/local/bin/}{$dir/bin/}g;
    return $sample;
}

# A command that notes whether the app is paused, and then does this.
sub command {
    my ($name, $then) = @_;
    Intermission::write_file("$dir/bin/$name", "#!/bin/sh\necho \"$name \$*: \$(curl -s $here/_intermission/status)\" >>$dir/done\n$then\n");
    chmod 0755, "$dir/bin/$name";
}

# What the commands have noted since the last call.
sub done {
    my $done = Intermission::slurp("$dir/done");
    unlink "$dir/done";
    return $done;
}

sub run { return Intermission::Failover::Command::note_run(@_) }

subtest 'the deploy script deploys in a pause, or goes back' => sub {
    my $script = "$dir/deploy";
    Intermission::write_file($script, recipe('A deploy script', 'sh'));
    mkdir "$dir/app";
    mkdir "$dir/app/releases";
    command('systemctl', '');
    for my $release (qw(one two bad)) {
        mkdir "$dir/app/releases/$release";
        mkdir "$dir/app/releases/$release/bin";
        command("migrate-$release", $release eq 'bad' ? 'exit 1' : '');
        symlink "$dir/bin/migrate-$release", "$dir/app/releases/$release/bin/migrate";
    }
    symlink 'releases/one', "$dir/app/current";
    is run('sh', $script, 'two'), 0, 'a release is deployed';
    is readlink "$dir/app/current", 'releases/two', 'a release that is deployed is the current one';
    is done(), "migrate-two : Pause enabled.\nsystemctl restart app: Pause enabled.\n", 'a release is deployed in the pause';
    is $t->status->{state}, 'open', 'after a deploy the app is open';
    is run('sh', $script, 'bad'), 1, 'a bad release fails';
    is readlink "$dir/app/current", 'releases/two', 'after a bad release the one before it is the current one';
    is done(), "migrate-bad : Pause enabled.\nsystemctl restart app: Pause enabled.\n", 'after a bad release the app is restarted in a pause';
    is $t->status->{state}, 'open', 'after a bad release the app is open';
};

subtest 'cron says nothing if all went well' => sub {
    my ($command) = recipe('Cron', 'crontab') =~ /^(?:\S+\s+){5}root\s+([^%\n]+)\n\z/ or die 'no line';
    command('reindex', '');
    is `sh -c '$command' 2>&1`, '', 'cron gets no output';
    is done(), "reindex : Pause enabled.\n", 'cron: the work is done in the pause';
    $t->control('enable?by=bob');
    like `sh -c '$command' 2>&1`, qr/bob/, "cron: another caller's pause is told";
    isnt $?, 0, "cron: another caller's pause: the command fails";
    is done(), '', "cron: another caller's pause: the work is not done";
    $t->control('disable');
};

# Calls these lines of a unit as systemd does. Returns the first exit code that counts.
sub systemd {
    my ($unit, $key) = @_;
    for my $line ($unit =~ /^$key=(.*)$/mg) {
        my $ignored = $line =~ s/^-//;
        my $exit = run(shellwords($line));
        return $exit if $exit && !$ignored;
    }
    return 0;
}

subtest 'the unit drains before a restart' => sub {
    my $unit = recipe("systemd drains before a restart", 'ini');
    Intermission::write_file("$dir/app.service", "$unit\nExecStart=/bin/true\n");
    SKIP: {
        skip 'no systemd-analyze', 1 if !-x '/usr/bin/systemd-analyze';
        is run('systemd-analyze', 'verify', '--man=no', "$dir/app.service"), 0, 'systemd: the unit is good';
    }
    is systemd($unit, 'ExecStop'), 0, 'systemd: before the stop';
    is $t->status->{state}, 'paused', 'systemd: before the stop the app is paused';
    is systemd($unit, 'ExecStartPost'), 0, 'systemd: after the start';
    is $t->status->{state}, 'open', 'systemd: after the start the app is open';
    $t->control('enable?by=bob');
    is systemd($unit, 'ExecStop'), 0, "systemd: another caller's pause does not keep the app from being restarted";
    is systemd($unit, 'ExecStartPost'), 0, "systemd: the app starts in another caller's pause";
    is $t->status->{by}, 'bob', "systemd: another caller's pause goes on";
    $t->control('disable');
};

subtest 'Ansible does the maintenance in a pause, which ends if it fails' => sub {
    my $ansible = `scripts/ansible 2>&1`;
    plan skip_all => "no Ansible: $ansible" if $?;
    chomp $ansible;
    Intermission::write_file("$dir/playbook.yml", recipe('Ansible', 'yaml'));
    local @ENV{qw(HOME ANSIBLE_LOCALHOST_WARNING ANSIBLE_INVENTORY_UNPARSED_WARNING)} = ($dir, 'false', 'false');
    command('maintenance', '');
    is run($ansible, "$dir/playbook.yml"), 0, 'Ansible: the playbook is done';
    is done(), "maintenance : Pause enabled.\n", 'Ansible: the maintenance is done in the pause';
    is $t->status->{state}, 'open', 'Ansible: after the maintenance the app is open';
    command('maintenance', 'exit 1');
    isnt run($ansible, "$dir/playbook.yml"), 0, 'Ansible: a maintenance that fails fails the playbook';
    is done(), "maintenance : Pause enabled.\n", 'Ansible: the maintenance that failed was done in the pause';
    is $t->status->{state}, 'open', 'Ansible: after a maintenance that failed the app is open';
};

$t->clean_ok;
done_testing;
