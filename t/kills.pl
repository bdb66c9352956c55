# What scripts/kills runs: an app that is killed by kill -9 and started again every 3 s, under load. Then it checks that no request came to
# the app twice, and that each was answered with 200, unless it was sent to a process that died. The exit status is 0 if nothing went wrong.
# With an odd seed the app listens on TCP, with an even one on a Unix socket.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::App;
use Intermission::Away ();
use Intermission::Process;
use List::Util qw(max sum0);
use Time::HiRes qw(sleep time);

# New requests per second: half of them GET, half POST.
my $RATE = 300;
my $EVERY = 3;
# For how long the app is down, in seconds.
my ($SHORTEST, $LONGEST) = (0.1, 1);
# The head of the line is tried every second, and a busy machine may be late.
my $MOST_WAIT = $LONGEST + 1 + 1;
# By how many seconds nginx may see later that a process died, and by how many its clock is behind.
my ($SLACK, $BEHIND) = (0.5, 0.01);
my $MOST_SHOWN = 10;
# What nginx logs of a request that it has sent, if its server dies; and of one that it cannot send.
my $BROKEN = qr/upstream prematurely closed connection|recv\(\) failed/;
my $UNSENT = qr/(?:send|writev|sendfile)\(\) failed/;

my $seconds = $ARGV[0] // 300;
my $seed = $ENV{SEED} // (time ^ $$ << 8) & 0xffffff;
if (@ARGV > 1 || "$seconds $seed" !~ /^[1-9]\d{0,4} \d{1,9}$/ || $seconds < $EVERY) {
    print STDERR "usage: [SEED=number] scripts/kills [seconds, at least $EVERY]\n";
    exit 2;
}
srand $seed;
$| = 1;
my $version = qx(@{[$ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx']} -v 2>&1);
my $port = $seed % 2 ? Intermission::App::free_port() : undef;
print "kills for $seconds s, SEED=$seed, ", ($port ? 'TCP' : 'a Unix socket'), ", $version";
local $SIG{ALRM} = sub { die "kills itself hangs\n" };
alarm 2 * $seconds + 120;

my @violations;
my $t = Intermission->new(
    workers => 4,
    http => 'upstream app { server ' . ($port ? "127.0.0.1:$port" : 'unix:@DIR@/app.sock') . '; }'
        . 'log_format kills \'$msec $status $request_uri $upstream_status $upstream_bytes_sent\';',
    server => 'access_log @DIR@/kills.access kills;',
    locations => <<'CONF',
location /_intermission { intermission_control; }
location / { intermission on; intermission_away 30s; proxy_pass http://app; }
CONF
);
chmod 0777, $t->dir;
my $app = Intermission::App->new($t, $port ? (port => $port) : ())->up;
my @kills = load();
my ($clients, $access, $came) = (clients(), access(), $app->came);
my %broken = map { /$BROKEN.* request: "\S+ (\S+) / ? ($1 => $_) : () } split /\n/, $t->error_log;
my %count;
judge($_) for sort keys %$clients;
nginx_at_rest();
report();
verdict();

# ---- the run

# Sends requests for so long, and kills the app. Returns when: [before the kill, when the process was gone].
sub load {
    my ($count, @kills) = ($seconds * $RATE / 2);
    my @common = ('--count', $count, '--rate', $RATE / 2, '--timeout', $seconds + 60);
    # The app takes some time for each, so that there are some that it is at when it dies.
    my @crowds = (
        $t->crowd(@common, '--path', '/get/{i}?delay=2', '--log', $t->dir . '/get.log'),
        $t->crowd(@common, '--path', '/post/{i}?delay=6', '--log', $t->dir . '/post.log', '--method', 'POST', '--body', 5000),
    );
    my $began = time;
    for my $round (1 .. int($seconds / $EVERY)) {
        my $down = $SHORTEST + rand($LONGEST - $SHORTEST);
        sleep max(0.1, $began + $round * $EVERY - $down - time);
        my $before = time;
        $app->down;
        push @kills, [$before, time];
        sleep $down;
        $app->up;
    }
    $_->done($seconds + 90) for @crowds;
    return @kills;
}

# By target: {word, wait}. The word is a status, or how it ended otherwise; the wait is in seconds.
sub clients {
    my %clients;
    for my $kind (qw(get post)) {
        my $delay = $kind eq 'get' ? 2 : 6;
        for (split /\n/, Intermission::slurp($t->dir . "/$kind.log")) {
            my ($id, $sent, $ended, $word) = split /\t/;
            $clients{"/$kind/$id?delay=$delay"} = {word => $word, wait => $sent eq '-' ? 0 : ($ended - $sent) / 1e6};
        }
    }
    return \%clients;
}

# By target: {at, status, tries => statuses of the app's servers, sent => bytes sent to one of them, lines}.
sub access {
    my %access;
    for (split /\n/, Intermission::slurp($t->dir . '/kills.access')) {
        my ($at, $status, $target, $rest) = split ' ', $_, 4;
        my @words = map { /^\d+$/ ? $_ : () } split /[ ,:]+/, $rest;
        my @sent = splice @words, @words / 2;
        $access{$target} = {at => $at, status => $status, tries => \@words, sent => sum0(@sent), lines => 1 + ($access{$target}{lines} // 0)};
    }
    return \%access;
}

# ---- the judgement

sub judge {
    my ($target) = @_;
    my ($client, $seen, $times) = ($clients->{$target}, $access->{$target}, $came->{$target} // 0);
    my $wrong = sub { push @violations, "$target: $_[0]" };
    $count{$client->{word}}++;
    $count{'taken back'}++ if $seen && @{$seen->{tries}} > 1;
    $wrong->("came to the app $times times") if $times > 1;
    return $wrong->('has no line in the access log') if !$seen;
    $wrong->("has $seen->{lines} lines in the access log") if $seen->{lines} > 1;
    if ($client->{word} eq '200') {
        $wrong->('answered with 200, but it did not come to the app') if !$times;
        $wrong->("was sent, and once more: $broken{$target}") if $broken{$target};
        $wrong->(sprintf 'waited for %.3f s', $client->{wait}) if $client->{wait} > $MOST_WAIT;
        $count{longest} = max($count{longest} // 0, $client->{wait});
        return;
    }
    return $wrong->("answered with $client->{word}") if $client->{word} ne '502';
    return $wrong->('answered with 502, and it was not sent') if !$seen->{sent};
    return $wrong->("answered with 502 at $seen->{at}, when no process died")
        if !grep { $seen->{at} >= $_->[0] - $BEHIND && $seen->{at} <= $_->[1] + $SLACK } @kills;
    $count{$times ? 'at the app' : 'sent'}++;
}

sub nginx_at_rest {
    my $rests = Intermission::Process::wait_until(sub {
        my $status = $t->status;
        return $status->{state} eq 'open' && !$status->{held} && !$status->{slots}{used};
    }, 5);
    push @violations, 'nginx does not rest when all is over' if !$rests;
    $t->end_nginx or push @violations, 'nginx does not quit at the end';
    my @expected = ($Intermission::Away::gone[0], $BROKEN, $UNSENT);
    for my $line (grep { /\[(?:error|crit|alert|emerg)\]/ } split /\n/, $t->error_log) {
        push @violations, "error log: $line" if !grep { $line =~ $_ } @expected;
    }
}

sub report {
    my $all = keys %$clients;
    push @violations, "$all requests have ended" if $all != $seconds * $RATE;
    printf "%d requests, %d kills; answered with 200: %d, with 502: %d\n", $all, scalar @kills, map { $count{$_} // 0 } 200, 502;
    my @rows = (['the app was at it when it was killed' => 'at the app'], ['sent, and not read by the app' => 'sent']);
    printf "  502: %-60s %6d\n", $_->[0], $count{$_->[1]} // 0 for @rows;
    printf "  %-65s %6d\n", 'not reached the app at first, and held', $count{'taken back'} // 0;
    printf "longest wait of a request answered with 200: %.3f s; the app was down for up to %g s\n", $count{longest} // 0, $LONGEST;
}

sub verdict {
    if (!@violations) {
        print "kills: nothing went wrong\n";
        exit 0;
    }
    $File::Temp::KEEP_ALL = 1;
    print "VIOLATION: $_\n" for @violations[0 .. ($#violations < $MOST_SHOWN ? $#violations : $MOST_SHOWN)];
    print 'kills: ', scalar @violations, " violations; SEED=$seed scripts/kills $seconds; all of it is in ", $t->dir, "\n";
    exit 1;
}
