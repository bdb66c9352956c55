# What scripts/fleet-size runs: a fleet of many agents, all on this machine. Each is a process of its own, and speaks to a control endpoint of
# its own. The endpoints are in a few nginx, each for an app of its own. It measures how long a pause of all takes, and what it costs etcd.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Cli;
use Intermission::Etcd;
use Intermission::Process;
use Time::HiRes qw(sleep time);

my @sizes = @ARGV ? @ARGV : (3, 30, 300);
my $largest = (sort { $b <=> $a } @sizes)[0];
$| = 1;
my $etcd = Intermission::Etcd->new;
# An endpoint lets a limited number of callers wait: so one nginx is for so many hosts.
my $EACH = 100;
my @nginx;
for (my $from = 0; $from < $largest; $from += $EACH) {
    my $locations = join '', map { "location /h$_/r { set \$app_name h$_; intermission on; proxy_pass http://backend; } location /h$_ { set \$app_name h$_; intermission_control; }\n" } $from .. $from + $EACH - 1;
    push @nginx, Intermission->new(http => 'intermission_zone 16m;', locations => $locations, workers => 1);
}
my $cli = Intermission::Cli->new;
my @options = ('--fleet', 'big', map { ('--etcd', $_) } $etcd->urls);
my @agents;

printf "%6s %9s %11s %8s %8s %10s %9s %12s %12s %14s\n", 'hosts', 'hold, s', 'release, s', 'writes', 'asks', 'told', 'etcd, ms', 'bytes/agent', 'idle asks/s', 'idle etcd, ms/s';
for my $size (sort { $a <=> $b } @sizes) {
    push @agents, $cli->start(
        {env => {INTERMISSION_HOSTS => ''}}, 'agent', @options, '--id', 'h' . @agents, '--poll', $ENV{POLL} // '2s',
        '--host', 'http://127.0.0.1:' . $nginx[@agents / $EACH]->port . '/h' . @agents,
    ) while @agents < $size;
    alive($size);
    my ($idle, $idle_ms) = (asked(), busy());
    sleep 10;
    ($idle, $idle_ms) = ((asked() - $idle) / 10, (busy() - $idle_ms) / 10);
    my @before = (most('etcd_debugging_mvcc_put_total'), asked(), all('etcd_debugging_mvcc_events_total'), busy(), time);
    my $going = $cli->start('run', @options, '--lease', $ENV{LEASE} // '60s', '--wait', $ENV{WAIT} // '10s', '--', 'sh', '-c', 'date +%s.%N; date +%s.%N');
    my $done = $going->done(90);
    my $ended = time;
    die "$size hosts: $done->{err}" if $done->{exit};
    my @after = (most('etcd_debugging_mvcc_put_total'), asked(), all('etcd_debugging_mvcc_events_total'), busy());
    my ($ran) = split /\n/, $done->{out};
    my ($rss, @counts) = (0, map { $after[$_] - $before[$_] } 0 .. 3);
    $rss += (split ' ', Intermission::slurp('/proc/' . $_->pid . '/statm'))[1] * 4096 for @agents;
    printf "%6d %9.2f %11.2f %8d %8d %10d %9d %12.0f %12d %14d\n", $size, $ran - $before[4], $ended - $ran, @counts, $rss / @agents, $idle, $idle_ms;
}
Intermission::Process::end($_->pid, [KILL => 5]) for @agents;

sub alive {
    my ($size) = @_;
    Intermission::Process::wait_until(sub {
        my $done = $cli->run('fleet', @options, '--json');
        my $look = $done->{exit} == 0 ? JSON::PP::decode_json($done->{out}) : return undef;
        sleep 0.5;
        return (grep { $_->{alive} } @{$look->{hosts}}) == $size || undef;
    }, 120) or die "not $size agents alive";
}

# A counter of etcd: the greatest of all members, since each of them carries out all writes.
sub most {
    my ($name) = @_;
    return (sort { $b <=> $a } counters($name))[0];
}

# A counter of etcd: the sum of its members.
sub all {
    my $sum = 0;
    $sum += $_ for counters(@_);
    return $sum;
}

sub counters {
    my ($name) = @_;
    return map {
        my ($to) = m{//(.*)};
        my ($value) = Intermission::Client->new(to => $to)->request('/metrics')->response(5)->{body} =~ /^\Q$name\E (\S+)$/m;
        $value // 0;
    } $etcd->urls;
}

# How long the processor has worked for etcd's members, in ms.
sub busy {
    my $ticks = 0;
    for my $pid ($etcd->pids) {
        my ($rest) = Intermission::slurp("/proc/$pid/stat") =~ /.*\) (.*)/s;
        $ticks += $_ for (split ' ', $rest)[11, 12];
    }
    return $ticks * 10;
}

# How many questions etcd has had.
sub asked {
    my $sum = 0;
    for my $url ($etcd->urls) {
        my ($to) = $url =~ m{//(.*)};
        my $client = Intermission::Client->new(to => $to);
        my $body = $client->request('/metrics')->response(5)->{body};
        $sum += $_ for $body =~ /^grpc_server_started_total\{.*grpc_service="etcdserverpb\.(?:KV|Lease)".*\} (\S+)$/mg;
    }
    return $sum;
}
