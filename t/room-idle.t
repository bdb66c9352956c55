# Idle clients take no room, because nginx closes them for new clients. The number of held HTTP/2 streams has a limit.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Http2;
use IO::Socket::INET;
use Test::More;
use Time::HiRes ();

# Connects this many clients. Each gets an answer, and keeps its connection open.
sub idle_clients {
    my ($t, $count) = @_;
    return map {
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port) or die "no connection: $!";
        print {$socket} "GET /up?delay=0 HTTP/1.1\r\nHost: x\r\n\r\n";
        sysread $socket, my $answer, 4096;
        $socket;
    } 1 .. $count;
}

for my $case ([64, 30, 1], [64, 30, 20], [256, 168, 60]) {
    my ($connections, $idle, $count) = @$case;
    my $name = "worker_connections $connections, $idle idle clients";
    subtest "idle clients take no room: $name, $count requests" => sub {
        my $t = Intermission->new(workers => 1, events => "worker_connections $connections;", backend => ['--delay', 300]);
        my @idle = idle_clients($t, $idle);
        $t->control('enable');
        my $crowd = $t->crowd('--count', $count, '--expect', '200,503', '--timeout', 60);
        $crowd->wait_event('sent', 30);
        $t->wait_for(sub { my $s = $t->status; $s->{held} + $s->{totals}{rejected} == $count }, 'all requests to be held or rejected');
        is $t->status->{held}, $count, "$name: all $count requests are held";
        my $start = Time::HiRes::time();
        $t->control('disable');
        is_deeply $crowd->done->{statuses}, {200 => $count}, "$name: all are served";
        my $took = Time::HiRes::time() - $start;
        cmp_ok $took, '<', 6, sprintf "$name: all are served in %.2f s", $took;
        is $t->ticket_inversions, 0, "$name: released in order";
        $_->close for @idle;
        $t->clean_ok;
    };
}

subtest 'idle connections are closed for held requests' => sub {
    my $t = Intermission->new(workers => 1, events => 'worker_connections 1024;', backend => ['--delay', 20]);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 900, '--expect', '200,503', '--timeout', 60);
    $crowd->wait_event('sent', 30);
    $t->wait_for(sub { my $s = $t->status; $s->{held} + $s->{totals}{rejected} == 900 }, 'all requests to be held or rejected');
    my $held = $t->status->{held};
    is $held, 640, 'idle connections take no room: five eighths of all are for held requests';
    $t->control('disable');
    is_deeply $crowd->done->{statuses}, {200 => $held, 503 => 900 - $held}, 'all requests that were held beside idle connections are served';
    $t->clean_ok;
};

subtest 'streams of HTTP/2 take no connection, and their number has a limit' => sub {
    my $t = Intermission->new(workers => 1, http2 => 1, events => 'worker_connections 64;');
    my $to = 'unix:' . $t->dir . '/http2.sock';
    $t->control('enable');
    my ($one, $other) = map { Intermission::Http2->new(to => $to) } 1, 2;
    $one->request("/one/$_") for 1 .. 60;
    $t->wait_held(60);
    is $t->status->{totals}{rejected}, 0, 'streams of HTTP/2 up to the limit: none is rejected';
    $other->request("/other/$_") for 1 .. 60;
    $t->wait_for(sub { $t->status->{totals}{rejected} == 56 }, '56 streams to be rejected');
    $t->wait_log(qr/no room: \d+ requests? rejected, the last one because of streams of HTTP\/2/);
    is_deeply [@{$t->status}{qw(held room)}], [64, 0], 'as many streams are held as the worker has connections';
    like $t->control('metrics')->{body}, qr/^intermission_rejected_total\{app="basecamp",reason="streams"\} 56$/m, 'more streams than the limit: the metrics say why they are rejected';
    $t->control('disable');
    $t->wait_backend(64);
    $t->wait_for(sub { $t->status->{state} eq 'open' }, 'the drain to end');
    my @lack = $t->error_log =~ /not enough(?!, reusing)/g;
    is scalar @lack, 0, 'nginx does not run out of connections';
    $_->close for $one, $other;
    $t->clean_ok;
};

done_testing;
