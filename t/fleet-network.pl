# What scripts/fleet-faults runs: the network between one host's agent and etcd is cut and healed, under load. The agent is in a network
# namespace of its own, and reaches its nginx by a Unix socket.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Etcd;
use Intermission::Faults;
use Intermission::Fleet;
use Intermission::Netns;
use Test::More;

my $missing = Intermission::Etcd::missing() // Intermission::Netns::missing();
plan skip_all => $missing if $missing;

my $net = Intermission::Netns->new;
my $etcd = Intermission::Etcd->new(also => $net->address);
my $fleet = Intermission::Fleet->new($etcd, hosts => 3, unix => 1);
$fleet->agent_down(2);
@{$fleet->host(2)}{qw(etcd before)} = ([$etcd->urls($net->address)], [$net->inside]);
$fleet->host(2)->{listen} =~ s/^[\d.]+/$net->there/e;
$fleet->agent_up(2);
$fleet->wait_alive(3);

for my $how (qw(cut mute)) {
    my $name = $how eq 'cut' ? 'nothing goes through' : 'answers are lost';

    subtest "$name, before the pause" => sub {
        $net->$how;
        my $done = disturbed($fleet, $name, stage => 'prepare', exit => 75, lost => 1, deed => sub { });
        like $done->{err}, qr/h2/, 'it says which host';
        $net->heal;
        $fleet->wait_alive(3);
    };

    subtest "$name, for a while" => sub {
        for my $stage (qw(drain run)) {
            disturbed($fleet, $name, stage => $stage, seconds => 6, deed => sub {
                $net->$how;
                select undef, undef, undef, $stage eq 'drain' ? 0.5 : 3;
                # What the agent missed is forgotten.
                $etcd->compact;
                $net->heal;
                return;
            });
        }
        $fleet->wait_alive(3);
    };

    subtest "$name, until after the end" => sub {
        disturbed($fleet, $name, deed => sub { $net->$how; () });
        $net->heal;
        $fleet->wait_alive(3);
        is $fleet->wait_open, 'open open open', 'healed: no host is paused again';
    };

    subtest "$name, for longer than the lease" => sub {
        my $done = disturbed($fleet, $name, seconds => 16, exit => 80, lost => 1, deed => sub { $net->$how; () });
        like $done->{err}, qr/host h2: its agent does not live; its pause is sure for/, 'it is told, with the time that is sure';
        $net->heal;
        $fleet->wait_alive(3);
    };

    subtest "$name, while the host joins" => sub {
        $fleet->leave(2);
        disturbed($fleet, $name, load => [0, 1], seconds => 5, deed => sub {
            $net->$how;
            $fleet->join(2);
            select undef, undef, undef, 2;
            isnt $fleet->page(2, 'ready'), 200, 'a host that does not reach etcd is not ready';
            $net->heal;
            $fleet->host(2)->{t}->wait_for(sub { $fleet->page(2, 'ready') == 200 || undef }, 'h2 to be ready', 20);
            return $fleet->load(1, 20, 2);
        });
        $fleet->wait_alive(3);
    };
}

$_->{t}->clean_ok for $fleet->hosts;
done_testing;
