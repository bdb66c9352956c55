# `intermission pause` and `resume`, in hooks too: `--key`.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Cli;
use Intermission::Forwarder;
use JSON::PP ();
use Test::More;

my ($one, $two) = map { Intermission->new } 1 .. 2;
my $net = Intermission::Forwarder->new($two->port);
my $cli = Intermission::Cli->new($one, 'http://127.0.0.1:' . $net->port);
my $folder = $cli->dir . '/run';
$ENV{INTERMISSION_RUNTIME_DIR} = $folder;
sub states { return join ' ', map { $_->status->{state} } $one, $two }
sub pauses { return join ' ', map { $_->status->{pause} } $one, $two }

subtest 'pause and resume without a key' => sub {
    my $done = $cli->run('pause', '--lease', '20s', '--wait', '1s', '--reason', 'upgrade');
    is $done->{exit}, 0, 'pause: 0' or diag $done->{err};
    is states(), 'paused paused', 'pause: both hosts are paused';
    my ($resume) = $done->{err} =~ /intermission (resume --host \S+ --id \d+)/;
    is $cli->run('pause')->{exit}, 79, 'a second pause: 79';
    is states(), 'paused paused', 'a second pause changes nothing';
    is $cli->run(split ' ', $resume)->{exit}, 0, 'the command that pause shows resumes';
    is states(), 'open paused', 'it has resumed its host';
    is $cli->run(split ' ', $resume)->{exit}, 0, 'it can be repeated';
    is $cli->run('resume')->{exit}, 0, 'resume: 0';
    is states(), 'open open', 'resume: both hosts are open';
    is $cli->run('resume', '--host', 'http://127.0.0.1:1')->{exit}, 69, 'resume of a host that is down: 69';
    $cli->run('stop', '--lease', '20s');
    is states(), 'stopped stopped', 'stop: both hosts are stopped';
    $cli->run('resume');
};

subtest 'a key makes both calls safe to repeat' => sub {
    my @key = ('--key', 'db-switch');
    is $cli->run('resume', @key)->{exit}, 0, 'resume without a pause: 0';
    is $cli->run('pause', @key, '--lease', '20s')->{exit}, 0, 'pause: 0';
    is states(), 'paused paused', 'both hosts are paused';
    my $pauses = pauses();
    is $cli->run('pause', @key, '--lease', '40s')->{exit}, 0, 'pause again: 0';
    is pauses(), $pauses, 'pause again: they are the same pauses';
    cmp_ok $one->status->{until} =~ s/\D//gr, '>', $one->status->{since} =~ s/\D//gr, 'they have an end';
    is sprintf('%o', (stat "$folder/db-switch.json")[2] & 0777), '600', 'only the owner can read what is remembered';
    is $cli->run('resume', '--key', 'other')->{exit}, 0, 'resume of another key: 0';
    is states(), 'paused paused', 'resume of another key changes nothing';
    is $cli->run('resume', @key)->{exit}, 0, 'resume: 0';
    is states(), 'open open', 'both hosts are open';
    $one->control('enable?by=bob&for=20s');
    is $cli->run('resume', @key)->{exit}, 0, 'a second resume: 0';
    is $one->status->{state}, 'paused', 'a second resume does not end another caller\'s pause';
    is $cli->run('pause', @key)->{exit}, 79, 'pause while another caller\'s is active: 79';
    is states(), 'paused open', 'no host stays paused';
    $one->control('disable');
};

subtest 'a pause that is over is begun anew' => sub {
    $cli->run('pause', '--key', 'k', '--lease', '20s');
    my $pause = $two->status->{pause};
    $two->control('disable?by=bob');
    is $cli->run('pause', '--key', 'k', '--lease', '20s')->{exit}, 0, 'pause again: 0';
    is states(), 'paused paused', 'both hosts are paused';
    isnt $two->status->{pause}, $pause, 'where it was over, another one has begun';
    $two->control('disable?by=bob');
    my $done = $cli->run('resume', '--key', 'k');
    is $done->{exit}, 80, 'resume of a pause that another caller has ended: 80';
    like $done->{err}, qr/ended by bob/, 'it says who ended it';
    is states(), 'open open', 'both hosts are open';
    is $cli->run('resume', '--key', 'k')->{exit}, 0, 'a second resume: 0';
};

subtest 'a call that died has left no pause that cannot be found' => sub {
    $cli->run('pause', '--key', 'k', '--lease', '20s');
    # What was written before the pauses began.
    Intermission::write_file("$folder/k.json", Intermission::slurp("$folder/k.json") =~ s/"pause":\d+/"pause":null/gr);
    my $pauses = pauses();
    is $cli->run('pause', '--key', 'k', '--lease', '20s')->{exit}, 0, 'pause again: 0';
    is pauses(), $pauses, 'pause again: they are the same pauses';
    Intermission::write_file("$folder/k.json", Intermission::slurp("$folder/k.json") =~ s/"pause":\d+/"pause":null/gr);
    is $cli->run('resume', '--key', 'k')->{exit}, 0, 'resume: 0';
    is states(), 'open open', 'both hosts are open';
    like $two->status->{drained_by}, qr/^alice/, 'the pause was found by its name';
};

subtest 'a host that does not answer is tried again, and can be tried later' => sub {
    $cli->run('pause', '--key', 'k', '--lease', '20s');
    $net->gone;
    my $done = $cli->run('resume', '--key', 'k', '--retry', '1s', '--timeout', '300ms');
    is $done->{exit}, 81, 'no answer: 81';
    is $one->status->{state}, 'open', 'no answer: the other host is open';
    $net->back;
    is $cli->run('resume', '--key', 'k')->{exit}, 0, 'tried later: 0';
    is states(), 'open open', 'both hosts are open';
};

subtest 'two calls with one key come one after the other' => sub {
    my @going = map { $cli->start('pause', '--key', 'k', '--lease', '20s') } 1 .. 3;
    is $_->done->{exit}, 0, 'pause: 0' for @going;
    is states(), 'paused paused', 'both hosts are paused';
    is $cli->run('resume', '--key', 'k')->{exit}, 0, 'resume: 0';
};

subtest 'what others could have written is not used' => sub {
    is $cli->run('pause', '--key', '../x')->{exit}, 64, 'a key that is a path: 64';
    chmod 0777, $folder;
    is $cli->run('pause', '--key', 'k')->{exit}, 73, 'a folder that others can write to: 73';
    chmod 0700, $folder;
    symlink '/etc/hostname', "$folder/k.json";
    is $cli->run('resume', '--key', 'k')->{exit}, 73, 'a link: 73';
    unlink "$folder/k.json";
    Intermission::write_file("$folder/k.json", '{');
    chmod 0600, "$folder/k.json";
    is $cli->run('resume', '--key', 'k')->{exit}, 73, 'a file that cannot be read: 73';
    is states(), 'open open', 'no pause was begun';
};

$_->clean_ok for $one, $two;
done_testing;
