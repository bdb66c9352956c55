# What scripts/compare runs: an app stops in order, and a new process of it listens some seconds later, under load, behind each of
# several proxies. The table is that of docs/comparison.md.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::App;
use Intermission::Process;
use List::Util qw(max sum0);
use POSIX ();
use Time::HiRes qw(sleep time);

my ($RATE, $SECONDS, $BEFORE) = (300, 20, 3);
# A request is overtaken by one that its client sent this much later, in s. The app reads neighbouring connections as it likes.
my $NEXT_TO = 0.02;

my $retries = "retries 60\n option redispatch\n retry-on conn-failure";
my @proxies = (
    ['nginx alone', nginx => ''],
    ['`intermission_away 60s`', nginx => 'intermission_away 60s;'],
    ['HAProxy with its defaults', haproxy => '', ''],
    ['`retries 60`, `option redispatch`', haproxy => $retries, ''],
    ['the same and `maxconn 20`', haproxy => $retries, 'maxconn 20'],
    ['the same and `check inter 500`', haproxy => $retries, 'maxconn 20 check inter 500 fall 2 rise 1'],
);
my @downs = @ARGV ? @ARGV : (3, 10);
if (grep { !/^\d{1,2}$/ || $_ < 1 || $_ + $BEFORE >= $SECONDS } @downs) {
    print STDERR "usage: scripts/compare [seconds from 1 to @{[$SECONDS - $BEFORE - 1]}] …\n";
    exit 2;
}
$| = 1;
print qx(/usr/sbin/nginx -v 2>&1), (split /\n/, qx(haproxy -v))[0], "\n\n";
print "| | app down | method, body | failed | twice | overtaken | by at most | longest answer | CPU |\n|", '---|' x 9, "\n";
for my $down (@downs) {
    for my $load (['GET', 0], ['POST', 5_000], ['POST', 100_000]) {
        print '| ', join(' | ', $_->[0], "$down s", "$load->[0], $load->[1] B", measured($_, $down, @$load)), " |\n" for @proxies;
    }
}

sub measured {
    my ($proxy, $down, $method, $body) = @_;
    my ($t, $app, $to, $pid) = started($proxy);
    $app->up;
    my $spent = -cpu($pid);
    my $count = $RATE * $SECONDS;
    my $clients = $t->crowd('--to', $to, '--count', $count, '--rate', $RATE, '--timeout', 90, '--path', '/r/{i}', '--log', $t->dir . '/clients.log',
        '--method', $method, $body ? ('--body', $body) : ());
    sleep $BEFORE;
    $app->stop or die "the app does not stop\n";
    sleep $down;
    my $back = time;
    $app->up;
    my $done = $clients->done(120);
    $spent += cpu($pid);
    my @lines = map { [split /\t/] } split /\n/, Intermission::slurp($t->dir . '/clients.log');
    my %sent = map { ("/r/$_->[0]" => $_->[1] / 1e6) } grep { $_->[1] ne '-' } @lines;
    my ($latest, @overtaken) = 0;
    for my $at (map { $sent{$_} // () } $app->order) {
        push @overtaken, $latest - $at if $at < $latest - $NEXT_TO && $at < $back;
        $latest = max($latest, $at);
    }
    my @seconds = map { $_->[3] eq '200' ? ($_->[2] - $_->[1]) / 1e6 : () } @lines;
    Intermission::Process::end($pid, [TERM => 5], [KILL => 5]) if $proxy->[1] eq 'haproxy';
    return $count - @seconds, scalar(grep { $_ > 1 } values %{$app->came}), scalar @overtaken,
        map({ sprintf '%.2f s', $_ } max(0, @overtaken), max(0, @seconds), $spent);
}

# Starts a proxy. Returns the test's nginx, the app, the proxy's address and its pid.
sub started {
    my (undef, $kind, @settings) = @{$_[0]};
    my $port = Intermission::App::free_port();
    my $place = $kind eq 'nginx' ? $settings[0] : '';
    my $t = Intermission->new(workers => 2, http => "client_max_body_size 1m; upstream app { server 127.0.0.1:$port; }",
        locations => "location / { intermission on; $place proxy_pass http://app; } location /_intermission { intermission_control; }");
    my $app = Intermission::App->new($t, port => $port);
    return ($t, $app, '127.0.0.1:' . $t->port, $t->master) if $kind eq 'nginx';
    my ($front, $file) = (Intermission::App::free_port(), $t->dir . '/haproxy.cfg');
    Intermission::write_file($file, <<"HAPROXY");
global
 nbthread 2
 maxconn 8000
defaults
 mode http
 timeout client 60s
 timeout server 60s
 timeout connect 5s
 timeout queue 60s
 option http-server-close
 $settings[0]
frontend front
 bind 127.0.0.1:$front backlog 4096
 default_backend back
backend back
 server app 127.0.0.1:$port $settings[1]
HAPROXY
    my $pid = Intermission::Process::start('haproxy', ['haproxy', '-db', '-f', $file]);
    $t->wait_for(sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$front") }, 'HAProxy to listen');
    return ($t, $app, "127.0.0.1:$front", $pid);
}

# The seconds of CPU that a process and its children have used.
sub cpu {
    my ($pid) = @_;
    my $ticks = sum0 map { (split ' ', Intermission::slurp("/proc/$_/stat") =~ s/.*\)//sr)[11, 12] } $pid, Intermission::Process::children($pid);
    return $ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}
