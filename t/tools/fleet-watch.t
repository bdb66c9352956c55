# `fleet --watch` and `status --watch`: they show what changes, wherever they are read, and end when they are told to.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Etcd;
use Intermission::Fleet;
use Intermission::Process;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep);

plan skip_all => Intermission::Etcd::missing() if Intermission::Etcd::missing();

my $etcd = Intermission::Etcd->new;
my $fleet = Intermission::Fleet->new($etcd, hosts => 3);
my $cli = $fleet->cli;
my @app = ('--app', 'basecamp');

# Starts a verb that watches. On a terminal: also returns a handle to say what happens there.
sub watch { my ($verb, @more) = @_; return $cli->start($verb, $fleet->options, '--watch', '--interval', '100ms', @more) }
sub on_terminal {
    my ($verb, @more) = @_;
    pipe my $hear, my $say or die "pipe: $!";
    $say->autoflush(1);
    my %opt = (before => ['python3', 't/lib/terminal.py'], stdin => $hear, env => {TERM => 'xterm'});
    return ($cli->start(\%opt, $verb, $fleet->options, '--watch', '--interval', '100ms', @more), $say);
}

# The newest screen that is there as a whole: each begins with the same escapes.
sub screen { my @all = split /\e\[H\e\[2J/, $_[0]->out; return $all[-2] // '' }
sub wait_screen {
    my ($going, $what, $is_right) = @_;
    my $found = Intermission::Process::wait_until(sub { local $_ = screen($going); $is_right->() ? 1 : undef }, 20);
    ok $found, $what or diag screen($going);
}

# The lines that are there, as JSON.
sub lines { return map { JSON::PP::decode_json($_) } split /\n/, $_[0]->out =~ s/[^\n]*\z//r }
sub wait_line {
    my ($going, $what, $is_right) = @_;
    my $found = Intermission::Process::wait_until(sub { local $_ = (lines($going))[-1]; $_ && $is_right->() ? 1 : undef }, 20);
    ok $found, $what or diag $going->out;
}

sub pause { return $cli->run('pause', $fleet->options, @app, '--lease', '60s', '--by', 'bob')->{exit} }
sub resume { return $cli->run('resume', $fleet->options, @app)->{exit} }
sub etcd_down { $etcd->down($_) for 0 .. 2 }
sub etcd_up { $etcd->up($_) for 0 .. 2; $etcd->wait_healthy }

# A host leaves, and comes back.
sub come_back {
    my ($at) = @_;
    $fleet->join($at);
    my $is_known = sub { 3 == (grep { $_->{alive} && $_->{host}{versions} } @{($fleet->look // {})->{hosts}}) || undef };
    Intermission::Process::wait_until($is_known, 20) or die "h$at is not back";
}

subtest 'on a terminal the table is shown in its place, and follows the fleet' => sub {
    my ($going, $say) = on_terminal('fleet');
    wait_screen($going, 'the hosts', sub { /HOST.*h0 .*h1 .*h2 /s && !/paused by/ });
    is pause(), 0, 'a pause';
    wait_screen($going, 'it is shown, with the acks of the hosts', sub { /app "basecamp": paused by bob / && 3 == (() = /basecamp quiet/g) });
    is resume(), 0, 'its end';
    wait_screen($going, 'it is gone', sub { /h2 / && !/paused/ });
    $fleet->agent_down(1);
    wait_screen($going, 'an agent that died', sub { /h1 +no / && /h0 +yes / });
    $fleet->agent_up(1);
    wait_screen($going, 'it lives again', sub { /h1 +yes / });
    $fleet->leave(2);
    wait_screen($going, 'a host that has left is gone', sub { /h1 / && !/h2 / });
    come_back(2);
    wait_screen($going, 'a host that has joined is there', sub { /h2 +yes / });
    print $say "type \\x03\n";
    is $going->done->{exit}, 130, 'Ctrl-C: 130';
};

subtest 'elsewhere the table is shown again when it is another one' => sub {
    my $going = watch('fleet');
    $going->wait_out(qr/h2 .*\n/);
    sleep 1;
    is scalar(() = $going->out =~ /HOST/g), 1, 'nothing changes: one table';
    is pause(), 0, 'a pause';
    $going->wait_out(qr/\n\n HOST.*paused by bob/s) and pass 'below it the next one';
    is resume(), 0, 'its end';
    unlike $going->out, qr/\e/, 'no escapes';
    $going->signal('TERM');
    is $going->done->{exit}, 143, 'SIGTERM: 143';
};

subtest 'JSON is a line for each change' => sub {
    my $going = watch('fleet', '--json');
    wait_line($going, 'the hosts', sub { @{$_->{hosts}} == 3 });
    sleep 1;
    is scalar(lines($going)), 1, 'nothing changes: one line';
    is pause(), 0, 'a pause';
    wait_line($going, 'it is there', sub { @{$_->{pauses}} && 3 == grep { $_->{acks}[0] && $_->{acks}[0]{ack}{state} eq 'quiet' } @{$_->{hosts}} });
    is resume(), 0, 'its end';
    wait_line($going, 'it is gone', sub { !@{$_->{pauses}} });
    $fleet->leave(2);
    wait_line($going, 'a host that has left is gone', sub { @{$_->{hosts}} == 2 });
    come_back(2);
    wait_line($going, 'it is back', sub { 3 == grep { $_->{alive} } @{$_->{hosts}} });
    my @said = map { delete $_->{revision}; JSON::PP->new->canonical->encode($_) } lines($going);
    is scalar(grep { $said[$_] eq $said[$_ - 1] } 1 .. $#said), 0, 'no line says what the one before says';
    $going->signal('INT');
    is $going->done->{exit}, 130, 'SIGINT: 130';
};

subtest 'etcd goes away and comes back' => sub {
    my %going = (terminal => (on_terminal('fleet'))[0], json => watch('fleet', '--json'), status => (on_terminal('status', @app))[0], lines => watch('status', @app, '--json'));
    wait_screen($going{$_}, "$_: the hosts", sub { /HOST/ }) for qw(terminal status);
    wait_line($going{json}, 'json: the hosts', sub { $_->{hosts} });
    etcd_down();
    wait_screen($going{terminal}, 'table: it says so, and shows what was there', sub { /etcd does not answer: .*what it said last:.*HOST.*h2 /s });
    wait_line($going{json}, 'json: a line says so', sub { ($_->{error} // '') =~ /etcd does not answer/ });
    wait_screen($going{status}, 'status: it says so, and asks the hosts that it knows', sub { /etcd: etcd does not answer/ && 3 == (() = / basecamp +open /g) });
    $going{lines}->wait_out(qr/\{"error":"etcd does not answer[^\n]*"host":"etcd"\}\n/) and pass 'status, json: a line says so';
    etcd_up();
    $fleet->wait_alive(3);
    wait_screen($going{terminal}, 'table: it is back', sub { !/etcd does not/ && /h2 +yes / });
    wait_line($going{json}, 'json: it is back', sub { $_->{hosts} && 3 == grep { $_->{alive} } @{$_->{hosts}} });
    wait_screen($going{status}, 'status: it is back', sub { !/etcd does not/ && / basecamp +open / });
    is pause(), 0, 'a pause';
    wait_screen($going{terminal}, 'table: it is shown', sub { /paused by bob/ });
    wait_line($going{json}, 'json: it is shown', sub { @{$_->{pauses} // []} });
    wait_screen($going{status}, 'status: it is shown', sub { 3 == (() = / basecamp +paused /g) });
    is resume(), 0, 'its end';
    $_->signal('TERM') for @going{qw(json lines)};
    is $_->done->{exit}, 143, 'SIGTERM: 143' for @going{qw(json lines)};
    # The command is the terminal's child.
    kill INT => Intermission::Process::children($_->pid) for @going{qw(terminal status)};
    is $_->done->{exit}, 130, 'SIGINT: 130' for @going{qw(terminal status)};
};

subtest 'status follows the hosts of the fleet' => sub {
    my ($going, $say) = on_terminal('status', @app);
    wait_screen($going, 'three hosts', sub { 3 == (() = / basecamp +open /g) });
    $fleet->leave(2);
    wait_screen($going, 'a host that has left is gone', sub { 2 == (() = / basecamp +open /g) && !/no connection/ });
    come_back(2);
    wait_screen($going, 'a host that has joined is there', sub { 3 == (() = / basecamp +open /g) });
    print $say "type \\x03\n";
    is $going->done->{exit}, 130, 'Ctrl-C: 130';
};

subtest 'it ends when nobody reads it, although nothing changes' => sub {
    for my $verb (['fleet', '--json'], ['fleet'], ['status', '--json'], ['status']) {
        my %opt = (before => ['bash', '-c', 'set -o pipefail; "$@" | head -n 1', 'bash']);
        my $done = eval { $cli->start(\%opt, @$verb, $fleet->options, '--watch', '--interval', '100ms')->done(10) };
        is $done && $done->{exit}, 0, "@$verb: 0" or diag $@;
    }
};

$_->{t}->clean_ok for $fleet->hosts;
done_testing;
