package Intermission::Bench::Peers;

# What others do with as many requests that have to wait: how long the release takes, in which order they come to the app, how many
# fail, and what they cost while they wait. Also what each passes on without a pause.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::Bench;
use Intermission::Bench::Held qw(burst);
use Intermission::Bench::Machine qw(memory per on_cpu);
use Intermission::Bench::Peer;
use Intermission::Bench::Rates qw(rates wrk one_worker);
use List::Util qw(max sum0);
use Time::HiRes qw(sleep time);

# New requests per second, and how much later another one was sent that came to the app before it, in s: neighbours do not count.
my ($RATE, $NEXT_TO) = (2000, 0.02);
my $HOLD_SECONDS = 2;
# In ms.
my $LONG = 20_000;

# @numbers: how many to hold.
sub run {
    my (@numbers) = @_;
    @numbers = trial([50], [1000, 4000])->@* if !@numbers;
    my $plain = Intermission->new(
        workers => 2, with_module => 0, listen => '127.0.0.1:@PORT@ backlog=8192 reuseport', events => "worker_connections 16384;\n");
    my $fast = Intermission->new(
        one_worker(), main => '', with_module => 0, http => 'keepalive_requests 10000000;', locations => 'location / { access_log off; return 200 ok; }');
    my @peers = grep { present($_) } Intermission::Bench::Peer::names();
    for my $number (@numbers) {
        alone($plain, $number);
        held($_, $plain, '127.0.0.1:' . $fast->port, $number) for @peers;
    }
    passed($plain, $fast, @peers);
    finish('nginx alone', $plain, qr/upstream/);
    $fast->stop;
}

sub present {
    my ($name) = @_;
    my $lacks = Intermission::Bench::Peer::lacks($name) || return 1;
    Intermission::Bench::remark("without $name: there is no $lacks");
    return 0;
}

# The same requests that need not wait, all at once.
sub alone {
    my ($plain, $number) = @_;
    my @bursts = map { burst($plain, $number) } 1 .. trial(1, 3);
    heading(grouped($number) . ' held, 2 workers or threads');
    my $last = row('nginx alone, nothing held: from go to the last answer, ms', 0, map { $_->{last} } @bursts);
    none(say_of('    answers other than 200', sum0 map { $_->{bad} } @bursts));
    point('release', 'nginx alone', $number, $last);
}

sub held {
    my ($name, $plain, $fast, $number) = @_;
    my $limited = $name eq 'limit_req';
    my @runs;
    # One that takes long is not repeated.
    while (@runs < trial(1, $limited ? 1 : 3) && !grep { $_->{last} > $LONG } @runs) {
        my $peer = Intermission::Bench::Peer::start($name, app => $plain->dir . '/backend.sock', fast => $fast, number => $number, seconds => trial(2, 10));
        push @runs, once($peer, $plain, $number);
        $peer->{end}->();
    }
    my $last = row("$name: " . ($limited ? 'all have been sent, until the last answer, ms' : 'from resume to the last answer, ms'), 0, map { $_->{last} } @runs);
    my $failed = say_of('    requests that failed', sum0 map { $_->{failed} } @runs);
    none($failed) if $name eq 'intermission';
    Intermission::Bench::remark("$name: the process died in the pause, or after it") if grep { $_->{died} } @runs;
    my $overtaken = say_of('    came to the app after one that was sent 20 ms later', sum0 map { $_->{overtaken} } @runs);
    my $displaced = row('    places from that in which it was sent, the worst of a run', 0, map { $_->{displaced} } @runs);
    my $cpu = row('    CPU while they wait, ms per s', 2, map { $_->{cpu} } @runs);
    my $memory = row('    private memory per request that waits, kB', 1, map { $_->{memory} } @runs);
    point('release', $name, $number, $last) if !$failed;
    point('cpu', $name, $number, $cpu);
    point('memory', $name, $number, $memory);
    point('failed', $name, $number, $failed);
    point('overtaken', $name, $number, $overtaken) if !$failed;
    point('order', $name, $number, $displaced) if !$failed;
}

# One pause. Clients come one after the other, so that it is known in which order they were sent.
sub once {
    my ($peer, $plain, $number) = @_;
    my @warm = map { Intermission::Client->new(to => $peer->{address})->request('/warm')->response->{status} } 1 .. 20;
    die "$peer->{name} answers @warm\n" if grep { $_ != 200 } @warm;
    my $seen = $plain->backend_log;
    $peer->{pause}->();
    my @pids = $peer->{pids}->();
    my $before = memory(@pids);
    my $log = $plain->dir . '/clients.log';
    my $clients = $plain->crowd('--to', $peer->{address}, '--count', $number, '--rate', $RATE, '--timeout', 240, '--log', $log, '--connecting', $number);
    $clients->wait_event('sent', $number / $RATE + 10);
    sleep trial(0.2, 1);
    my $cpu = on_cpu(@pids);
    my $began = time;
    sleep trial(0.2, $HOLD_SECONDS);
    $cpu = (on_cpu(@pids) - $cpu) / 1e6 / (time - $began);
    my $memory = per($number, $before, memory(@pids));
    my $resumed = time;
    $peer->{resume}->() if $peer->{resume};
    my $done = $clients->done(260);
    my %sent = map { my @of = split /\t/; $of[1] eq '-' ? () : ("/r/$of[0]" => $of[1] / 1e6) } split /\n/, Intermission::slurp($log);
    my @came = grep { defined $sent{$_} } map { $_->{target} } grep { $_->{seq} > $seen } $plain->backend_log;
    return {
        last => $done->{last_answer_us} ? 1000 * ($done->{last_answer_us} / 1e6 - $resumed) : 0, died => $peer->{is_gone} && $peer->{is_gone}->(), failed => $number - ($done->{statuses}{200} // 0),
        cpu => $cpu, memory => $memory->{private}, order(\%sent, @came),
    };
}

# overtaken: how many came after one that was sent later, as far as that counts. displaced: by how many places at most.
sub order {
    my ($sent, @came) = @_;
    my ($latest, $overtaken, $displaced) = (0, 0, 0);
    my @in_order = sort { $sent->{$a} <=> $sent->{$b} } @came;
    my %place = map { $in_order[$_] => $_ } 0 .. $#in_order;
    for my $place (0 .. $#came) {
        my $at = $sent->{$came[$place]};
        $overtaken++ if $at < $latest - $NEXT_TO;
        $latest = max($latest, $at);
        $displaced = max($displaced, abs $place - $place{$came[$place]});
    }
    return (overtaken => $overtaken, displaced => $displaced);
}

# What each passes on to an app that answers at once, on kept connections, with one worker or thread.
sub passed {
    my ($plain, $fast, @names) = @_;
    my $pairs = trial(1, 7);
    my @peers = map {
        Intermission::Bench::Peer::start($_, alone => 1, app => $plain->dir . '/backend.sock', fast => '127.0.0.1:' . $fast->port)
    } 'nginx alone', @names;
    heading("No pause, proxied on kept connections, one worker or thread, $pairs runs in turn");
    my @those = map { my $peer = $_; {name => $peer->{name}, run => sub { wrk($peer, '/fast') }} } @peers;
    rates($pairs, undef, @those);
    point('passed', $_->{name}, 1, 1e6 / Intermission::Bench::median(@{$_->{cpu}})) for @those;
    $_->{end}->() for @peers;
}

1;
