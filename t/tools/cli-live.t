# `intermission run` on a terminal: what it keeps of it, and that it gives it back.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Cli;
use Intermission::Process;
use Intermission::Upstream;
use Test::More;

my $t = Intermission->new(
    http => 'upstream own { server unix:@DIR@/own.sock; }',
    locations => $Intermission::Conf::LOCATIONS . 'location /own { intermission on; proxy_pass http://own; }',
);
my $own = Intermission::Upstream->new($t);
my $cli = Intermission::Cli->new($t);
my $dir = $cli->dir;
my $until_go = "while [ ! -e $dir/go ]; do sleep 0.02; done";
sub go { Intermission::write_file("$dir/go", '') }

# Starts it on a terminal of 24 rows. Returns it, and a handle to say what happens there.
sub on_terminal {
    my ($env, @arguments) = @_;
    unlink "$dir/go";
    pipe my $hear, my $say or die "pipe: $!";
    $say->autoflush(1);
    my %opt = (before => ['python3', 't/lib/terminal.py'], stdin => $hear, env => {TERM => 'xterm', NO_COLOR => '', %$env});
    return ($cli->start(\%opt, @arguments), $say);
}

subtest 'the last lines of the terminal show the hosts, and the rest scrolls above them' => sub {
    my $client = $t->send('/own/slow');
    $own->wait('/own/slow');
    my ($going, $say) = on_terminal({}, 'run', '--', 'sh', '-c', "for i in \$(seq 99); do echo line-\$i; done; $until_go");
    $going->wait_out(qr{\e\[1;22r}) and pass 'two lines of 24 are kept';
    $going->wait_out(qr{paused, 1 in flight, the oldest: GET /own/slow from }) and pass 'what is still in flight is shown';
    $own->answer('/own/slow');
    $client->response;
    # A line may stand behind the display, which puts the cursor back where it was.
    $going->wait_out(qr/(?:^|\e8)line-99\r/m);
    is_deeply [$going->out =~ /(?:^|\e8)line-(\d+)\r$/gm], [1 .. 99], 'each line of the command is whole';
    my $held = $t->send('/');
    $going->wait_out(qr/running for \d+ s.*paused, quiet, 1 held, lease 2\d s/s) and pass 'held requests and the lease are shown';
    print $say "size 40 90\n";
    $going->wait_out(qr{\e\[1;38r}) and pass 'another size of the terminal is followed';
    go();
    my $done = $going->done;
    is $done->{exit}, 0, 'the command\'s own status';
    my ($last) = $done->{out} =~ /.*\e\[([\d;]*)r/s;
    is $last, '', 'in the end the whole terminal scrolls again';
    is $held->response->{status}, 200, 'the held request is answered';
};

subtest 'Ctrl-Z gives the terminal back, and fg goes on' => sub {
    my ($going, $say) = on_terminal({}, 'run', '--', 'sh', '-c', "echo up; $until_go");
    $going->wait_out(qr/(?:^|\e8)up\r.*running for/ms);
    my ($pid) = Intermission::Process::children($going->pid);
    my $is_stopped = sub { (Intermission::slurp("/proc/$pid/stat") // '') =~ /\) T / };
    print $say "type \\x1a\n";
    $t->wait_for($is_stopped, 'the process to be stopped');
    $going->wait_out(qr/\e\[r\e8\e\[J.*stopped: nothing is renewed/) and pass 'it gives the terminal back, and says what that means';
    my $before = length $going->out;
    kill CONT => $pid;
    $t->wait_for(sub { substr($going->out, $before) =~ /\e\[1;22r/ }, 'the lines to be kept again');
    go();
    is $going->done->{exit}, 0, 'the command\'s own status';
};

subtest 'a signal gives the terminal back' => sub {
    my ($going, $say) = on_terminal({}, 'run', '--', 'sleep', 60);
    $going->wait_out(qr/running for/);
    print $say "type \\x03\n";
    my $done = $going->done;
    is $done->{exit}, 130, 'Ctrl-C: 130';
    is(($done->{out} =~ /.*\e\[([\d;]*)r/s)[0], '', 'the whole terminal scrolls again');
};

subtest 'plain lines where the terminal cannot do it, or nobody wants it' => sub {
    my %plain = (
        'TERM=dumb' => [{TERM => 'dumb'}, 'run'],
        '--plain without colours' => [{NO_COLOR => 1}, 'run', '--plain'],
    );
    for my $label (sort keys %plain) {
        my ($env, @arguments) = @{$plain{$label}};
        my ($going) = on_terminal($env, @arguments, '--', 'true');
        unlike $going->done->{out}, qr/\e/, "$label: no escape";
    }
    my ($going) = on_terminal({}, 'run', '--plain', '--', 'true');
    like $going->done->{out}, qr/\e\[\d/, '--plain: with colours on a terminal';
    unlike $cli->run('run', '--', 'true')->{err}, qr/\e/, 'no terminal: no escape';
    my $client = $t->send('/own/slow');
    $own->wait('/own/slow');
    $going = $cli->start('run', '--', 'true');
    $going->wait_err(qr{not quiet yet: 1 in flight, the oldest: GET /own/slow}) and pass 'no terminal: a line says what is in flight';
    $own->answer('/own/slow');
    is $going->done->{exit}, 0, 'then the command runs';
};

subtest 'the manual and the completions' => sub {
    like $cli->run('man', 'run')->{out}, qr/^\.TH intermission-run 1/m, 'the manual page of a verb';
    like $cli->run('man')->{out}, qr/was not quiet in time/, 'the manual page has the exit statuses';
    is $cli->run('man', 'nothing')->{exit}, 64, 'no such verb: 64';
    like $cli->run('completions', $_)->{out}, qr/on-lost/, "completions for $_" for qw(bash zsh fish);
};

$t->clean_ok;
done_testing;
