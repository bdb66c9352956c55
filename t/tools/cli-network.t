# `intermission run` when a host is slow, dies, or cannot be reached any more.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Cli;
use Intermission::Forwarder;
use Test::More;

my ($one, $two) = map { Intermission->new } 1 .. 2;
my $net = Intermission::Forwarder->new($two->port);
my $cli = Intermission::Cli->new($one, 'http://127.0.0.1:' . $net->port);
my $dir = $cli->dir;
my @short = ('--lease', '1500ms', '--wait', '500ms');
sub states { return join ' ', map { $_->status->{state} } $one, $two }

# Starts a command that runs until go().
sub begin {
    unlink "$dir/go";
    my $going = $cli->start('run', @short, @_, '--', 'sh', '-c', "echo ran; while [ ! -e $dir/go ]; do sleep 0.02; done");
    $going->wait_err(qr/running/);
    return $going;
}
sub go { Intermission::write_file("$dir/go", '') }

subtest 'a slow network is waited for' => sub {
    $net->slow;
    is $cli->run('run', @short, '--', 'true')->{exit}, 0, 'answers that come late: the command runs';
    $net->back;
};

subtest 'the network is gone before the pause' => sub {
    $net->gone;
    my $done = $cli->run('run', @short, '--', 'echo', 'ran');
    is "$done->{exit}$done->{out}", '69', 'no answer: 69, and the command does not run';
    is states(), 'open open', 'no host stays paused';
    $net->back;
};

subtest 'an answer is lost, and the pause with it' => sub {
    $net->deaf;
    my $going = $cli->start('run', '--lease', '20s', '--wait', '500ms', '--timeout', '500ms', '--', 'echo', 'ran');
    $two->wait_state('paused');
    $going->wait_err(qr/not resumed yet/);
    is states(), 'open paused', 'the answer is lost: the other host is resumed at once';
    $net->back;
    my $done = $going->done;
    is "$done->{exit}$done->{out}", '69', 'the answer is lost: 69, and the command does not run';
    is states(), 'open open', 'the answer is lost: the pause is found and ended';
    like $two->status->{drained_by}, qr/^alice #/, 'the answer is lost: it was ended by its owner';
};

subtest 'the network is gone for longer than the lease' => sub {
    my $going = begin();
    $net->gone;
    $going->wait_err(qr/PAUSE LOST at \S+: its lease may be over/);
    is $one->status->{state}, 'paused', 'the other host stays paused';
    $two->wait_state('open');
    $net->back;
    go();
    my $done = $going->done;
    is $done->{exit}, 80, 'a pause that was lost: 80';
    is $done->{out}, "ran\n", 'the command ran to its end';
    is states(), 'open open', 'no host stays paused';
};

subtest 'the network is gone for a moment' => sub {
    my $going = begin();
    $net->gone;
    select undef, undef, undef, 0.4;
    $net->back;
    select undef, undef, undef, 1.5;
    go();
    my $done = $going->done;
    is $done->{exit}, 0, 'a moment without the network does not matter' or diag $done->{err};
};

subtest 'the network is gone when the pause is to end' => sub {
    my $going = begin('--on-lost', 'kill');
    $net->gone;
    go();
    $going->wait_err(qr/not resumed yet: no answer/);
    is $one->status->{state}, 'open', 'the other host is resumed at once';
    my $done = $going->done;
    is $done->{exit}, 81, 'an end that is not confirmed: 81';
    like $done->{err}, qr/its lease is over.*intermission status/s, 'it says that the lease is over, and how to look';
    is states(), 'open open', 'the lease has ended the pause';
    $net->back;
};

subtest 'a reload does not matter' => sub {
    my $going = begin();
    $two->reload;
    select undef, undef, undef, 1;
    go();
    is $going->done->{exit}, 0, 'a reload: the command has run in the pause';
};

subtest 'a host dies while the command runs' => sub {
    my $going = begin();
    $two->end_nginx;
    $going->wait_err(qr/PAUSE LOST/);
    go();
    my $done = $going->done;
    is $done->{exit}, 80, 'a host that died: 80';
    is $one->status->{state}, 'open', 'the other host is open';
};

$one->clean_ok;
done_testing;
