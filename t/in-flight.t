# Requests in flight are counted from the first control request on, whatever its verb, and the status
# says which requests keep the app from being quiet.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes 'time';

my $locations = <<'END_OF_CONF';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /campfire { set $app_name campfire; intermission on; proxy_pass http://backend; }
location /unlisted { set $app_name unlisted; intermission on; proxy_pass http://backend; }
location /nowhere { intermission on; proxy_connect_timeout 30s; proxy_pass http://127.0.0.1:@FULL@; }
location = /large { root @DIR@; intermission on; }
location /through { intermission on; proxy_pass http://backend; proxy_buffering off; }
location /_intermission { intermission_control apps=campfire; }
location /any { intermission_control apps=*; }
location = /one/status { intermission_control; }
END_OF_CONF

sub start { return Intermission->new(workers => 2, locations => $locations =~ s/\@FULL\@/81/r, @_) }

sub series {
    my ($page) = @_;
    return {map { /^(\w+(?:\{.*\})?) (\S+)$/ ? ($1 => $2) : () } split /\n/, $page};
}

my %first = (
    status => sub { my ($t) = @_; my $now = $t->status; return @$now{qw(in_flight app)} },
    'a = location' => sub {
        my ($t) = @_;
        my $now = decode_json($t->get('/one/status?format=json')->{body});
        return @$now{qw(in_flight app)};
    },
    'status of another app' => sub {
        my ($t) = @_;
        is $t->status(app => 'campfire')->{in_flight}, 2, 'status?app= counts what the named app has in flight';
        return ($t->status->{in_flight}, 'basecamp');
    },
    apps => sub {
        my ($t) = @_;
        my %by_name = map { $_->{app} => $_->{in_flight} } @{decode_json($t->control('apps')->{body})->{apps}};
        is $by_name{campfire}, 2, 'the list of apps counts what the named app has in flight';
        return ($by_name{basecamp}, 'basecamp');
    },
    metrics => sub {
        my ($t) = @_;
        my $series = series($t->control('metrics')->{body});
        is $series->{'intermission_in_flight{app="campfire"}'}, 2, 'the metrics count what the named app has in flight';
        cmp_ok $series->{'intermission_oldest_in_flight_seconds{app="basecamp"}'}, '>', 0, 'the metrics have the age of the oldest in flight';
        return ($series->{'intermission_in_flight{app="basecamp"}'}, 'basecamp');
    },
    'enable, then status' => sub { my ($t) = @_; $t->control('enable'); my $now = $t->status; $t->control('disable'); return @$now{qw(in_flight app)} },
);
for my $what (sort keys %first) {
    subtest "the first control request: $what" => sub {
        my $t = start();
        my @flying = map { $t->send("/$_?delay=3000") } 1 .. 8;
        push @flying, map { $t->send("/campfire/$_?delay=3000") } 1 .. 2;
        $t->wait_backend(10);
        # The age of a request is in whole milliseconds: it must be above 0.
        Time::HiRes::sleep(0.02);
        my ($in_flight, $app) = $first{$what}->($t);
        is_deeply [$in_flight, $app], [8, 'basecamp'], "$what: all eight requests are in flight";
        is $t->get('/more')->{status}, 200, "$what: a request after this call is answered";
        my $totals = $t->status->{totals};
        is $totals->{passed}, 1, "$what: a request after this call counts as passed";
        is $_->response->{status}, 200, "$what: the requests in flight are answered" for @flying;
        $t->wait_for(sub { $t->status->{in_flight} == 0 }, 'no request in flight');
        $t->clean_ok;
    };
}

subtest 'a status, or a request, does not make an app known' => sub {
    my $t = start();
    is $t->status(at => '/any', app => "random-$_")->{pause}, 0, 'the status of an unknown app is answered' for 1 .. 5;
    my $apps = sub { return join ' ', map { $_->{app} } @{decode_json($t->control('apps', at => '/any')->{body})->{apps}} };
    is $apps->(), 'basecamp', 'the status of an unknown app does not make it known';
    is $t->get('/unlisted')->{status}, 200, 'a request of an unlisted app is answered';
    is $apps->(), 'basecamp', 'a request of an unlisted app does not make it known';
    $t->clean_ok;
};

subtest 'a worker that does not answer delays the status for a moment only' => sub {
    my $t = start();
    $t->status;
    my ($frozen) = $t->workers;
    my $before = time;
    $t->freeze($frozen);
    my $answered = 0;
    # The frozen worker may be the one that accepts a connection: so twelve are made.
    my @asked = map { $t->send('/_intermission/status?format=json') } 1 .. 12;
    $t->wait_for(sub { $answered = grep { $_->answered } @asked }, 'one of twelve callers to be answered', 5);
    cmp_ok time - $before, '<', 3, 'a worker stands still: the status is answered soon';
    kill CONT => $frozen;
    is $_->response->{status}, 200, 'a worker stands still: all callers are answered in the end' for @asked;
    $t->clean_ok;
};

subtest 'the status and the 504 name the oldest requests in flight' => sub {
    my $t = start();
    my @flying = map { $t->send("/slow/$_?delay=4000") } 1 .. 2;
    $t->wait_backend(2);
    my $long = '/long/' . 'x' x 200;
    push @flying, $t->send("$long?delay=4000");
    $t->wait_backend(3);
    # Another worker may take the next one: its clock is to be a millisecond further.
    Time::HiRes::sleep(0.01);
    push @flying, $t->send('/odd/%22%0a"?delay=4000', method => 'PUT');
    $t->wait_backend(4);

    my $status = $t->status;
    is $status->{in_flight}, 4, 'four requests in flight are counted';
    my @oldest = @{$status->{oldest_in_flight}};
    is scalar @oldest, 3, 'the status names three requests in flight at most';
    is_deeply [sort map { $_->{uri} } @oldest[0, 1]], ['/slow/1?delay=4000', '/slow/2?delay=4000'], 'the status names the oldest requests in flight first';
    is $oldest[2]{uri}, substr($long, 0, 128), 'the status cuts off a long URI of a request in flight';
    is_deeply [@{$oldest[0]}{qw(method client waits_for)}], ['GET', '127.0.0.1', 'app'], 'the status has method, client and what a request waits for';
    my @ages = map { $_->{seconds} } @oldest;
    is_deeply \@ages, [sort { $b <=> $a } @ages], 'the status has the ages of requests in flight';

    my $answer = $t->control('enable?wait=300ms');
    is $answer->{status}, 504, 'enable?wait= is too late for four requests';
    my ($first, @lines) = split /\n/, $answer->{body};
    is $first, '4 requests are still in flight: this call was rolled back, the app is not paused any more', 'the 504 counts four requests in flight';
    is scalar @lines, 3, 'the 504 names three requests in flight';
    like $lines[0], qr{^GET /slow/[12]\?delay=4000 from 127\.0\.0\.1, for \d+(?:\.\d+)? s, waits for the app$}, 'the 504 has a line for each request that it names';
    $answer = $t->control('enable?wait=100ms&format=json');
    is scalar(split /\n/, decode_json($answer->{body})->{error}), 4, 'the 504 as JSON names the requests in flight';
    is $_->response->{status}, 200, 'the named requests are answered' for @flying;
    $t->wait_for(sub { $t->status->{in_flight} == 0 }, 'no request in flight');
    is_deeply $t->status->{oldest_in_flight}, [], 'when all requests are answered the status names no request in flight';
    $t->clean_ok;
};

subtest 'the status says what a request in flight waits for' => sub {
    my $t = start();
    my $upload = $t->send('/upload', method => 'POST', headers => {'Content-Length' => 10});
    my $waits_for = sub { return join ' ', map { $_->{waits_for} } @{$t->status->{oldest_in_flight}} };
    $t->wait_for(sub { $waits_for->() eq "client's body" }, "the upload to wait for the client's body");
    pass 'waits for the client\'s body: a request whose body does not come';
    $upload->close;
    $t->wait_for(sub { $waits_for->() eq '' }, 'no request in flight');

    # nginx cannot connect, because the listen queue is full.
    my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 1) or die "no listener: $!";
    my @queue = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $full->sockport, Blocking => 0) } 1 .. 8;
    $t->reload(locations => $locations =~ s/\@FULL\@/$full->sockport/er);
    my $nowhere = $t->send('/nowhere/a');
    $t->wait_for(sub { $waits_for->() eq 'connection' }, 'the request to wait for a connection');
    pass 'waits for a connection: a request whose app accepts none';
    $nowhere->close;
    $t->wait_for(sub { $waits_for->() eq '' }, 'no request in flight');

    open my $large, '>', $t->dir . '/large' or die "large: $!";
    truncate $large, 64 << 20;
    close $large;
    my $taker = $t->send('/large');
    $t->wait_for(sub { $waits_for->() eq 'client' }, 'the request to wait for the client');
    pass 'waits for the client: a request whose client does not take the answer';
    is $t->status->{oldest_in_flight}[0]{uri}, '/large', 'the request for a file is named';
    $taker->close;
    $t->wait_for(sub { $waits_for->() eq '' }, 'no request in flight');
    my $through = $t->send('/through?size=32000000');
    $t->wait_for(sub { $waits_for->() eq 'client' }, 'the request to wait for the client');
    pass 'waits for the client: an unbuffered answer that the client does not take';
    $through->close;
    $t->wait_for(sub { $waits_for->() eq '' }, 'no request in flight');
    $t->clean_ok;
};

subtest 'the requests in flight of a dead worker are forgotten' => sub {
    my $t = start();
    my @flying = map { $t->send("/$_?delay=3000") } 1 .. 6;
    $t->wait_backend(6);
    is $t->status->{in_flight}, 6, 'six requests in flight are counted';
    kill KILL => $t->workers;
    $t->wait_for(sub { my $now = eval { $t->status }; $now && !$now->{in_flight} && !@{$now->{oldest_in_flight}} }, 'no request in flight');
    pass 'the requests of a dead worker are forgotten';
    $t->clean_ok(killed_process => 1);
};

done_testing;
