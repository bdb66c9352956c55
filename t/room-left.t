# `room` says at any time how many more requests can be held, and it is right. And what ran out is said.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use JSON::PP;
use Test::More;

# The value of one series of the metrics.
sub metric {
    my ($t, $series) = @_;
    my ($value) = $t->control('metrics')->{body} =~ /^intermission_\Q$series\E (\S+)$/m;
    return $value;
}

sub rejected_for { return metric($_[0], "rejected_total{app=\"basecamp\",reason=\"$_[1]\"}") }

# Sends this many requests at once. Returns the crowd when each request is held or rejected.
sub come {
    my ($t, $count) = @_;
    my $before = $t->status->{totals};
    my $crowd = $t->crowd('--count', $count, '--connecting', 64, '--expect', '200,429,503', '--timeout', 60);
    $crowd->wait_event('sent', 30);
    $t->wait_for(sub {
        my $now = $t->status->{totals};
        return $now->{held} + $now->{rejected} == $before->{held} + $before->{rejected} + $count;
    }, 'all requests to be held or rejected', 30);
    return $crowd;
}

my @open;
my $t = Intermission->new(workers => 2, events => 'worker_connections 768;', backend => ['--delay', 20]);
subtest 'as many requests are held as there is room, and no more' => sub {
    is $t->status->{room}, 960, "the status's room is five eighths of the connections of both workers";
    is metric($t, 'room{app="basecamp"}'), 960, 'the metrics have the same room as the status';
    cmp_ok $t->status->{slots}{total}, '>', 10_000, 'the zone has more slots than the room needs';
    is decode_json($t->control('enable?format=json')->{body})->{room}, 960, 'enable tells the room';
    my $crowd = come($t, 1400);
    my $status = $t->status;
    my ($held, $rejected) = ($status->{held}, $status->{totals}{rejected});
    is $held + $status->{room}, 960, "$held held, and the rest of the room is left";
    is $held + $rejected, 1400, "$rejected rejected, and all others held";
    is rejected_for($t, 'connections'), $rejected, 'all rejected requests are rejected for lack of connections';
    is rejected_for($t, $_), 0, "no request is rejected for lack of $_" for qw(streams max_held zone workers);
    # Requests are not spread evenly: a full worker rejects although the other one has room.
    push @open, come($t, 200) while $t->status->{room} > 0 && @open < 20;
    is_deeply [@{$t->status}{qw(room held)}], [0, 960], 'the room is 0 when all of it is used';
    push @open, come($t, 50);
    is $t->status->{held}, 960, 'no more requests are held when the room is 0';
    $t->control('disable');
    is $_->done->{failed}, 0, 'a full nginx answers 200 or 503' for $crowd, @open;
    $t->wait_for(sub { $t->status->{room} == 960 }, 'the room to be 960 again');
    is decode_json($t->control('enable?format=json')->{body})->{room}, 960, 'enable tells the room without a status before';
    $t->control('disable');
    $t->clean_ok;
};

subtest 'intermission_max_held leaves less room' => sub {
    my $t = Intermission->new(workers => 2, locations => <<'END');
set $app_name basecamp;
intermission_max_held 10;
intermission_overflow 429;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
END
    $t->control('enable');
    my $crowd = come($t, 4);
    is $t->status->{room}, 6, 'intermission_max_held 10 with four held: room for six';
    my $others = come($t, 8);
    is $t->status->{room}, 0, 'intermission_max_held 10 with ten held: no room';
    is_deeply [map { rejected_for($t, $_) } qw(max_held connections)], [2, 0], 'intermission_max_held 10: two requests are rejected for lack of it';
    $t->control('disable');
    $_->done for $crowd, $others;
    $t->clean_ok;
};

subtest 'connections in use leave less room, in an open app too' => sub {
    my $t = Intermission->new(workers => 1, events => 'worker_connections 64;');
    is $t->status->{room}, 40, 'an open app without connections in use has room for 40';
    my @busy = map { $t->send("/busy/$_?delay=3000") } 1 .. 18;
    $t->wait_for(sub { $t->status->{in_flight} == 18 }, '18 requests in flight');
    my $room = $t->status->{room};
    cmp_ok $room, '<', 10, "open connections leave less room: $room";
    $t->control('enable');
    my $crowd = come($t, 12);
    my $held = $t->status->{held};
    cmp_ok abs($held - $room), '<=', 1, "as many are held as there was room for: $held of 12";
    is $t->status->{room}, 0, 'when the room is used the status says 0';
    $t->control('disable');
    $_->response for @busy;
    $crowd->done;
    $t->clean_ok;
};

subtest 'old and dead workers have no room' => sub {
    my $t = Intermission->new(workers => 2, events => 'worker_connections 256;');
    $t->control('enable');
    my $crowd = come($t, 50);
    is $t->status->{room}, 270, 'the room is that of two workers without the 50 held by old ones';
    my @old = $t->workers;
    $t->reload;
    $t->wait_for(sub { $t->status->{room} == 320 }, 'the room to be that of the new workers');
    is $t->status->{held}, 50, 'old workers go on holding, but have no room';
    my %old = map { $_ => 1 } @old;
    my ($new) = grep { !$old{$_} } $t->workers;
    $t->kill_worker($new);
    $t->wait_for(sub { $t->status->{room} == 320 }, 'the room to be that of the workers after one was replaced');
    $t->control('disable');
    is_deeply $crowd->done->{statuses}, {200 => 50}, 'requests of old workers are answered';
    $t->clean_ok(killed_process => 1);
};

done_testing;
