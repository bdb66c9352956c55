# intermission_away: what a try costs, and that nothing of it is left behind.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::App;
use Intermission::Away;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

# Listens with a queue that is full: Linux drops what clients send to connect, as a machine that is down does. Returns what must live.
sub blackhole {
    my ($address) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => $address, Listen => 1, ReuseAddr => 1) or die "$address: $!";
    return ($listener, map { IO::Socket::INET->new(PeerAddr => $address, Blocking => 0) } 1 .. 4);
}

subtest 'a server that does not answer at all: a try ends long before proxy_connect_timeout' => sub {
    my $port = Intermission::App::free_port();
    my $t = nginx("proxy_connect_timeout 60s; proxy_pass http://127.0.0.1:$port;");
    my $client = $t->send('/held', body => 'x' x 100_000);
    # The first attempt is refused, and the tries are not answered.
    $t->wait_log($gone[0]);
    my @silent = blackhole("127.0.0.1:$port");
    my $began = time;
    $t->wait_log(qr/upstream timed out/);
    cmp_ok time - $began, '<', 8, 'no answer: a try ends within some 5 s';
    ok !$client->begun, 'no answer: held';
    close $_ for @silent;
    my $app = Intermission::App->new($t, port => $port)->up;
    $began = time;
    is $client->response->{status}, 200, 'no answer: 200 when the app is up';
    cmp_ok time - $began, '<', 7, 'no answer: soon';
    is_deeply $app->came, {'/held' => 1}, 'no answer: the request comes once';
    $t->clean_ok(allow => [@gone, qr/upstream timed out/]);
};

subtest 'a shorter proxy_connect_timeout stays as it is' => sub {
    my $port = Intermission::App::free_port();
    my @silent = blackhole("127.0.0.1:$port");
    my $t = nginx("proxy_connect_timeout 100ms; proxy_pass http://127.0.0.1:$port;");
    my $client = $t->send('/held');
    $t->wait_for(sub { 3 < (() = $t->error_log =~ /upstream timed out/g) }, 'four attempts', 5);
    ok !$client->begun, 'a short timeout: held';
    close $_ for @silent;
    my $app = Intermission::App->new($t, port => $port)->up;
    is $client->response->{status}, 200, 'a short timeout: 200 when the app is up';
    $t->clean_ok(allow => [@gone, qr/upstream timed out/]);
};

subtest 'a request that is turned away while it is sent leaves no place in the next drain' => sub {
    my $port = Intermission::App::free_port();
    my @silent = blackhole("127.0.0.1:$port");
    my $t = nginx("proxy_connect_timeout 1s; proxy_pass http://127.0.0.1:$port;");
    $t->control('enable');
    my $first = $t->send('/first');
    $t->wait_held(1);
    $t->control('disable?concurrency=1');
    $t->wait_held(0);
    $t->control('stop');
    is $first->response->{status}, 503, 'stopped while nginx connects: 503';
    close $_ for @silent;
    my $app = Intermission::App->new($t, port => $port)->up;
    $t->control('enable');
    my @next = map { $t->send("/next/$_") } 1, 2;
    $t->wait_held(2);
    $t->control('disable?concurrency=1');
    is_deeply [map { $_->response->{status} } @next], [200, 200], 'stopped while nginx connects: one at a time is released in the next drain';
    $t->clean_ok(allow => [@gone, qr/upstream timed out/]);
};

subtest 'the connection of a request that was tried again is kept for others of its location' => sub {
    # From 1.29.7 nginx can tell the connections of one location from those of others.
    my ($local) = grep { $_ eq '' || (Intermission::nginx_t(with_module => 0, http => "upstream app { server unix:/a; keepalive 8 $_; }"))[0] eq '0' } 'local', '';
    my $t = nginx('proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";', http => "upstream app { server unix:\@DIR\@/app.sock; keepalive 8 $local; }");
    my $app = Intermission::App->new($t);
    my $slow = $t->send('/held?delay=500');
    $t->wait_log($gone[0]);
    $app->up;
    $t->wait_for(sub { $app->order == 1 }, 'the request to come to the app');
    # The worker closes what it has kept from before. The connection of the other request is in use.
    is $t->get('/meanwhile')->{status}, 200, 'kept: another request meanwhile';
    is $slow->response->{status}, 200, 'kept: 200 for the request that was tried again';
    is $t->get("/after/$_")->{status}, 200, 'kept: 200 after it' for 1, 2;
    is_deeply [$app->connections], [1, 2, 1, 1], 'kept: those after it go on its connection';
    $t->clean_ok(allow => \@gone);
};

SKIP: {
    my $sticky = 'upstream app { server unix:@DIR@/app.sock; sticky cookie seat; }';
    skip 'this nginx has no sticky', 1 if !Intermission::knows('sticky', '', http => $sticky);
    subtest 'a balancer that sets a cookie sets one, however many tries there were' => sub {
        my $t = nginx('proxy_pass http://app;', http => $sticky, locations => 'location /short { intermission on; intermission_away 1s; proxy_pass http://app; }');
        is_deeply [cookies($t->get('/short'))], [1], 'sticky: one cookie with nginx\'s 502';
        my $app = Intermission::App->new($t);
        my ($answer) = held_until($t, 'sticky', sub { sleep 2; $app->up });
        is_deeply [cookies($answer)], [1], 'sticky: one cookie with the answer';
        $t->clean_ok(allow => \@gone);
    };
}

# How many cookies are set.
sub cookies { scalar(() = ($_[0]->{headers}{'set-cookie'} // '') =~ /seat=/g) }

done_testing;
