# What scripts/demo-fleet runs.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Etcd;
use Intermission::Fleet;
use Time::HiRes qw(sleep time);

$| = 1;
my $began = time;

sub told { printf "%5.1f s  %s\n", time - $began, "@_" }

told 'an etcd of three members, and four nginx with agents, are started';
my $etcd = Intermission::Etcd->new;
my $fleet = Intermission::Fleet->new($etcd, hosts => 4);
print $fleet->cli->run('fleet', $fleet->options)->{out};

told '200 requests a second, over all hosts, for 12 s';
my @crowds = $fleet->load(12, 50);
sleep 1;
told 'intermission run --fleet web -- sleep 6';
my $going = $fleet->start('--lease', '20s', '--reason', 'db switch', '--', $fleet->noting(6));
$going->wait_err(qr/running/);
told 'all hosts are quiet, and the command runs';
print $fleet->cli->run('fleet', $fleet->options)->{out};

told 'the agent of h1 is killed, and starts again';
$fleet->agent_down(1);
$fleet->agent_up(1);
my $leader = $etcd->leader;
told "etcd's leader, m$leader, is killed";
$etcd->down($leader);
told 'a fifth host joins';
my $joined = $fleet->add(up => 1);
$joined->{t}->wait_for(sub { $fleet->page(4, 'ready') == 200 || undef }, 'the new host to be ready');
told 'the fifth host is ready: ' . $joined->{t}->status->{state};
push @crowds, $fleet->load(2, 50, 4);
my $done = $going->done;
told 'the command has ended:', $done->{exit};
print $done->{err} =~ s/^/         /gmr;

my ($bad, $good) = $fleet->count(@crowds);
my ($from, $to) = $fleet->times;
my $came = $to ? $fleet->came_between($from, $to) : 'unknown';
told "$good requests were answered, $bad failed; $came came to the app while the command ran";
my $is_good = $done->{exit} == 0 && $bad == 0 && $came eq '0';
print $is_good ? "demo-fleet: fine\n" : "demo-fleet: NOT fine\n";
exit($is_good ? 0 : 1);
