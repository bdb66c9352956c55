# The hooks for Orchestrator, gh-ost and RDS, called as these tools call them; and docs/hooks.md names each file of docs/hooks/.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission;
use Intermission::Failover::Command;
use JSON::PP ();
use Test::More;

my $root = Intermission::root();
my $dir = File::Temp::tempdir(CLEANUP => 1);
my $t = Intermission->new(locations => <<'END');
set $app_name shop;
location / { intermission on; proxy_pass http://backend; }
location ^~ /_intermission { allow 127.0.0.1; deny all; intermission_control; }
END
local $ENV{PATH} = Intermission::Failover::Command::folder($dir, 'http://127.0.0.1:' . $t->port . '/_intermission') . ":$ENV{PATH}";
$t->get('/');

# Runs a command and notes what it prints. Returns its exit code.
sub run {
    my @command = @_;
    return Intermission::Failover::Command::note_run(@command);
}

sub state { $t->status->{state} }

# ---- gh-ost: go/logic/hooks.go executes each file whose name begins with the event's, in order, until one fails

my $hooks_path = "$root/docs/hooks/gh-ost";

sub gh_ost {
    my ($event, %more) = @_;
    local %ENV = (%ENV, GH_OST_DATABASE_NAME => 'shop', GH_OST_TABLE_NAME => 'orders', GH_OST_GHOST_TABLE_NAME => '_orders_gho',
        GH_OST_OLD_TABLE_NAME => '_orders_del', GH_OST_DDL => 'add column note int', GH_OST_DRY_RUN => 'false', %more);
    for my $hook (sort glob "$hooks_path/gh-ost-on-$event*") {
        my $exit = run($hook);
        return $exit if $exit;
    }
    return 0;
}

subtest 'gh-ost: the app is paused for the cut-over' => sub {
    is gh_ost('before-cut-over'), 0, 'gh-ost goes on to the cut-over';
    my $status = $t->status;
    is $status->{state}, 'paused', 'gh-ost: the app is paused before the cut-over';
    like $status->{reason}, qr/gh-ost: shop\.orders/, 'gh-ost: the reason names the table';
    ok $status->{until}, 'gh-ost: the pause has a lease';
    is gh_ost('success', GH_OST_INSTANT_DDL => 'false'), 0, 'gh-ost ends with success';
    is state(), 'open', 'gh-ost: the app is open after a success';
    is gh_ost('before-cut-over'), 0, 'gh-ost goes on to the next cut-over';
    is gh_ost('failure'), 0, 'gh-ost ends with a failure';
    is state(), 'open', 'gh-ost: the app is open after a failure';
};

subtest 'gh-ost: a dry run, or a failure before the cut-over, changes nothing' => sub {
    is gh_ost('before-cut-over', GH_OST_DRY_RUN => 'true'), 0, 'a dry run of gh-ost goes on';
    is state(), 'open', 'a dry run of gh-ost pauses nothing';
    is gh_ost('failure'), 0, 'a failure before the cut-over is told';
    is state(), 'open', 'after a failure before the cut-over the app is open';
};

subtest 'gh-ost goes on without a pause if there can be none' => sub {
    $t->control('enable?by=bob');
    is gh_ost('before-cut-over', INTERMISSION_PATIENCE => 0), 0, "another caller's pause: gh-ost goes on";
    is gh_ost('success'), 0, "another caller's pause: gh-ost ends";
    is $t->status->{by}, 'bob', "another caller's pause goes on";
    $t->control('disable');
};

# ---- Orchestrator: go/os/process.go writes the command into a file, which bash runs

my $orchestrator = JSON::PP::decode_json(Intermission::slurp("$root/docs/hooks/orchestrator.json"));

sub orchestrator {
    my ($list, %more) = @_;
    local %ENV = (%ENV, ORC_FAILURE_TYPE => 'DeadMaster', ORC_IS_MASTER => 'true', ORC_COMMAND => 'graceful-master-takeover', ORC_FAILED_HOST => 'db1.example',
        ORC_FAILED_PORT => 3306, ORC_FAILURE_CLUSTER => 'db1.example:3306', ORC_FAILURE_CLUSTER_ALIAS => 'shop', %more);
    my $first = 0;
    for my $command (@{$orchestrator->{$list}}) {
        Intermission::write_file("$dir/orchestrator-process-cmd", $command);
        my $exit = run('bash', "$dir/orchestrator-process-cmd");
        return $exit if $exit && $list =~ /^Pre/;
        $first ||= $exit;
    }
    return $first;
}

my %successor = (ORC_SUCCESSOR_HOST => 'db2.example', ORC_SUCCESSOR_PORT => 3306);

subtest 'Orchestrator: the app is paused during a graceful takeover' => sub {
    is orchestrator('PreGracefulTakeoverProcesses', %successor), 0, 'Orchestrator goes on with the takeover';
    my $status = $t->status;
    is $status->{state}, 'paused', 'Orchestrator: the app is paused before the master goes read-only';
    like $status->{reason}, qr/db2\.example/, 'Orchestrator: the reason names the successor';
    is orchestrator('PostGracefulTakeoverProcesses', %successor, ORC_IS_SUCCESSFUL => 'true'), 0, 'Orchestrator ends the takeover';
    is state(), 'open', 'Orchestrator: the app is open after the takeover';
    is orchestrator('PreGracefulTakeoverProcesses', %successor), 0, 'Orchestrator goes on with the next takeover';
    is orchestrator('PostUnsuccessfulFailoverProcesses', ORC_IS_SUCCESSFUL => 'false'), 0, 'Orchestrator ends a takeover that failed';
    is state(), 'open', 'Orchestrator: the app is open after a takeover that failed';
};

subtest 'Orchestrator: without a pause there is no takeover' => sub {
    $t->control('enable?by=bob');
    isnt orchestrator('PreGracefulTakeoverProcesses', %successor), 0, "another caller's pause: Orchestrator does not begin";
    is orchestrator('PostUnsuccessfulFailoverProcesses'), 0, "another caller's pause: a failed recovery is told";
    is $t->status->{by}, 'bob', "another caller's pause goes on";
    $t->control('disable');
};

subtest 'Orchestrator: a master that died pauses nothing' => sub {
    is_deeply [sort keys %$orchestrator], [qw(PostGracefulTakeoverProcesses PostUnsuccessfulFailoverProcesses PreGracefulTakeoverProcesses)],
        'a dead master: no process is run before the recovery';
    is orchestrator('PostUnsuccessfulFailoverProcesses', ORC_COMMAND => ''), 0, 'a dead master: a failed recovery is told';
    is state(), 'open', 'a dead master: the app is open';
};

# ---- Amazon RDS: a stand-in for `aws`, whose deployment has one status after the other

sub rds {
    my (@statuses) = @_;
    Intermission::write_file("$dir/statuses", join '', map { "$_\n" } @statuses);
    Intermission::write_file("$dir/bin/aws", <<'SH' =~ s/\@DIR\@/$dir/gr);
#!/bin/sh
case "$1 $2 $3 $4" in
    'rds switchover-blue-green-deployment --blue-green-deployment-identifier bgd-1') [ "$5 $6" = '--switchover-timeout 1' ] || exit 252 ;;
    'rds describe-blue-green-deployments --blue-green-deployment-identifier bgd-1') head -n 1 @DIR@/statuses; sed -i '1{$!d}' @DIR@/statuses ;;
    *) exit 252 ;;
esac
SH
    chmod 0755, "$dir/bin/aws";
    local @ENV{qw(INTERVAL TIMEOUT)} = (0.01, 1);
    return run("$root/docs/hooks/rds-switchover", 'bgd-1');
}

subtest 'rds-switchover waits until the deployment is switched over' => sub {
    is rds(qw(AVAILABLE SWITCHOVER_IN_PROGRESS SWITCHOVER_IN_PROGRESS SWITCHOVER_COMPLETED)), 0, 'RDS: a switchover that is completed succeeds';
    is rds(qw(SWITCHOVER_IN_PROGRESS SWITCHOVER_FAILED)), 1, 'RDS: a switchover that failed fails';
    is rds(qw(SWITCHOVER_IN_PROGRESS AVAILABLE)), 1, 'RDS: a switchover that was undone fails';
    Intermission::write_file("$dir/bin/aws", "#!/bin/sh\nexit 254\n");
    is run("$root/docs/hooks/rds-switchover", 'bgd-1'), 1, 'RDS: a switchover that is refused fails';
};

subtest 'docs/hooks.md names each file of docs/hooks/' => sub {
    my $text = Intermission::slurp("$root/docs/hooks.md");
    for my $file (glob "$root/docs/hooks/* $root/docs/hooks/*/*") {
        my $name = $file =~ s{^\Q$root\E/docs/}{}r;
        next if -d $file;
        like $text, qr/\(\Q$name\E\)/, "$name is in docs/hooks.md";
        ok $name =~ /\.\w+$/ || -x $file && system('bash', '-n', $file) == 0, "$name can be run" ;
    }
};

$t->clean_ok;
done_testing;
