# A fleet of four nginx on an etcd of three members: the command runs while no host passes a request on, and no request fails.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Etcd;
use Intermission::Fleet;
use Test::More;

plan skip_all => Intermission::Etcd::missing() if Intermission::Etcd::missing();

my $etcd = Intermission::Etcd->new;
my $fleet = Intermission::Fleet->new($etcd, hosts => 4);

# Nobody's request failed, and none came to the app while the command ran.
sub undisturbed {
    my ($what, $done, @crowds) = @_;
    is $done->{exit}, 0, "$what: the command ran, in one pause" or diag $done->{err};
    my ($from, $to) = $fleet->times;
    ok $to, "$what: it ran to its end";
    is $fleet->came_between($from, $to), 0, "$what: no request came to the app meanwhile";
    my ($bad, $good) = $fleet->count(@crowds);
    is $bad, 0, "$what: 0 requests failed";
    cmp_ok $good, '>', 0, "$what: all $good were answered";
    is $fleet->states, 'open open open open', "$what: all hosts are open";
}

subtest 'pause, drain, command, release' => sub {
    my @crowds = $fleet->load(6, 50);
    $_->{t}->wait_for(sub { $fleet->came_between(0, 9e15) > 50 || undef }, 'the load to begin') for $fleet->host(0);
    my $done = $fleet->run('--lease', '20s', '--reason', 'db switch', '--', $fleet->noting(2));
    undisturbed('under load', $done, @crowds);
    cmp_ok $_->{t}->status->{totals}{released}, '>', 20, "$_->{id} held requests" for $fleet->hosts;
    is_deeply $fleet->look->{pauses}, [], 'no key of the pause is left';
};

subtest 'a command that runs for longer than the lease' => sub {
    my $done = $fleet->run('--lease', '10s', '--wait', '2s', '--', $fleet->noting(12));
    undisturbed('a long command', $done, $fleet->load(1, 10));
};

subtest 'of two callers one runs' => sub {
    my $first = $fleet->start('--lease', '20s', '--', $fleet->noting(2));
    $first->wait_err(qr/running/);
    my $second = $fleet->run('--lease', '20s', '--', 'touch', $fleet->dir . '/second');
    is $second->{exit}, 79, 'the second caller is refused: 79';
    like $second->{err}, qr/another pause is active .*by alice #/, 'the second caller is told whose pause it is';
    ok !-e $fleet->dir . '/second', 'its command does not run';
    undisturbed('the first caller', $first->done, $fleet->load(1, 10));
};

subtest 'an app that is not quiet keeps the command from running' => sub {
    my $slow = $fleet->host(2)->{t}->send('/slow?delay=4000');
    $fleet->host(2)->{t}->wait_for(sub { $fleet->host(2)->{t}->status->{in_flight} }, 'the request to be in flight');
    my $done = $fleet->run('--lease', '20s', '--wait', '1s', '--', 'touch', $fleet->dir . '/second');
    is $done->{exit}, 75, 'not quiet: 75';
    like $done->{err}, qr/host h2: .*1 request is still in flight/, 'not quiet: it says which host, and why';
    ok !-e $fleet->dir . '/second', 'not quiet: the command does not run';
    is $slow->response->{status}, 200, 'not quiet: the request is answered';
    is $fleet->states, 'open open open open', 'not quiet: all hosts are open';
};

subtest "another operator's pause is left alone" => sub {
    my $t = $fleet->host(1)->{t};
    $t->control('enable?by=bob');
    my $done = $fleet->run('--lease', '20s', '--', 'true');
    is $done->{exit}, 75, "bob's pause: the command does not run";
    like $done->{err}, qr/host h1: another pause is active, by bob/, "bob's pause: it says where, and whose";
    is $t->status->{by}, 'bob', "bob's pause goes on";
    $t->control('disable');
};

subtest 'a pause that stays, and is ended by its token' => sub {
    my @app = ('--app', 'basecamp');
    my $done = $fleet->cli->run('pause', $fleet->options, @app, '--lease', '60s', '--reason', 'long');
    is $done->{exit}, 0, 'paused' or diag $done->{err};
    my ($token) = $done->{err} =~ /resume --fleet web --app 'basecamp' --id (\d+)/;
    is $fleet->states, 'paused paused paused paused', 'all hosts are paused';
    is $fleet->host(0)->{t}->status->{token}, $token, 'the token is at the hosts';
    my $look = $fleet->cli->run('fleet', $fleet->options);
    like $look->{out}, qr/h3 +yes +basecamp .* quiet/, 'the table says what each host makes of it';
    like $look->{out}, qr/app "basecamp": paused by alice .*reason "long", token $token/, 'the table says whose pause it is';
    is $fleet->cli->run('resume', $fleet->options, @app, '--id', $token + 1)->{exit}, 80, 'another token ends nothing';
    $done = $fleet->cli->run('resume', $fleet->options, @app, '--id', $token);
    is $done->{exit}, 0, 'resumed' or diag $done->{err};
    is $fleet->states, 'open open open open', 'all hosts are open';
};

subtest 'status reaches the endpoints that are registered' => sub {
    my @app = ('--app', 'basecamp');
    my $done = $fleet->cli->run('status', $fleet->options, @app, '--json');
    is $done->{exit}, 0, 'status' or diag $done->{err};
    is scalar(() = $done->{out} =~ /"state":"open"/g), 4, 'status: four hosts';
};

subtest 'a stop goes by etcd' => sub {
    my @app = ('--app', 'basecamp');
    my $done = $fleet->cli->run('stop', $fleet->options, @app, '--reason', 'broken');
    is $done->{exit}, 0, 'stop' or diag $done->{err};
    my ($token) = $done->{err} =~ /resume --fleet web --app 'basecamp' --id (\d+)/;
    is $fleet->states, 'stopped stopped stopped stopped', 'all hosts are stopped';
    like $fleet->cli->run('fleet', $fleet->options)->{out}, qr/app "basecamp": stopped by alice .*reason "broken", token $token/, 'the table says it';
    $done = $fleet->run('--lease', '20s', '--', 'true');
    is $done->{exit}, 79, 'stopped: the command does not run: 79';
    like $done->{err}, qr/a stop is active \(token $token\), by alice/, 'stopped: the caller is told whose stop it is';
    $fleet->host(1)->{t}->control('disable');
    $fleet->host(1)->{t}->wait_state('stopped');
    pass 'a host that is opened by hand is stopped again';
    is $fleet->cli->run('resume', $fleet->options, @app, '--id', $token)->{exit}, 0, 'resume';
    is $fleet->states, 'open open open open', 'all hosts are open';
};

subtest 'a pause becomes a stop, and its caller is told' => sub {
    my @app = ('--app', 'basecamp');
    my $going = $fleet->start('--lease', '20s', '--', $fleet->noting(2));
    $going->wait_err(qr/running/);
    my $done = $fleet->cli->run('stop', $fleet->options, @app, '--by', 'bob');
    is $done->{exit}, 0, 'stop' or diag $done->{err};
    like $done->{err}, qr/the pause \d+ by alice .* has become a stop/, 'stop: it says whose pause that was';
    $done = $going->done;
    is $done->{exit}, 80, 'the caller: lost, 80' or diag $done->{err};
    like $done->{err}, qr/bob .*has stopped the fleet/, 'the caller is told who has stopped the fleet';
    unlike $done->{err}, qr/no answer says/, 'the caller waits for no host';
    is $fleet->states, 'stopped stopped stopped stopped', 'all hosts stay stopped when the command has ended';
    is $fleet->cli->run('resume', $fleet->options, @app)->{exit}, 0, 'resume';
    is $fleet->states, 'open open open open', 'all hosts are open';
};

subtest 'a host without an agent' => sub {
    $fleet->agent_down(3);
    $fleet->wait_alive(3);
    my $done = $fleet->run('--lease', '20s', '--', 'true');
    is $done->{exit}, 75, 'the command does not run';
    like $done->{err}, qr/host h3 is registered, but its agent does not live/, 'it names the host';
    $done = $fleet->run('--lease', '20s', '--without', 'h3', '--', 'true');
    is $done->{exit}, 0, '--without leaves it out' or diag $done->{err};
    is $fleet->cli->run('fleet', $fleet->options, 'forget', 'h3')->{exit}, 0, 'it is forgotten';
    is $fleet->run('--lease', '20s', '--', 'true')->{exit}, 0, 'a host that is forgotten does not count';
    $fleet->agent_up(3);
    $fleet->wait_alive(4);
};

subtest 'a host that boots in a pause starts paused' => sub {
    my $at = $fleet->add_down;
    my $going = $fleet->start('--lease', '20s', '--reason', 'db switch', '--', $fleet->noting(3));
    $going->wait_err(qr/running/);
    like $fleet->boot($at), qr/app "basecamp": nginx starts paused, by pause \d+ of the fleet/, '--wait-ready says it';
    my $t = $fleet->host($at)->{t};
    my @crowds = $fleet->load(3, 50, $at);
    my $status = $t->status;
    is_deeply [@$status{qw(state reason token)}], ['paused', 'db switch', $fleet->look->{pauses}[0]{token}], 'it is paused from the start';
    like $t->error_log, qr/app "basecamp": still paused, pause $status->{pause}, restored from ".*state"/, 'by its state file';
    my $done = $going->done;
    is $done->{exit}, 0, 'the command ran, in one pause' or diag $done->{err};
    is $fleet->came_between($fleet->times), 0, 'no request came to the app meanwhile';
    my ($bad, $good) = $fleet->count(@crowds);
    is $bad, 0, "0 of @{[$bad + $good]} requests to the new host failed";
    like $fleet->wait_open, qr/^open( open)+$/, 'all hosts are open';
    is $fleet->cli->run('agent', '--wait-ready', '--listen', $fleet->host($at)->{listen}, '--state-file', $t->dir . '/state')->{err},
        "intermission: nginx runs already: its state file is left alone\n", 'while nginx runs, its file is left alone';
    $t->end_nginx;
    $fleet->agent_down($at, 'TERM');
    $fleet->cli->run('fleet', $fleet->options, 'forget', "h$at");
    $fleet->host($at)->{gone} = 1;
};

subtest 'whether nginx may start, and the host take traffic' => sub {
    my $host = $fleet->host(0);
    my $page = sub { $host->{t}->get("/$_[0]", to => $host->{listen})->{status} };
    is $page->('ready'), 200, 'ready';
    is $page->('clear'), 200, 'clear';
    my $going = $fleet->start('--lease', '20s', '--', $fleet->noting(3));
    $going->wait_err(qr/running/);
    is $page->('ready'), 200, 'in a pause that it holds: ready';
    is $page->('clear'), 503, 'in a pause: nginx may not start';
    my @wait = ('agent', '--listen', $host->{listen}, '--wait-ready');
    is $fleet->cli->run(@wait, '--patience', '300ms')->{exit}, 75, '--wait-ready gives up';
    my $waits = $fleet->cli->start(@wait);
    is $going->done->{exit}, 0, 'the command ran';
    is $waits->done->{exit}, 0, '--wait-ready waits for the end of the pause';
    like $host->{t}->get('/metrics', to => $host->{listen})->{body}, qr/^intermission_agent_etcd_up 1$/m, 'metrics';
};

$_->{t}->clean_ok for grep { !$_->{gone} } $fleet->hosts;
done_testing;
