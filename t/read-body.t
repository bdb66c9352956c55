# intermission_read_body: the module sees a request only when its whole body is there.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Http2;
use IO::Select;
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes 'time';

my $places = <<'END_OF_PLACES';
set $intermission_privileged_user_agent Pingdom;
intermission on;
location / { intermission_read_body on; proxy_pass http://backend; }
location /later { proxy_pass http://backend; }
location /file { intermission_read_body on; client_body_in_file_only clean; proxy_pass http://backend; }
location /spills { intermission_read_body on; client_body_buffer_size 1k; proxy_pass http://backend; }
location /streamed { intermission_read_body on; proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://backend; }
location /small { intermission_read_body on; client_max_body_size 1k; proxy_pass http://backend; }
location /one { intermission_read_body on; intermission_max_held 1; proxy_pass http://backend; }
location /fresh { intermission_read_body on; proxy_pass http://unix:@DIR@/backend.sock; }
location /_intermission { intermission_control; }
END_OF_PLACES

sub instance { return Intermission->new(workers => 2, http2 => 1, locations => $places, @_) }

# What the app got of each body: target => "length ended".
sub arrived {
    my ($t) = @_;
    return {map { $_->{target} => "$_->{length} $_->{ended}" } $t->backend_log};
}

# Sends a request with its header, and with $part of its body. Returns when nginx has read the header:
# it has answered 100.
sub upload {
    my ($t, $target, $framing, $part) = @_;
    my $client = $t->send('', raw => "POST $target HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n$framing\r\n\r\n");
    my ($said, $end) = ('', time + 10);
    while ($said !~ /\r\n\r\n/ && time < $end) {
        IO::Select->new($client->socket)->can_read(0.1) && (sysread $client->socket, $said, 100, length $said or last);
    }
    is $said, "HTTP/1.1 100 Continue\r\n\r\n", "$target: nginx asks for its body";
    $client->write($part // '');
    return $client;
}

*answer = \&Intermission::Client::last_response;

my $length = sub { "Content-Length: $_[0]" };
my $chunked = 'Transfer-Encoding: chunked';

subtest 'requests go on in the order in which their bodies are whole' => sub {
    # The bodies come in several ways, and nginx puts them into memory or into files.
    my $t = instance();
    my $large = 'x' x 300_000;
    $t->control('enable');
    my @uploads = (
        ['/sized', $length->(10), '1234', '567890', 10],
        ['/chunked', $chunked, "5\r\n123", "45\r\n3\r\nabc\r\n0\r\n\r\n", 8],
        ['/file', $length->(10), '1234', '567890', 10],
        ['/spills/sized', $length->(5000), 'x' x 4000, 'y' x 1000, 5000],
        ['/spills/chunked', $chunked, "1000\r\n" . 'x' x 4000, 'y' x 96 . "\r\n0\r\n\r\n", 4096],
        ['/streamed/sized', $length->(10), '1234', '567890', 10],
        ['/streamed/chunked', $chunked, "5\r\n123", "45\r\n3\r\nabc\r\n0\r\n\r\n", 8],
        ['/large', $length->(600_000), $large, $large, 600_000],
    );
    my @clients = map { upload($t, @$_[0 .. 2]) } @uploads;
    my @held = $t->send('/get');
    $t->wait_held(1);
    my $eager = $t->send('/eager', body => 'all at once');
    $t->wait_held(2);
    is $t->status->{held}, 2, 'requests whose bodies are on their way are not held yet';
    for my $number (reverse 0 .. $#uploads) {
        $clients[$number]->write($uploads[$number][3]);
        $t->wait_held(@held + 2);
        push @held, $clients[$number];
    }
    is $t->backend_log, 0, 'no upload comes to the app in the pause';
    $t->control('disable');
    is answer($_)->{status}, 200, 'requests held with their whole bodies are answered' for @held, $eager;
    my @line = map { $_->{target} } sort { $a->{position} <=> $b->{position} } $t->backend_log;
    is_deeply \@line, ['/get', '/eager', reverse map { $_->[0] } @uploads], 'the uploads come to the app in the order in which their bodies were whole';
    is_deeply arrived($t), {'/get' => '0 whole', '/eager' => '11 whole', map { $_->[0] => "$_->[4] whole" } @uploads}, 'held bodies arrive whole';
    is $t->logged('/sized')->{intermission}, 'HELD', 'access log: an upload that was held is HELD';
    $t->clean_ok;
};

subtest 'an upload that stalls is not in flight' => sub {
    my $t = instance();
    $t->control('status');
    my $streamed = upload($t, '/streamed/stalls', $length->(10), '1234');
    my $stalls = upload($t, '/stalls', $chunked, "5\r\n123");
    is $t->status->{in_flight}, 0, 'an unfinished upload is not in flight';
    is $t->control('enable?wait=5s')->{status}, 200, 'enable?wait= does not wait for an unfinished upload';
    $streamed->write('567890');
    $stalls->write("45\r\n0\r\n\r\n");
    $t->wait_held(2);
    is $t->backend_log, 0, 'an upload that ends in the pause does not go to the app';
    $t->control('disable');
    is answer($_)->{status}, 200, 'an upload that ends in the pause is answered after it' for $streamed, $stalls;
    is_deeply arrived($t), {'/streamed/stalls' => '10 whole', '/stalls' => '5 whole'}, 'an upload that ends in the pause arrives whole';
    $t->wait_state('open');

    my $later = upload($t, '/later', $length->(10), '1234');
    is $t->control('enable?wait=300ms')->{status}, 504, 'without intermission_read_body an unfinished upload is in flight';
    $later->write('567890');
    is answer($later)->{status}, 200, 'without intermission_read_body an upload goes on in the pause';

    my $open = upload($t, '/open', $length->(10), '1234');
    $open->write('567890');
    is answer($open)->{status}, 200, 'with no pause an upload is answered';
    is $t->logged('/open')->{intermission}, 'PASSED', 'access log: an upload with no pause is PASSED';
    $t->clean_ok;
};

subtest 'an upload that stalls, leaves or is too large takes no ticket' => sub {
    my $t = instance(server => 'client_body_timeout 1s;');
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    $t->control('enable');
    my $stalls = upload($t, '/stalls', $length->(10), '1234');
    upload($t, '/leaves', $length->(10), '1234')->close;
    my ($reset, $silent) = map { $http2->request($_, body => '1', open => 1) } '/reset', '/silent';
    ok $http2->ping, 'HTTP/2: the connection lives';
    $http2->reset($reset);
    is $t->logged($_->[0])->{status}, $_->[1], "$_->[0]: nginx's own status $_->[1]" for ['/stalls', 408], ['/leaves', 400], ['/reset', 499], ['/silent', 408];
    is $t->logged($_)->{intermission}, '-', "$_: an upload that was never whole has no \$intermission_status" for '/stalls', '/leaves', '/reset', '/silent';

    my $big = $t->send('', raw => "POST /small/sized HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n");
    is answer($big)->{status}, 413, 'client_max_body_size: 413 at once';
    my $bigger = upload($t, '/small/chunked', $chunked, "800\r\n" . 'x' x 100);
    $bigger->write('x' x 1948);
    is answer($bigger)->{status}, 413, 'client_max_body_size: 413 for a chunked body before its end';
    is $http2->answer($http2->request('/small/http2', body => 'x' x 5000, open => 1))->{status}, 413, 'client_max_body_size: 413 over HTTP/2';
    is $t->logged($_)->{intermission}, '-', "$_: an upload that is too large has no \$intermission_status" for '/small/sized', '/small/chunked', '/small/http2';

    my $bad = upload($t, '/bad', $chunked, "5\r\n12345\r\nno size\r\n");
    is answer($bad)->{status}, 400, 'a malformed chunk: 400';
    my $totals = $t->status->{totals};
    is_deeply [@$totals{qw(held left passed stopped)}], [0, 0, 0, 0], 'uploads that were never whole took no ticket';

    my $large = $t->send('/large', body => 'x' x 1_000_000);
    my $stream = $http2->request('/large/http2', body => 'x' x 1_000_000);
    $t->wait_for(sub { $http2->ping; $t->status->{held} == 2 }, 'two large bodies to be read');
    $large->close;
    $t->wait_held(1);
    is $t->logged('/large')->{intermission}, 'LEFT', 'a client that leaves after its large body is out of the line at once';
    $http2->reset($stream);
    $t->wait_held(0);
    is $t->logged('/large/http2')->{intermission}, 'LEFT', 'a stream of HTTP/2 that leaves after its large body is out of the line at once';
    $t->control('disable');
    $t->came_ok([], 'the app sees no upload whose client left');
    $http2->close;
    $t->clean_ok(allow => [qr/client intended to send too large/, qr/client sent invalid chunked body/]);
};

subtest 'a client that leaves with its last byte is not held' => sub {
    # While the workers stand still, the end of the body and of the connection arrive together.
    my $t = instance();
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    $t->control('enable');
    my $leaves = upload($t, '/leaves', $length->(10), '1234');
    my $stream = $http2->request('/leaves/http2', body => '1234', open => 1);
    ok $http2->ping, 'HTTP/2: the connection lives while a body is on its way';
    my @workers = $t->workers;
    $t->freeze(@workers);
    $leaves->write('567890');
    $leaves->close;
    $http2->data($stream, '567890', end => 1);
    $http2->reset($stream);
    kill CONT => @workers;
    ok $t->logged($_), "$_: nginx notices that the client left" for '/leaves', '/leaves/http2';
    is $t->status->{held}, 0, 'a client that leaves with its last byte is not held';
    $t->control('disable');
    $t->came_ok([], 'the app sees no client that leaves with its last byte');
    $http2->close;
    $t->clean_ok;
};

subtest 'many bodies over several workers come in order' => sub {
    # The app's connections are not kept: it would read from kept ones first.
    my $t = instance(workers => 4);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 600, '--method', 'POST', '--body', 100_000, '--path', '/fresh/{i}');
    my $streams = $t->crowd_http2('--count', 200, '--connections', 4, '--method', 'POST', '--body', 50_000, '--path', '/fresh/{i}');
    $t->wait_held(800, seconds => 30);
    my $small = $t->crowd('--count', 100, '--method', 'POST', '--body', 10, '--path', '/fresh/{i}');
    $t->wait_held(900);
    $t->control('disable');
    is $_->done->{failed}, 0, 'bodies over several workers: no request fails' for $crowd, $streams, $small;
    is scalar(grep { $_->{ended} ne 'whole' } $t->backend_log), 0, 'bodies over several workers arrive whole';
    is $t->position_inversions, 0, 'bodies over several workers come in order';
    $t->clean_ok;
};

subtest 'uploads are rejected or stopped when they are whole' => sub {
    my $t = instance();
    $t->control('enable');
    my $first = $t->send('/one/first', body => 'x');
    $t->wait_held(1);
    my $second = upload($t, '/one/second', $length->(4), '12');
    $second->write('34');
    my $rejected = answer($second);
    is_deeply [$rejected->{status}, $rejected->{headers}{'retry-after'}], [503, 10], 'no room: an upload is rejected when it is whole';
    is $t->logged('/one/second')->{intermission}, 'REJECTED', 'access log: an upload without room is REJECTED';

    my $under_way = upload($t, '/under/way', $length->(10), '1234');
    $t->control('stop');
    is answer($first)->{status}, 503, 'a stop answers the upload that is held';
    for my $body ($length->(1_000_000), $chunked) {
        my $late = $t->send('', raw => "POST /late HTTP/1.1\r\nHost: x\r\n$body\r\n\r\n");
        my $stopped = answer($late);
        is_deeply [$stopped->{status}, $stopped->{headers}{'retry-after'}], [503, 10], "a stop answers a new upload at once, without reading its body ($body)";
    }
    is $t->logged('/late')->{intermission}, 'STOPPED', 'access log: a new upload during a stop is STOPPED';
    my $privileged = upload($t, '/privileged', "User-Agent: Pingdom\r\nContent-Length: 4", '12');
    $t->came_ok([], 'a privileged upload is not passed on before its body is whole');
    $privileged->write('34');
    is answer($privileged)->{status}, 200, 'a privileged upload passes a stop';
    is $t->logged('/privileged')->{intermission}, 'BYPASSED', 'access log: a privileged upload is BYPASSED';
    $under_way->write('567890');
    is answer($under_way)->{status}, 503, 'an upload that was unfinished when a stop began is answered when its body is whole';
    is $t->status->{totals}{stopped}, 4, 'all stopped uploads are counted';
    $t->clean_ok;
};

subtest 'an upload goes on over a reload, and is answered at a quit' => sub {
    my $t = instance();
    $t->control('enable');
    my $reloaded = upload($t, '/reloaded', $length->(10), '1234');
    $t->reload;
    my $behind = $t->send('/behind');
    $t->wait_held(1);
    $reloaded->write('567890');
    $t->wait_held(2);
    $t->control('disable');
    is answer($_)->{status}, 200, 'an upload that ends after a reload is answered' for $behind, $reloaded;
    $t->came_ok(['/behind', '/reloaded'], 'an upload that ends after a reload stands in the line of all workers');
    $t->wait_old_workers_gone;
    $t->wait_state('open');

    $t->control('enable');
    my $quit = upload($t, '/quit', $length->(10), '1234');
    my $held = $t->send('/held');
    $t->wait_held(1);
    kill QUIT => $t->master;
    is answer($held)->{status}, 503, 'a quit answers the upload that is held';
    $quit->write('567890');
    my $late = answer($quit);
    is_deeply [$late->{status}, $late->{headers}{'retry-after'}], [503, 10], 'a quit answers an upload whose body ends later';
    ok $t->stop, 'nginx ends after it has answered its uploads';
};

done_testing;
