# `intermission run` and signals, at every stage, on a terminal and without one.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Cli;
use Intermission::Forwarder;
use Intermission::Upstream;
use Test::More;

my ($one, $two) = map {
    Intermission->new(
        http => 'upstream own { server unix:@DIR@/own.sock; }',
        locations => $Intermission::Conf::LOCATIONS . 'location /own { intermission on; proxy_pass http://own; }',
    )
} 1 .. 2;
my $net = Intermission::Forwarder->new($two->port);
my $cli = Intermission::Cli->new($one, 'http://127.0.0.1:' . $net->port);
my $dir = $cli->dir;
sub states { return join ' ', map { $_->status->{state} } $one, $two }
sub go { Intermission::write_file("$dir/go", '') }
my $until_go = "while [ ! -e $dir/go ]; do sleep 0.02; done";

subtest 'a signal while the apps become quiet' => sub {
    my $own = Intermission::Upstream->new($two);
    for my $signal (qw(INT TERM HUP QUIT)) {
        my $client = $two->send("/own/$signal");
        $own->wait("/own/$signal");
        my $going = $cli->start('run', '--', 'echo', 'ran');
        $one->wait_state('paused');
        $two->wait_state('paused');
        $going->signal($signal);
        my $done = $going->done;
        my %number = (INT => 130, TERM => 143, HUP => 129, QUIT => 131);
        is "$done->{exit}$done->{out}", $number{$signal}, "SIG$signal: $number{$signal}, and the command does not run";
        is states(), 'open open', "SIG$signal: no host stays paused";
        $own->answer("/own/$signal");
        is $client->response->{status}, 200, "SIG$signal: the request that was in flight is answered";
    }
};

subtest 'a signal while the command runs goes on to it' => sub {
    unlink "$dir/go";
    my $going = $cli->start('run', '--', 'sh', '-c', "for s in INT TERM HUP USR1; do trap \"echo \$s\" \$s; done; echo up; $until_go; exit 5");
    $going->wait_out(qr/up/);
    for my $signal (qw(INT TERM HUP USR1)) {
        $going->signal($signal);
        $going->wait_out(qr/^$signal$/m);
        pass "SIG$signal";
    }
    is states(), 'paused paused', 'the pauses go on';
    go();
    is $going->done->{exit}, 5, 'the command decides how it ends';
    $going = $cli->start('run', '--', 'sleep', 60);
    $going->wait_err(qr/running/);
    $going->signal('TERM');
    is $going->done->{exit}, 143, 'a command that dies of it: 128 and its number';
    is states(), 'open open', 'no host stays paused';
};

subtest 'a signal while the pauses are ended does not keep them from ending' => sub {
    unlink "$dir/go";
    my $going = $cli->start('run', '--lease', '3s', '--wait', '1s', '--', 'sh', '-c', $until_go);
    $going->wait_err(qr/running/);
    $net->gone;
    go();
    $going->wait_err(qr/command succeeded/);
    $going->signal('INT');
    $going->wait_err(qr/SIGINT: still ending the pauses at \S+/);
    $going->signal('TERM');
    $going->wait_err(qr/SIGTERM: still ending/);
    $net->back;
    is $going->done->{exit}, 0, 'the command\'s own status';
    is states(), 'open open', 'both hosts are open';
    like $two->status->{drained_by}, qr/^alice/, 'the pause was ended, not its lease';
};

subtest 'kill -9: the lease ends the pause' => sub {
    my $going = $cli->start('run', '--lease', '1500ms', '--wait', '500ms', '--', 'sleep', 60);
    $going->wait_err(qr/running/);
    my ($child) = Intermission::Process::children($going->pid);
    $going->signal('KILL');
    $one->wait_state('open');
    $two->wait_state('open');
    is $one->status->{drained_by}, 'lease', 'the lease has ended it';
    kill TERM => $child;
};

subtest 'a signal that was ignored stays so' => sub {
    unlink "$dir/go";
    my $going = $cli->start({before => ['nohup']}, 'run', '--', 'sh', '-c', "kill -HUP \$\$ \$PPID; $until_go; exit 7");
    $going->wait_err(qr/running/);
    go();
    is $going->done->{exit}, 7, 'nohup: neither the command nor its parent gets SIGHUP';
};

# ---- on a terminal

# Starts it on a terminal. Returns it, and a handle to say what happens there.
sub on_terminal {
    my (@arguments) = @_;
    pipe my $hear, my $say or die "pipe: $!";
    $say->autoflush(1);
    my $going = $cli->start({before => ['python3', 't/lib/terminal.py'], stdin => $hear}, @arguments);
    return ($going, $say);
}

subtest 'Ctrl-C on the terminal' => sub {
    unlink "$dir/go";
    my ($going, $say) = on_terminal('run', '--', 'sh', '-c', "trap 'printf got-%s\\\\n INT' INT; read line; echo line=\$line; $until_go; exit 6");
    $going->wait_out(qr/running/);
    print $say "type hello\\r\n";
    $going->wait_out(qr/line=hello/);
    pass 'the command reads from the terminal';
    print $say "type \\x03\n";
    $going->wait_out(qr/got-INT/);
    is states(), 'paused paused', 'the pauses go on while the command does';
    go();
    my $done = $going->done;
    is $done->{exit}, 6, 'the command decides how it ends';
    is scalar(() = $done->{out} =~ /got-INT/g), 1, 'the command gets SIGINT once';
    is states(), 'open open', 'no host stays paused';
    ($going, $say) = on_terminal('run', '--', 'sleep', 60);
    $going->wait_out(qr/running/);
    print $say "type \\x03\n";
    is $going->done->{exit}, 130, 'a command that dies of it: 130';
    is states(), 'open open', 'no host stays paused';
};

subtest 'the terminal is closed' => sub {
    for my $stubborn ('', "trap '' HUP; ") {
        my $label = $stubborn ? 'a command that ignores SIGHUP' : 'a command that dies of SIGHUP';
        unlink "$dir/go", "$dir/done";
        my ($going, $say) = on_terminal('run', '--lease', '20s', '--', 'sh', '-c', "$stubborn echo up; $until_go; echo x; touch $dir/done");
        $going->wait_out(qr/^up/m);
        print $say "close\n";
        if ($stubborn) {
            select undef, undef, undef, 0.3;
            is states(), 'paused paused', "$label: the pauses go on while it runs";
            go();
            $one->wait_for(sub { -e "$dir/done" }, 'the command to be done');
        }
        $_->wait_state('open') for $one, $two;
        like $two->status->{drained_by}, qr/^alice/, "$label: the pauses are ended, not by their leases";
        my $exit = $going->done->{exit};
        is $exit, $stubborn ? 0 : 129, "$label: its own status";
    }
};

$_->clean_ok for $one, $two;
done_testing;
