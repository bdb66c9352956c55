# Tunnels: a CONNECT is held like any other request, and its tunnel counts as an upgraded connection.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use IO::Select;
use Test::More;
use Time::HiRes 'time';

plan skip_all => 'this nginx makes no tunnels' if !Intermission::knows('tunnel_pass', 'location /t { tunnel_pass unix:/x; }');

my $t = Intermission->new(workers => 2, locations => <<'END_OF_CONF');
set $app_name basecamp;
location / { intermission on; intermission_expired 504; tunnel_pass unix:@DIR@/backend.sock; }
location /_intermission { intermission_control; }
END_OF_CONF

sub connecting {
    my ($t, @lines) = @_;
    my $head = join "\r\n", 'CONNECT app.test:80 HTTP/1.1', 'Host: app.test:80', @lines;
    return $t->send('', raw => "$head\r\n\r\n");
}

# Reads from the client's socket until the pattern matches. Returns all that was read.
sub read_until {
    my ($client, $pattern) = @_;
    my ($input, $end) = ('', time + 10);
    until ($input =~ $pattern) {
        my $left = $end - time;
        last if $left <= 0 || !IO::Select->new($client->socket)->can_read($left);
        sysread $client->socket, $input, 65536, length $input or last;
    }
    return $input;
}

# Checks that the tunnel is open, and leads to the app.
sub leads_to_app {
    my ($client, $target, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    like read_until($client, qr/\r\n\r\n/), qr{^HTTP/1\.1 200 }, "$name: the tunnel is open";
    $client->write("GET $target HTTP/1.1\r\nHost: app.test\r\n\r\n");
    return like read_until($client, qr/\r\n\r\n/), qr{^HTTP/1\.1 200 }, "$name: the app answers through it";
}

subtest 'a CONNECT is held and released in its turn, and an open tunnel goes on' => sub {
    $t->control('status');
    my $early = connecting($t);
    leads_to_app($early, '/early', 'a CONNECT without a pause');
    $t->wait_for(sub { $t->status->{upgraded} == 1 }, 'the tunnel to count as upgraded');
    is $t->control('enable?wait=2s')->{status}, 200, 'an open tunnel does not keep an app from being quiet';

    my @late = (connecting($t), $t->send('/get'), connecting($t), connecting($t));
    $t->wait_held(4);
    ok !IO::Select->new(map { $_->socket } @late)->can_read(0), 'in a pause a CONNECT is held';
    $late[2]->close;
    $t->wait_held(3);
    is $t->status->{totals}{left}, 1, 'a CONNECT whose client leaves is out of the line';
    $early->write("GET /early/2 HTTP/1.1\r\nHost: app.test\r\n\r\n");
    like read_until($early, qr/\r\n\r\n/), qr{^HTTP/1\.1 200 }, 'a tunnel that was open before the pause stays open';
    $t->control('disable');
    leads_to_app($late[0], '/late/1', 'the first held CONNECT');
    is $late[1]->response->{status}, 405, "a held request that is no CONNECT gets nginx's 405";
    leads_to_app($late[3], '/late/2', 'the last held CONNECT');
    $t->wait_state('open');
    is_deeply [@{$t->status->{totals}}{qw(held released left)}], [4, 3, 1], 'held, released and left CONNECTs are counted';
    $_->close for $early, @late[0, 3];
    $t->wait_for(sub { $t->status->{upgraded} == 0 }, 'no tunnel to be left');
};

subtest 'a stop answers a CONNECT 503' => sub {
    $t->control('stop');
    my $stopped = connecting($t)->response;
    is $stopped->{status}, 503, 'a stop answers a CONNECT 503';
    ok $stopped->{headers}{'retry-after'}, "a stop's 503 to a CONNECT has Retry-After";
    $t->control('disable');
};

$t->clean_ok;

subtest 'a CONNECT without a password is refused before the gate' => sub {
    my $t = Intermission->new(workers => 2, locations => <<'END_OF_CONF');
auth_basic private;
auth_basic_user_file @DIR@/users;
location / { intermission on; tunnel_pass unix:@DIR@/backend.sock; }
location /_intermission { auth_basic off; intermission_control; }
END_OF_CONF
    Intermission::write_file($t->dir . '/users', "user:{PLAIN}secret\n");
    $t->control('enable');
    is connecting($t)->response->{status}, 407, 'a CONNECT without a password: 407 at once';
    is connecting($t, 'Proxy-Authorization: Basic dXNlcjp3cm9uZw==')->response->{status}, 407, 'a CONNECT with a wrong password: 407 at once';
    is $t->status->{totals}{held}, 0, 'a CONNECT without the right password was not held';
    my $known = connecting($t, 'Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=');
    $t->wait_held(1);
    $t->control('disable');
    leads_to_app($known, '/known', 'a CONNECT with the right password');
    $known->close;
    $t->clean_ok(allow => [qr/no user\/password|password mismatch/]);
};

done_testing;
