# What scripts/fleet-faults runs: a fleet under load while agents, hosts, callers and etcd fail: the command runs only while no host passes a
# request on, and no request fails.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Etcd;
use Intermission::Faults ();
use Intermission::Fleet;
use Intermission::Process;
use Test::More;

plan skip_all => Intermission::Etcd::missing() if Intermission::Etcd::missing();

my $etcd = Intermission::Etcd->new;
my $fleet = Intermission::Fleet->new($etcd, hosts => 4);
my @lease = ('--lease', '12s', '--wait', '3s');

# A run of so many seconds under load. $deed is done when the command runs. Returns what came of it.
sub disturbed {
    my ($what, $seconds, $deed, %opt) = @_;
    return Intermission::Faults::disturbed($fleet, $what, seconds => $seconds, deed => sub { $deed->(@_); () }, %opt);
}

subtest 'an agent is killed, and does not start again before the end' => sub {
    disturbed('callers know the endpoint', 2, sub { $fleet->agent_down(1) });
    $fleet->host(1)->{is_alone} = 1;
    $fleet->agent_up(1);
    $fleet->wait_alive(4);
    my $done = disturbed('callers do not know the endpoint', 2, sub { $fleet->agent_down(1) }, exit => 81);
    like $done->{err}, qr/no answer says that the pause is over at h1/, 'at the end: it says at which host';
    $fleet->host(1)->{is_alone} = 0;
    $fleet->agent_up(1);
    $fleet->wait_alive(4);
};

subtest 'nginx is killed' => sub {
    my $host = $fleet->host(3);
    my $done = disturbed('without a state file', 4, sub {
        $host->{t}->end_nginx(signal => 'KILL');
        $host->{t}->start_nginx(port => $host->{t}->port);
    }, exit => 80, lost => 1, load => [0, 1, 2]);
    like $done->{err}, qr/host h3 is not in the pause any more/, 'without a state file: it says at which host the pause was lost';
};

subtest 'the caller is killed' => sub {
    my @crowds = $fleet->load(6, 30);
    my $going = $fleet->start(@lease, '--', $fleet->noting(20));
    $going->wait_err(qr/running/);
    $going->signal('KILL');
    like $fleet->wait_open(30), qr/^open( open)+$/, 'all hosts are open within the lease';
    is +($fleet->count(@crowds))[0], 0, '0 requests failed';
    $fleet->wait_clear;
    pass 'no key of the pause is left';
    $going->done;
};

subtest 'the caller sleeps beyond its lease, and another one comes' => sub {
    my @crowds = $fleet->load(6, 30);
    my $going = $fleet->start(@lease, '--', 'sleep', 1);
    $going->wait_err(qr/running/);
    $going->signal('STOP');
    like $fleet->wait_open(30), qr/^open( open)+$/, 'all hosts are open within the lease';
    is +($fleet->count(@crowds))[0], 0, '0 requests failed';
    $fleet->wait_clear;
    my $second = $fleet->start(@lease, '--', $fleet->noting(3));
    $second->wait_err(qr/running/);
    $going->signal('CONT');
    my $done = $going->done;
    is $done->{exit}, 80, 'the caller that slept: lost, 80' or diag $done->{err};
    like $done->{err}, qr/the pause was lost meanwhile/, 'the caller that slept is told';
    $done = $second->done;
    is $done->{exit}, 0, 'the other caller is not disturbed' or diag $done->{err};
    is $fleet->came_between($fleet->times), 0, 'the other caller: no request came to the app while its command ran';
};

subtest "etcd's leader is killed" => sub {
    my $leader = $etcd->leader;
    disturbed('while the command runs', 6, sub { $etcd->down($leader) });
    $etcd->up($leader);
    $etcd->wait_healthy;
};

subtest 'all of etcd is away before a pause' => sub {
    $etcd->down($_) for 0 .. 2;
    my $done = $fleet->run(@lease, '--', 'touch', $fleet->dir . '/never');
    is $done->{exit}, 69, 'no pause begins: 69' or diag $done->{err};
    like $done->{err}, qr/etcd does not answer/, 'it says why';
    ok !-e $fleet->dir . '/never', 'the command does not run';
    is +($fleet->count($fleet->load(1, 20)))[0], 0, 'nginx goes on';
    $etcd->up($_) for 0 .. 2;
    $etcd->wait_healthy;
    $fleet->wait_alive(4);
};

subtest 'all of etcd goes away in a pause' => sub {
    my $done = disturbed('until after the end', 3, sub { $etcd->down($_) for 0 .. 2 });
    like $done->{err}, qr/etcd does not answer: .*the pause is sure for/, 'it is told at once, with the time that is sure';
    $etcd->up($_) for 0 .. 2;
    $etcd->wait_healthy;
    $fleet->wait_alive(4);
    is $fleet->wait_open, 'open open open open', 'etcd is back: no host is paused again';
    $fleet->wait_clear;
    disturbed('and comes back', 6, sub {
        $etcd->down($_) for 0 .. 2;
        $etcd->up($_) for 0 .. 2;
    });
};

$_->{t}->clean_ok(killed_process => 1) for grep { !$_->{gone} } $fleet->hosts;
done_testing;
