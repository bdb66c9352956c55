# `intermission run`: the command runs in a pause of all hosts, or not at all.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Cli;
use Intermission::Upstream;
use Test::More;

my ($one, $two) = map {
    Intermission->new(
        http => 'upstream own { server unix:@DIR@/own.sock; }',
        locations => $Intermission::Conf::LOCATIONS . 'location /own { intermission on; proxy_pass http://own; }',
    )
} 1 .. 2;
my $cli = Intermission::Cli->new($one, $two);
my $dir = $cli->dir;

# A command that notes that it ran, and then does this.
sub noting { return ('sh', '-c', "echo ran >>$dir/ran; $_[0]") }
sub ran { my $text = -e "$dir/ran" ? Intermission::slurp("$dir/ran") : ''; unlink "$dir/ran"; return $text }
sub states { return join ' ', map { $_->status->{state} } $one, $two }

subtest 'the command runs while all hosts are paused' => sub {
    my $going = $cli->start('run', '--reason', 'db switch', '--', 'sh', '-c', 'echo out; sleep 1; echo "$INTERMISSION_PAUSES"');
    $going->wait_out(qr/out/);
    is states(), 'paused paused', 'both hosts are paused';
    my $status = $one->status;
    like $status->{by}, qr/^alice #[0-9a-f]{8}$/, 'the pause has the caller\'s name, and a number';
    is $status->{reason}, 'db switch', 'the pause has the reason';
    my $done = $going->done;
    is $done->{exit}, 0, 'the command succeeds: 0' or diag $done->{err};
    is $done->{out}, "out\n$status->{pause} " . $two->status->{pause} . "\n", 'stdout is the command\'s alone, and the command knows the pauses';
    is states(), 'open open', 'afterwards both hosts are open';
};

subtest 'the exit status is the command\'s own' => sub {
    is $cli->run('run', '--', 'sh', '-c', "exit $_")->{exit}, $_, "exit $_" for 3, 255;
    is $cli->run('run', '--', 'sh', '-c', 'kill -KILL $$')->{exit}, 137, 'a command that dies of a signal: 128 and its number';
    is states(), 'open open', 'both hosts are open';
};

subtest 'the lease is renewed while the command runs' => sub {
    my $going = $cli->start('run', '--lease', '1200ms', '--wait', '500ms', '--', 'sh', '-c', 'sleep 3');
    $going->wait_err(qr/running/);
    my $pause = $one->status->{pause};
    my $done = $going->done;
    is $done->{exit}, 0, 'a command that runs for longer than the lease succeeds' or diag $done->{err};
    is $one->status->{pause}, $pause, 'it was one pause';
    unlike $one->error_log, qr/lease ended/, 'no lease ended';
};

subtest 'an app that is not quiet in time keeps the command from running' => sub {
    my $own = Intermission::Upstream->new($two);
    my $client = $two->send('/own/slow');
    $own->wait('/own/slow');
    my $done = $cli->run('run', '--wait', '300ms', '--lease', '2s', '--', noting('true'));
    is $done->{exit}, 75, 'not quiet: 75';
    like $done->{err}, qr{1 request is still in flight.*/own/slow from}s, 'not quiet: it says which request is in flight';
    is ran(), '', 'not quiet: the command does not run';
    is states(), 'open open', 'not quiet: no host stays paused';
    $own->answer('/own/slow');
    is $client->response->{status}, 200, 'not quiet: the request is answered';
};

subtest 'another caller\'s pause' => sub {
    $two->control('enable?by=bob&reason=upgrade');
    my $pause = $two->status->{pause};
    my $done = $cli->run('run', '--', noting('true'));
    is $done->{exit}, 79, 'another pause: 79';
    like $done->{err}, qr/paused \(pause $pause\) by bob since .*reason "upgrade"/, 'another pause: it says whose, since when and why';
    like $done->{err}, qr/intermission resume --host \S+ --id $pause/, 'another pause: it says how to end it';
    is ran(), '', 'another pause: the command does not run';
    is states(), 'open paused', 'another pause: it goes on, and the other host is resumed';
    $done = $cli->run('run', '--join', '--lease', '1500ms', '--wait', '500ms', '--', noting('sleep 2'));
    is $done->{exit}, 0, '--join: the command runs' or diag $done->{err};
    is ran(), "ran\n", '--join: the command ran once';
    is states(), 'open paused', '--join: the other pause is left to its owner';
    my $status = $two->status;
    is_deeply [@$status{qw(pause by reason until)}], [$pause, 'bob', 'upgrade', undef], '--join: nothing of it was changed';
    $two->control('disable');
};

subtest 'another caller\'s stop is never joined' => sub {
    $two->control('stop?by=bob');
    is $cli->run('run', '--join', '--', noting('true'))->{exit}, 79, 'a stop: 79, with --join too';
    is states() . ran(), 'open stopped', 'a stop: it goes on, and the command does not run';
    $two->control('disable');
};

subtest 'a pause is begun when the drain before it is over' => sub {
    $one->control('enable');
    my @held = map { $one->send("/$_") } 1 .. 3;
    $one->wait_held(3);
    $one->control('disable?spread=500ms');
    my $done = $cli->run('run', '--wait', '5s', '--', 'true');
    is $done->{exit}, 0, 'a drain: it is waited for' or diag $done->{err};
    is scalar(() = $done->{err} =~ /cannot pause yet: the app is draining/g), 1, 'a drain: that is said once';
    is $_->response->{status}, 200, 'a drain: a held request is answered' for @held;
};

subtest 'a pause that another caller ends is told at once' => sub {
    my $going = $cli->start('run', '--', 'sh', '-c', "while [ ! -e $dir/go ]; do sleep 0.05; done");
    $going->wait_err(qr/running/);
    $two->control('disable?by=bob');
    $going->wait_err(qr/PAUSE LOST at \S+: the app is open \(ended by bob\)/);
    ok Intermission::Process::is_alive($going->pid), 'lost: the command goes on';
    is $one->status->{state}, 'paused', 'lost: the other host stays paused';
    open my $go, '>', "$dir/go" or die "go: $!";
    my $done = $going->done;
    is $done->{exit}, 80, 'lost: 80';
    is states(), 'open open', 'lost: both hosts are open in the end';
    unlink "$dir/go";
    $going = $cli->start('run', '--on-lost', 'kill', '--grace', '200ms', '--', 'sh', '-c', 'trap "echo term" TERM; while :; do sleep 0.1; done');
    $going->wait_err(qr/running/);
    $one->control('stop?by=bob');
    $done = $going->done;
    is $done->{exit}, 80, '--on-lost=kill: 80';
    like $done->{out}, qr/term/, '--on-lost=kill: the command gets SIGTERM';
    like $done->{err}, qr/ended by SIGKILL/, '--on-lost=kill: then SIGKILL';
    is states(), 'stopped open', 'the stop that another caller asked for is left alone';
    $one->control('disable');
};

subtest 'what is wrong before the pause keeps it from beginning' => sub {
    my $pause = $one->status->{pause};
    my %wrong = (
        'no such command: 127' => [127, 'run', '--', 'no-such-command'],
        'a file that is no program: 126' => [126, 'run', '--', '/etc/passwd'],
        'a lease that is too short for the wait: 64' => [64, 'run', '--lease', '10s', '--wait', '10s', '--', 'true'],
        'an unknown option: 64' => [64, 'run', '--frobnicate', '--', 'true'],
        'no command: 64' => [64, 'run'],
        'a file that is not there: 78' => [78, 'run', '--config', '/nowhere', '--', 'true'],
        'an unknown group: 64' => [64, 'run', '--group', 'web', '--', 'true'],
    );
    for my $label (sort keys %wrong) {
        my ($exit, @arguments) = @{$wrong{$label}};
        my $done = $cli->run(@arguments);
        is $done->{exit}, $exit, $label;
        isnt $done->{err}, '', "$label, and it says why";
    }
    is $one->status->{pause}, $pause, 'no pause was begun';
};

subtest 'it can be told in JSON, or only what went wrong' => sub {
    my $done = $cli->run('run', '--json', '--', 'sh', '-c', 'exit 4');
    my @events = map { JSON::PP::decode_json($_) } split /\n/, $done->{err};
    is join(' ', map { $_->{event} } @events), 'pausing paused paused started ended resumed resumed finished', '--json: an object for each event';
    is_deeply [@{$events[-1]}{qw(outcome exit)}], ['ran', 4], '--json: the last one has the outcome';
    is $cli->run('run', '--quiet', '--', 'true')->{err}, '', '--quiet: nothing if all is well';
    isnt $cli->run('run', '--quiet', '--host', 'http://127.0.0.1:1', '--', 'true')->{err}, '', '--quiet: what went wrong';
};

$_->clean_ok for $one, $two;
done_testing;
