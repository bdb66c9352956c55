# `check`, `status` and `metrics` of a fleet: what its registered endpoints say, and what etcd says of the fleet.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Etcd;
use Intermission::Fleet;
use JSON::PP ();
use Test::More;

plan skip_all => Intermission::Etcd::missing() if Intermission::Etcd::missing();
plan skip_all => 'only root can keep a state file' if $>;

my $etcd = Intermission::Etcd->new;
my $fleet = Intermission::Fleet->new($etcd, hosts => 3, state => 1, control => 'intermission_lease 60s; allow 127.0.0.1; deny all;');
my @app = ('--app', 'basecamp');
$_->{t}->get('/') for $fleet->hosts;

# What is not right, a word for each: "h1 agent", "fleet"; and how the command ended.
sub check {
    my (@arguments) = @_;
    my $done = $fleet->cli->run('check', $fleet->options, @app, '--json', '--sample', '300ms', @arguments);
    my %id = map { Intermission::Cli::url($_->{t}) => $_->{id} } $fleet->hosts;
    my @lines = map { JSON::PP::decode_json($_) } split /\n/, $done->{out};
    $_->{place} = $_->{id} // '' for @lines;
    is_deeply [grep { $_->{host} && $id{$_->{host}} ne $_->{place} } @lines], [], 'each host has its name' if @lines;
    my @wrong = grep { $_->{verdict} eq 'FAULT' } @lines;
    return {
        exit => $done->{exit}, err => $done->{err}, out => $done->{out}, lines => \@lines,
        wrong => join(', ', map { ($_->{place} ? "$_->{place} " : '') . $_->{check} } @wrong),
        said => join("\n", map { $_->{text} } @wrong),
    };
}

subtest 'all is well' => sub {
    my $got = check();
    is "$got->{exit} $got->{wrong}", '0 ', 'no fault: 0' or diag $got->{said}, $got->{err};
    is_deeply [sort map { "$_->{place} $_->{check} $_->{verdict}" } grep { $_->{check} =~ /agent|fleet|state$/ } @{$got->{lines}}],
        [' fleet ok', map { ("h$_ agent ok", "h$_ state ok") } 0 .. 2], 'the fleet, and agent and app of each host';
    my $out = $fleet->cli->run('check', $fleet->options, @app, '--sample', '100ms')->{out};
    like $out, qr/^fleet "web" app "basecamp"\n  ok     fleet       no pause of it is active\n/, 'for people: the fleet first';
    like $out, qr/^  ok     agent       host h1: it lives$/m, 'for people: a line for each agent';
};

subtest 'an agent is dead' => sub {
    $fleet->agent_down(1);
    $fleet->wait_alive(2);
    my $got = check();
    is "$got->{exit} $got->{wrong}", '1 h1 agent', 'a fault: no pause of the fleet would begin';
    like $got->{said}, qr/host h1 is registered, but its agent does not live \(--without h1 leaves it out/, 'it says what to do';
    is $fleet->run('--lease', '20s', '--', 'true')->{exit}, 75, 'so it is';
    $got = check('--without', 'h1');
    is "$got->{exit} $got->{wrong}", '0 ', '--without leaves it out';
    is_deeply [grep { $_->{place} eq 'h1' } @{$got->{lines}}], [], '--without: it is not asked';
    $fleet->agent_up(1);
    $fleet->wait_alive(3);
};

subtest "a host's nginx is down" => sub {
    my $t = $fleet->host(2)->{t};
    $t->end_nginx;
    my $got = check();
    is "$got->{exit} $got->{wrong}", '1 h2 endpoint', 'a fault at this host, and at no other';
    like $got->{said}, qr/no connection/, 'it says why';
    is $fleet->cli->run('metrics', $fleet->options)->{exit}, 69, 'metrics: 69';
    $t->start_nginx(port => $t->port);
    $t->get('/');
    is check()->{exit}, 0, 'it is up again';
};

subtest "somebody else's pause" => sub {
    my $done = $fleet->cli->run('pause', $fleet->options, @app, '--lease', '60s', '--by', 'bob', '--reason', 'db switch');
    is $done->{exit}, 0, 'the fleet is paused' or diag $done->{err};
    my $got = check();
    is "$got->{exit} $got->{wrong}", '1 fleet, h0 state, h1 state, h2 state', 'the fleet and each host';
    like $got->{said}, qr/^another pause is active \(token \d+\), by bob #\w+, reason "db switch"$/m, 'it says whose, and why';
    is $fleet->cli->run('resume', $fleet->options, @app)->{exit}, 0, 'resumed';
    $fleet->host(0)->{t}->control('enable?by=carol&for=60s');
    $got = check();
    is "$got->{exit} $got->{wrong}", '1 h0 state', 'at one host alone: that host';
    like $got->{said}, qr/by carol/, 'it says whose';
    $fleet->host(0)->{t}->control('disable');
    $fleet->wait_open;
    is $fleet->cli->run('stop', $fleet->options, @app, '--by', 'bob')->{exit}, 0, 'the fleet is stopped';
    like check()->{said}, qr/^a stop is active \(token \d+\), by bob/m, 'a stop';
    is $fleet->cli->run('resume', $fleet->options, @app)->{exit}, 0, 'resumed';
    is check()->{exit}, 0, 'all is well again';
};

subtest 'a host without an endpoint, and one of another app' => sub {
    $fleet->agent_down(2, 'TERM');
    $fleet->host(2)->{is_alone} = 1;
    $fleet->agent_up(2);
    $fleet->agent_down(1, 'TERM');
    $fleet->host(1)->{app} = 'campfire';
    $fleet->agent_up(1);
    $fleet->wait_alive(3);
    my $got = check();
    is "$got->{exit} $got->{wrong}", '0 ', 'no fault';
    is_deeply [map { "$_->{place} $_->{check} $_->{verdict}" } grep { $_->{place} =~ /h[12]/ } @{$got->{lines}}], ['h2 agent ok', 'h2 endpoint ?'],
        'without an endpoint: it cannot be known; of another app: it is not asked';
    my $done = $fleet->cli->run('status', $fleet->options, @app);
    is $done->{exit}, 69, 'status: 69';
    like $done->{out}, qr/^h2: it has registered no endpoint \(agent --endpoint\)$/m, 'status: it says which host is not known';
    is scalar(() = $done->{out} =~ / basecamp +open /g), 1, 'status: the others are shown';
    is $fleet->cli->run('status', $fleet->options, @app, '--without', 'h2')->{exit}, 0, 'status: --without leaves it out';
    $done = $fleet->cli->run('metrics', $fleet->options);
    is $done->{exit}, 69, 'metrics: 69';
    like $done->{err}, qr/host h2: it has registered no endpoint/, 'metrics: it says which host is not known';
    $fleet->agent_down($_, 'TERM') for 1, 2;
    $fleet->host(2)->{is_alone} = 0;
    delete $fleet->host(1)->{app};
    $fleet->agent_up($_) for 1, 2;
    $fleet->wait_alive(3);
};

subtest 'an app that no host serves' => sub {
    my $done = $fleet->cli->run('check', $fleet->options, '--app', 'nobody', '--sample', '100ms');
    is $done->{exit}, 1, 'check: 1';
    like $done->{out}, qr/FAULT  fleet +no host of the fleet "web" serves the app/, 'check: it says so';
    $done = $fleet->cli->run('status', $fleet->options, '--app', 'nobody');
    is $done->{exit}, 69, 'status: 69';
    like $done->{out}, qr/no host of the fleet "web" serves the app/, 'status: it says so';
};

subtest 'etcd is away' => sub {
    $etcd->down($_) for 0 .. 2;
    for my $verb ('check', 'status', 'metrics', 'fleet') {
        my $done = $fleet->cli->run($verb, $fleet->options);
        is "$done->{exit} $done->{out}", '69 ', "$verb: 69, and nothing is shown";
        like $done->{err}, qr/^intermission: etcd does not answer: /, "$verb: it says why";
    }
    $etcd->up($_) for 0 .. 2;
    $etcd->wait_healthy;
    $fleet->wait_alive(3);
    is check()->{exit}, 0, 'it is back';
};

$_->{t}->clean_ok for $fleet->hosts;
done_testing;
