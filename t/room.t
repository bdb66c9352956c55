# Held requests never use up the connections that control, health checks and the release need.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;
use Time::HiRes ();

subtest 'a full nginx answers control and health checks' => sub {
    my $t = Intermission->new(workers => 1, events => 'worker_connections 512;', backend => ['--delay', 20]);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 1500, '--connecting', 64, '--expect', '200,503', '--timeout', 60);
    my $quick = sub {
        my ($name, $answer) = @_;
        my $start = Time::HiRes::time();
        is $answer->()->{status}, 200, "$name is answered while nginx is full";
        cmp_ok Time::HiRes::time() - $start, '<', 10, sprintf "$name is answered soon while nginx is full: in %.3f s", Time::HiRes::time() - $start;
    };
    $t->wait_for(sub { $t->status->{totals}{rejected} > 0 }, 'nginx to reject a request, because it is full', 20);
    $quick->('status', sub { $t->control('status') });
    $quick->('/up',    sub { $t->get('/up') });
    $crowd->wait_event('sent', 30);
    my $held = $t->status->{held};
    $t->wait_log(qr/no room: \d+ requests? rejected, the last one because of worker_connections/);
    cmp_ok $held, '>=', 310, "a full nginx holds five eighths of 512: $held";
    $quick->('disable', sub { $t->control('disable') });
    my $done = $crowd->done;
    is $done->{failed}, 0, 'a full nginx answers every request with 200 or 503';
    cmp_ok $done->{statuses}{200}, '>=', $held, 'a full nginx serves all held requests';
    is $done->{statuses}{200} + $done->{statuses}{503}, 1500, 'a full nginx answers all 1500 requests';
    is $t->ticket_inversions, 0, 'a full nginx releases in order';
    $t->clean_ok;
};

for my $connections (64, 256, 1024) {
    subtest "a full nginx answers 200 or 503, in order, and keeps connections free: worker_connections $connections" => sub {
        my $t = Intermission->new(workers => 2, events => "worker_connections $connections;", backend => ['--delay', 50]);
        $t->control('enable');
        my $crowd = $t->crowd(
            '--count', 3 * $connections, '--connecting', $connections / 8, '--expect', '200,503', '--timeout', 60);
        $crowd->wait_event('sent', 30);
        $t->wait_for(sub { my $s = $t->status; $s->{held} + $s->{totals}{rejected} == 3 * $connections }, 'all requests to be held or rejected');
        cmp_ok $t->status->{totals}{rejected}, '>', 0, "worker_connections $connections: nginx is full";
        $t->control('disable');
        my $done = $crowd->done;
        is $done->{failed}, 0, "worker_connections $connections: every answer is 200 or 503";
        is $t->ticket_inversions, 0, "worker_connections $connections: released in order";
        my @lack = $t->error_log =~ /not enough(?!, reusing)/g;
        is scalar @lack, 0, "worker_connections $connections: nginx does not run out of connections";
        $t->clean_ok;
    };
}

subtest 'intermission_max_held bounds what is held' => sub {
    my $t = Intermission->new(workers => 4, locations => <<'END');
set $app_name basecamp;
intermission_max_held 100;
intermission_overflow 429;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
END
    $t->control('enable?for=60s');
    my $crowd = $t->crowd('--count', 300, '--expect', '200,429');
    $crowd->wait_event('sent');
    $t->wait_for(sub { $t->status->{totals}{rejected} == 200 }, '200 requests to be rejected');
    is $t->status->{held}, 100, 'intermission_max_held 100: 100 are held over all workers';
    $t->wait_log(qr/no room: \d+ requests? rejected, the last one because of intermission_max_held/);
    my $over = $t->get('/over');
    is $over->{status}, 429, 'intermission_max_held 100: one more is answered with intermission_overflow';
    is $over->{headers}{'retry-after'}, undef, 'intermission_overflow 429 has no Retry-After';
    $t->control('disable');
    my $done = $crowd->done;
    is_deeply $done->{statuses}, {200 => 100, 429 => 200}, 'intermission_max_held 100: the held are served, the others get 429';
    $t->clean_ok;
};

done_testing;
