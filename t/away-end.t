# intermission_away: how it ends for a request other than by its app: its time, its client, a reload, a quit. And an app that
# is late after a pause.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::App;
use Intermission::Away;
use Intermission::Http2;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

my $app = 'upstream app { server unix:@DIR@/app.sock; }';

# The seconds that an answer takes, and the answer.
sub timed {
    my ($client) = @_;
    my $began = time;
    my $answer = $client->response;
    return (time - $began, $answer);
}

subtest 'when the time is over, nginx answers as ever, once' => sub {
    my $t = nginx('intermission_max_held 5; proxy_pass http://app;', http => $app, locations => <<'END');
location /short { intermission on; intermission_away 1s; proxy_pass http://app; }
location /page { intermission on; intermission_away 1s; proxy_pass http://app; error_page 502 = /late.html; }
location /intercepted { intermission on; intermission_away 1s; proxy_pass http://app; error_page 502 503 =200 @late; }
location = /late.html { internal; return 503 "come again"; }
location @late { return 200 "late"; }
END
    my @short = map { $t->send("/short/$_", keepalive => 1) } 1 .. 3;
    my ($page, $named) = map { $t->send($_) } '/page', '/intercepted';
    my ($seconds, $answer) = timed($short[0]);
    is $answer->{status}, 502, 'the time is over: 502';
    cmp_ok $seconds, '>', 0.8, 'the time is over: not before';
    cmp_ok $seconds, '<', 2, 'the time is over: not long after';
    is $_->response->{status}, 502, 'the time is over: 502 for another' for @short[1, 2];
    is $page->response->{body}, 'come again', 'the time is over: the error page of the site';
    is_deeply [@{$named->response}{qw(status body)}], [200, 'late'], 'the time is over: the named location of the site';
    my @lines = grep { $_->{target} =~ /short/ } $t->access_log;
    is scalar @lines, 3, 'the time is over: one line each in the access log';
    my $app = Intermission::App->new($t)->up;
    is $_->request('/short/again')->response->{status}, 200, 'the time is over: the client keeps its connection' for @short;
    is_deeply $app->came, {'/short/again' => 3}, 'the time is over: those requests never come to the app';
    $_->close for @short;
    $t->clean_ok(allow => \@gone);
};

subtest 'the time counts once for a request, whatever apps it is sent to' => sub {
    my $t = nginx('proxy_pass http://app;', http => $app, locations => <<'END');
location /fallback { intermission on; intermission_away 1s; proxy_pass http://app; error_page 502 = @gone; }
location @gone { intermission on; intermission_away 1s; proxy_pass http://unix:@DIR@/gone.sock; }
location /rescued { intermission on; intermission_away 1s; proxy_pass http://app; error_page 502 = @backend; }
location @backend { intermission on; intermission_away 1s; proxy_pass http://backend; }
END
    my $rescued = $t->send('/rescued', body => 'x' x 100_000);
    my ($seconds, $answer) = timed($t->send('/fallback'));
    is $answer->{status}, 502, 'both apps are away: 502';
    cmp_ok $seconds, '<', 1.8, 'both apps are away: the time does not begin anew';
    is $rescued->response->{status}, 200, 'the site sends it to another app: 200';
    $rescued->close;
    is_deeply [map { "$_->{target} $_->{length} $_->{ended}" } $t->backend_log], ['/rescued 100000 whole'], 'the site sends it to another app: once, and whole';
    $t->clean_ok(allow => \@gone);
};

subtest 'a timeout while connecting is no answer' => sub {
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 1) or die "no port: $!";
    my $address = '127.0.0.1:' . $listener->sockport;
    # The queue is full with these.
    my @full = map { IO::Socket::INET->new(PeerAddr => $address, Blocking => 0) } 1 .. 4;
    my $t = nginx("proxy_connect_timeout 200ms; proxy_pass http://$address;");
    my $client = $t->send('/held');
    $t->wait_log(qr/upstream timed out/);
    sleep 0.3;
    ok !$client->begun, 'timeout: held';
    close $listener;
    my $answering = Intermission::App->new($t, port => $address =~ s/.*://r)->up;
    is $client->response->{status}, 200, 'timeout: 200 when the app takes connections again';
    is_deeply $answering->came, {'/held' => 1}, 'timeout: the request comes once';
    $t->clean_ok(allow => [@gone, qr/upstream timed out/]);
};

for my $abort ('off', 'on') {
    subtest "a client that leaves while its app is away, proxy_ignore_client_abort $abort" => sub {
        my $t = nginx("proxy_ignore_client_abort $abort; proxy_pass http://app;", http => $app, http2 => 1);
        my @client = map { $t->send("/left/$_", $_ == 2 ? (body => 'x' x 100_000) : ()) } 1, 2;
        my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
        my %stream = map { $_ => $http2->request($_) } '/left/3', '/stays';
        $t->wait_for(sub { $http2->ping; $t->status->{held} == 4 }, '4 requests to be held');
        $_->close for @client;
        $http2->reset($stream{'/left/3'});
        is $t->logged("/left/$_")->{status}, 499, "leaves, ignore $abort: 499 for /left/$_" for 1 .. 3;
        my $app = Intermission::App->new($t)->up;
        is $http2->answer($stream{'/stays'})->{status}, 200, "leaves, ignore $abort: a stream that stays is answered";
        is_deeply $app->came, {'/stays' => 1}, "leaves, ignore $abort: no request of a client that left comes to the app";
        $http2->close;
        $t->clean_ok(allow => \@gone);
    };
}

subtest 'a client that sends more while its request is tried' => sub {
    for my $abort ('off', 'on') {
        my $t = nginx("proxy_ignore_client_abort $abort; proxy_pass http://app;", http => $app);
        my $client = $t->send('/slow?delay=1000', keepalive => 1);
        $t->wait_log($gone[0]);
        my $app = Intermission::App->new($t)->up;
        $t->wait_for(sub { $app->came->{'/slow?delay=1000'} }, 'the request to come to the app');
        for (1 .. 5) {
            $client->write("\r\n");
            sleep 0.05;
        }
        is $client->response->{status}, 200, "sends more, ignore $abort: 200";
        is_deeply $app->came, {'/slow?delay=1000' => 1}, "sends more, ignore $abort: the request comes once";
        $client->close;
        $t->clean_ok(allow => \@gone);
    }
};

subtest 'the access log knows the first attempt and the last one' => sub {
    my $t = nginx('access_log @DIR@/upstream.log upstream; proxy_pass http://app;', http => "$app log_format upstream '\$request_uri [\$upstream_status] [\$upstream_addr]';");
    my $client = $t->send('/held');
    $t->wait_for(sub { 4 < (() = $t->error_log =~ /$gone[0]/g) }, 'five attempts');
    my $answering = Intermission::App->new($t)->up;
    is $client->response->{status}, 200, 'attempts: 200';
    my $socket = 'unix:' . $t->dir . '/app.sock';
    my $line = $t->wait_for(sub { Intermission::Process::slurp($t->dir . '/upstream.log') }, 'the access log');
    is $line, "/held [502 : 200] [$socket : $socket]\n", 'attempts: the access log has the first one and the last one';
    $t->clean_ok(allow => \@gone);
};

subtest 'an app that is late after a pause' => sub {
    my $t = nginx('proxy_pass http://app;', http => $app, workers => 4);
    my $app = Intermission::App->new($t);
    $t->control('enable');
    my $clients = $t->crowd('--count', 200, '--method', 'POST', '--body', 5000, '--path', '/late/{i}');
    $t->wait_held(200);
    $t->control('disable');
    $t->wait_log($gone[0]);
    sleep 1;
    $app->up;
    is_deeply $clients->done->{statuses}, {200 => 200}, 'late: all that were held are answered 200';
    my $came = $app->came;
    is_deeply [scalar keys %$came, grep { $_ != 1 } values %$came], [200], 'late: each comes to the app once';
    is scalar(grep { $_->{intermission} eq 'HELD' } $t->access_log), 200, 'late: they stay HELD in the access log';
    $t->wait_state('open');
    is $t->status->{totals}{failed}, 0, 'late: none of the released requests failed';
    $t->clean_ok(allow => \@gone);
};

subtest 'restarts of the app without a pause' => sub {
    my $t = nginx('proxy_pass http://app;', http => $app, workers => 4);
    my $app = Intermission::App->new($t)->up;
    my $clients = $t->crowd('--count', 600, '--rate', 200, '--method', 'POST', '--body', 5000, '--path', '/r/{i}');
    for (1 .. 3) {
        sleep 0.4;
        $app->down;
        sleep 0.4;
        $app->up;
    }
    my $done = $clients->done;
    my $came = $app->came;
    # A request that was on its way as the app died is nginx's to answer.
    cmp_ok $done->{statuses}{200}, '>=', 590, 'restarts: all but those that a dying app had are answered 200';
    is scalar(grep { $_ != 1 } values %$came), 0, 'restarts: no request comes to the app twice';
    $t->clean_ok(allow => [@gone, qr/upstream prematurely closed|Broken pipe|reset by peer/]);
};

subtest 'a reload while the app is away' => sub {
    my $t = nginx('proxy_pass http://app;', http => $app, workers => 2, http2 => 1);
    my $held = $t->send('/held', body => 'x' x 100_000);
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    my $stream = $http2->request('/stream');
    $t->wait_for(sub { $http2->ping; $t->status->{held} == 2 }, '2 requests to be held');
    $t->reload;
    my $new = $t->send('/new');
    $t->wait_held(3);
    ok !$held->begun, 'reload: the request stays held';
    my $app = Intermission::App->new($t)->up;
    is $held->response->{status}, 200, 'reload: 200 when the app is up';
    is $http2->answer($stream)->{status}, 200, 'reload: 200 for a stream';
    is $new->response->{status}, 200, 'reload: 200 for one that came after it';
    is_deeply $app->came, {'/held' => 1, '/stream' => 1, '/new' => 1}, 'reload: each comes to the app once';
    $_->close for $held, $http2;
    $t->wait_old_workers_gone;
    $t->clean_ok(allow => \@gone);
};

subtest 'a quit while the app is away' => sub {
    my $t = nginx('proxy_pass http://app;', http => $app, workers => 2, locations => 'location /short { intermission on; intermission_away 1s; proxy_pass http://app; }');
    my $client = $t->send('/short');
    $t->wait_log($gone[0]);
    ok $t->end_nginx(seconds => 5), 'quit: nginx ends when the time of the last request is over';
    is $client->response->{status}, 502, 'quit: that request is answered';
    $t->start_nginx;
    $t->clean_ok(allow => \@gone);
};

subtest 'with worker_shutdown_timeout a quit cuts it short' => sub {
    my $t = nginx('proxy_pass http://app;', http => $app, workers => 1, main => 'worker_shutdown_timeout 1s;');
    my $client = $t->send('/held');
    $t->wait_log($gone[0]);
    ok $t->end_nginx(seconds => 5), 'worker_shutdown_timeout: nginx ends in time';
    $client->close;
    $t->start_nginx;
    $t->clean_ok(allow => [@gone, qr/open socket .* left in connection/]);
};

done_testing;
