# Old workers that only WebSockets keep alive take no entry of the worker table from workers that hold requests.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $http = 'intermission_zone 128k;';

subtest 'old workers that only WebSockets keep alive take no entry' => sub {
    # An old worker stays for as long as its WebSocket is open.
    my $t = Intermission->new(workers => 2, http => $http, locations => <<'END');
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /sockets/ { intermission on; proxy_pass http://backend; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
location /_intermission { intermission_control; }
END
    my @sockets;
    for my $generation (1 .. 20) {
        push @sockets, $t->send("/sockets/$generation", keepalive => 1, headers => {Upgrade => 'echo', Connection => 'upgrade'});
        is $sockets[-1]->response->{status}, 101, "generation $generation has a WebSocket";
        $t->reload;
    }
    cmp_ok scalar($t->old_workers), '>=', 20, 'more old workers live than the table has entries';
    $t->control('enable');
    my $crowd = $t->crowd('--count', 100, '--expect', '503');
    $t->wait_held(100);
    is $t->status->{totals}{rejected}, 0, 'new workers hold although many old workers live';
    is $t->control('enable?wait=5s', timeout => 20)->{status}, 200, 'the app is quiet although many old workers live';
    kill QUIT => $t->master;
    is $crowd->done->{statuses}{503}, 100, 'nginx quits: the held requests are answered with 503';
    $_->close for @sockets;
    ok $t->stop, 'nginx ends with the last WebSocket';
};

done_testing;
