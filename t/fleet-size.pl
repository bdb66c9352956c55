# What scripts/fleet-size runs: a fleet of many agents, all on this machine. Each is a process of its own, and speaks to a control endpoint of
# its own. The endpoints are in a few nginx, each for an app of its own. It measures how long a pause of all takes, and how long the processor works
# for each kind of process meanwhile.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Cli;
use Intermission::Etcd;
use Intermission::Process;
use List::Util 'sum';
use Time::HiRes qw(sleep time);

my @sizes = @ARGV ? @ARGV : (3, 30, 300);
my $largest = (sort { $b <=> $a } @sizes)[0];
$| = 1;
my $etcd = Intermission::Etcd->new;
# How many hosts share an nginx, and a zone with room for their apps: 16m has room for 270.
my $EACH = $ENV{EACH} // 100;
my $ZONE = $ENV{ZONE} // ($EACH > 250 ? '256m' : '16m');
my @nginx;
for (my $from = 0; $from < $largest; $from += $EACH) {
    my $locations = join '', map { "location /h$_/r { set \$app_name h$_; intermission on; proxy_pass http://backend; } location /h$_ { set \$app_name h$_; intermission_control; }\n" } $from .. $from + $EACH - 1;
    push @nginx, Intermission->new(http => "intermission_zone $ZONE;", locations => $locations, workers => 1);
}
my @workers = map { ($_->master, $_->workers) } @nginx;
my ($member) = map {s{.*//}{}r} $etcd->urls;
my $cli = Intermission::Cli->new;
my @options = ('--fleet', 'big', map { ('--etcd', $_) } $etcd->urls);
my @agents;

# How many seconds the fleet is left alone for the measurement without a pause.
my $IDLE = 10;
for my $size (sort { $a <=> $b } @sizes) {
    push @agents, $cli->start(
        {env => {INTERMISSION_HOSTS => ''}}, 'agent', @options, '--id', 'h' . @agents, '--poll', $ENV{POLL} // '2s',
        '--host', 'http://127.0.0.1:' . $nginx[@agents / $EACH]->port . '/h' . @agents,
    ) while @agents < $size;
    alive($size);
    my ($before, $since, @answers) = (counts(), time);
    for (1 .. $IDLE * 5) {
        my $asked = time;
        Intermission::Client->new(to => $member)->request('/v3/kv/range', method => 'POST', body => '{"key":"YQ=="}')->response(30);
        push @answers, time - $asked;
        sleep 0.2;
    }
    @answers = sort { $a <=> $b } @answers;
    print "$size hosts, $EACH for each nginx\n";
    printf "  no pause, in a second: %s\n", told($before, counts(), time - $since);
    printf "  etcd answers after %.0f ms, at most %.0f ms\n", 1000 * $answers[@answers / 2], 1000 * $answers[-1];
    my ($begin, $now) = (counts(), time);
    my $going = $cli->start('run', @options, '--lease', $ENV{LEASE} // '60s', '--wait', $ENV{WAIT} // '10s', '--', 'sh', '-c', 'date +%s.%N; date +%s.%N');
    my $done = $going->done(120);
    my $ended = time;
    my ($ran) = split /\n/, $done->{out};
    if (defined $ran) { printf "  all quiet, and the command ran, after %.2f s; all open again after %.2f s\n", $ran - $now, $ended - $ran }
    print "  the pause ended with $done->{exit}: $done->{err}" if $done->{exit};
    printf "  the pause: %s\n", told($begin, counts(), 1);
    my $rss = 0;
    $rss += (split ' ', Intermission::slurp('/proc/' . $_->pid . '/statm'))[1] * 4096 for @agents;
    printf "  an agent: %.1f MB\n", $rss / @agents / 1e6;
}
Intermission::Process::end($_->pid, [KILL => 5]) for @agents;

# What was counted up to now.
sub counts {
    return {
        writes => most('etcd_debugging_mvcc_put_total'), asks => asked(), told => all('etcd_debugging_mvcc_events_total'),
        etcd => busy($etcd->pids), agents => busy(map { $_->pid } @agents), nginx => busy(@workers), machine => machine(),
    };
}

# What was counted between, in words. The times are the processor's, in ms.
sub told {
    my ($from, $to, $seconds) = @_;
    my %count = map { $_ => ($to->{$_} - $from->{$_}) / $seconds } keys %$to;
    $count{others} = $count{machine} - $count{etcd} - $count{agents} - $count{nginx};
    return sprintf '%d writes, %d asks, %d told; etcd %d ms, agents %d ms, nginx %d ms, all others %d ms', @count{qw(writes asks told etcd agents nginx others)};
}

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

# How long the processor has worked for these processes, in ms.
sub busy {
    my $ns = 0;
    for my $thread (map { glob "/proc/$_/task/*/schedstat" } @_) {
        my ($one) = split ' ', Intermission::slurp($thread) // '';
        $ns += $one // 0;
    }
    return $ns / 1e6;
}

# How long all processors have worked, for whatever, in ms.
sub machine {
    my ($user, $nice, $system, undef, undef, @interrupts) = Intermission::slurp('/proc/stat') =~ /^cpu +(\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)/;
    return 10 * sum($user, $nice, $system, @interrupts);
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
