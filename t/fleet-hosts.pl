# What scripts/fleet-faults runs: hosts that boot, join, leave and die at each stage of a pause, under load.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Etcd;
use Intermission::Faults;
use Intermission::Fleet;
use Test::More;

plan skip_all => Intermission::Etcd::missing() if Intermission::Etcd::missing();

my $fleet = Intermission::Fleet->new(Intermission::Etcd->new, hosts => 3);
my @others = (load => [0 .. 2]);

# Host 3 has a state file, and host 4 has none. They take no part yet.
my $kept = $fleet->add_down;
$fleet->boot($kept);
my $plain = $#{[$fleet->hosts, $fleet->add(up => 1)]};
$fleet->wait_alive(5);

sub ready {
    my ($at) = @_;
    $fleet->host($at)->{t}->wait_for(sub { $fleet->page($at, 'ready') == 200 || undef }, "h$at to be ready", 20);
}

for my $stage (@STAGES) {
    subtest "$stage: an agent is killed, and starts again" => sub {
        disturbed($fleet, 'h1', stage => $stage, deed => sub { $fleet->agent_down(1); $fleet->agent_up(1); () });
        $fleet->wait_alive(5);
    };

    subtest "$stage: nginx is killed, and starts again" => sub {
        disturbed($fleet, 'with a state file', stage => $stage, @others, deed => sub {
            my $t = $fleet->host($kept)->{t};
            $t->end_nginx(signal => 'KILL');
            $t->start_nginx(port => $t->port);
            return;
        });
    };

    subtest "$stage: a whole host is killed, and boots" => sub {
        disturbed($fleet, 'with a state file', stage => $stage, @others, deed => sub {
            $fleet->kill_host($kept);
            $fleet->boot($kept);
            return $fleet->load(2, 30, $kept);
        });
        $fleet->wait_alive(5);
    };

    subtest "$stage: a host leaves" => sub {
        disturbed($fleet, 'in order', stage => $stage, @others, deed => sub { $fleet->leave($_) for $kept, $plain; () });
        is scalar(@{$fleet->look->{hosts}}), 3, 'it is not registered any more';
    };

    subtest "$stage: a host boots" => sub {
        disturbed($fleet, 'it starts nginx paused if the fleet is paused', stage => $stage, @others, deed => sub {
            $fleet->boot($kept);
            return $fleet->load(2, 30, $kept);
        });
    };

    subtest "$stage: a host joins" => sub {
        disturbed($fleet, 'it takes traffic when it is ready', stage => $stage, @others, deed => sub {
            $fleet->join($plain);
            ready($plain);
            return $fleet->load(2, 30, $plain);
        });
        $fleet->wait_alive(5);
    };
}

# An nginx that starts again at once may find the port still taken.
$_->{t}->clean_ok(killed_process => 1, allow => [qr/\[emerg\].* bind\(\) to \S+ failed \(98/]) for $fleet->hosts;
done_testing;
