package Intermission::Bench::Holding;

# What a held request costs while it is held: CPU, memory of the workers, and shared memory; compared with one that waits for its app
# behind nginx alone.

use strict;
use utf8;
use warnings;
use File::Temp ();
use Intermission;
use Intermission::Bench;
use Intermission::Bench::Held qw(server plain_server clients);
use Intermission::Bench::Machine qw(memory per on_cpu ticks slurp);
use Intermission::Process;
use List::Util qw(sum0);
use Time::HiRes qw(sleep);

# Long enough for all to be measured while the app does not answer, in ms.
my $DELAY = 15_000;
my $LIMIT = 9.7;

sub run {
    my ($number) = @_;
    $number //= trial(200, 16_000);
    http1($number);
    http2(trial(100, 4000));
    tls(trial(200, 2000));
}

sub http1 {
    my ($number) = @_;
    my $seconds = trial(1, 20);
    my $t = server($number);
    my $plain = plain_server($number, $t);
    heading(grouped($number) . " held, 2 workers");
    $t->control('enable');
    my ($before, $zone) = (memory($t->workers), zone($t));
    my $clients = clients($t, $number);
    $clients->wait_event('sent');
    $t->wait_held($number, seconds => 60);
    sleep trial(0.1, 1);
    my @workers = $t->workers;
    my ($ticks, $on_cpu) = (ticks(@workers), on_cpu(@workers));
    sleep $seconds;
    none(say_of("CPU of the workers in $seconds s, clock ticks", ticks(@workers) - $ticks));
    say_of('    the same as the scheduler counts it, ms', (on_cpu(@workers) - $on_cpu) / 1e6, 3);
    my $held = per($number, $before, memory(@workers));
    at_most($LIMIT, say_of('private memory of the workers per held request, kB', $held->{private}, 2));
    # Half a page at each end of the table may not be theirs.
    at_most(sprintf('%.0f', 128 + 4096 / $number), say_of('shared memory per held request, bytes', 1024 * (zone($t) - $zone) / $number, 0));
    $t->control('disable');
    my $answered = $clients->done->{statuses}{200} // 0;
    my ($alone, $others) = waiting($plain, $number, sub {
        my $clients = clients($plain, $number, '--path', "/r/{i}?delay=$DELAY");
        $clients->wait_event('sent');
        return $clients;
    });
    compared([$held->{private}], [$alone]);
    none(say_of('held requests that were not answered with 200', $number - $answered));
    $others->kill;
    finish('nginx alone', $plain);
    finish('intermission', $t);
}

# In kB, of all workers.
sub zone {
    my ($t) = @_;
    return sum0 map { map { /^Pss:\s+(\d+)/m ? $1 : 0 } grep { m{\A\S+ rw-s .*/dev/zero} } split /^(?=[0-9a-f]+-[0-9a-f]+ )/m, slurp("/proc/$_/smaps") }
        $t->workers;
}

# The memory that each of these requests takes. $start: sends them, and returns what they are.
sub waiting {
    my ($t, $number, $start) = @_;
    my $before = memory($t->workers);
    my $clients = $start->();
    sleep trial(0.5, 2);
    return (per($number, $before, memory($t->workers))->{private}, $clients);
}

# Held, and behind nginx alone while they wait for the app, in as many runs: the same, within the accuracy of the measurement, in kB.
sub compared {
    my ($held, $alone, $accuracy) = @_;
    my $its_own = row('behind nginx alone, waiting for the app: private memory each, kB', 2, @$alone);
    my $its = row('held: private memory each, kB', 2, @$held);
    return at_most(trial(1, $accuracy // 0.3), say_of('    more than behind nginx alone', $its - $its_own, 2));
}

sub http2 {
    my ($number) = @_;
    my ($plain, $t) = map { Intermission->new(workers => 2, http2 => 1, with_module => $_) } 0, 1;
    my @options = ('--count', $number, '--connections', $number / 100, '--timeout', 60);
    $_->crowd_http2('--count', 200, '--connections', 10)->done for $plain, $t;
    heading(grouped($number) . ' HTTP/2 streams held, 100 a connection, 2 workers');
    my ($alone, $others) = waiting($plain, $number, sub { $plain->crowd_http2(@options, '--path', "/r/{i}?delay=$DELAY") });
    $t->control('enable');
    my ($held, $clients) = waiting($t, $number, sub { $t->crowd_http2(@options) });
    $t->wait_held($number);
    compared([$held], [$alone]);
    $t->control('disable');
    none(say_of('held requests that were not answered with 200', $number - ($clients->done(120)->{statuses}{200} // 0)));
    $others->kill;
    finish('intermission', $t);
    finish('nginx alone', $plain);
}

# The clients are wrk's: they leave when all is measured.
sub tls {
    my ($number) = @_;
    my $runs = trial(1, 3);
    heading(grouped($number) . " held on TLS connections, 2 workers, $runs runs");
    my (@held, @alone);
    for (1 .. $runs) {
        my ($held, $alone) = once_tls($number);
        push @held, $held;
        push @alone, $alone;
    }
    # What is left in the heap depends on how many handshakes nginx had at a time.
    compared(\@held, \@alone, 2);
}

sub once_tls {
    my ($number) = @_;
    my $keys = File::Temp->newdir;
    chmod 0755, $keys;
    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout $keys/key -out $keys/pem 2>/dev/null") == 0
        or die "openssl req\n";
    my $locations = 'location / { %s proxy_pass http://backend; } %s';
    my %conf = (workers => 2, listen => '127.0.0.1:@PORT@ backlog=4096 ssl', server => "ssl_certificate $keys/pem; ssl_certificate_key $keys/key; listen unix:\@DIR\@/plain.sock;");
    my $plain = Intermission->new(%conf, with_module => 0, locations => sprintf $locations, '', '');
    my $t = Intermission->new(%conf, locations => sprintf $locations, 'intermission on;', 'location /_intermission { intermission_control; }');
    my $wrk = sub {
        my ($of, $count, $path, $seconds) = @_;
        return Intermission::Process::start('wrk', ['wrk', '-t1', "-c$count", "-d$seconds", '--timeout', 60, 'https://127.0.0.1:' . $of->port . $path]);
    };
    for my $of ($plain, $t) {
        my $warm = $wrk->($of, 64, '/warm', 1);
        Intermission::Process::wait_until(sub { defined Intermission::Process::reaped($warm) }, 10);
    }
    my ($alone, $others) = waiting($plain, $number, sub { my $pid = $wrk->($plain, $number, "/r?delay=$DELAY", 30); sleep trial(1, 4); $pid });
    my $control = 'unix:' . $t->dir . '/plain.sock';
    $t->get('/_intermission/enable', to => $control);
    my ($held, $clients) = waiting($t, $number, sub {
        my $pid = $wrk->($t, $number, '/r', 30);
        $t->wait_for(sub { $t->get('/_intermission/status?format=json', to => $control)->{body} =~ /"held":$number\b/ }, "$number TLS requests to be held", 20);
        $pid;
    });
    Intermission::Process::end($_, [KILL => 5]) for $others, $clients;
    $t->wait_for(sub { $t->get('/_intermission/status?format=json', to => $control)->{body} =~ /"held":0\b/ }, 'the clients to be gone');
    finish('intermission', $t);
    finish('nginx alone', $plain);
    return ($held, $alone);
}

1;
