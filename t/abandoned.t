# Requests that nginx has given up although the app may still work on them: the client left, or the app took
# too long. They are no longer in flight. A caller that waits until the app is quiet is told how many there were.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Http2;
use Intermission::Upstream;
use JSON::PP;
use Test::More;
use Time::HiRes 'time';

my $t = Intermission->new(
    workers => 3, http2 => 1, server => 'listen 127.0.0.2:@PORT@ reuseport backlog=4096;',
    http => <<'END_OF_CONF',
upstream own { server unix:@DIR@/own.sock max_fails=0; }
upstream none { server unix:@DIR@/none.sock max_fails=0; }
upstream own_then_fine { server unix:@DIR@/own.sock max_fails=0; server unix:@DIR@/backend.sock max_fails=0 backup; }
END_OF_CONF
    locations => <<'END_OF_CONF' =~ s/\@LONG\@/'i' x 3000/er);
set $app_name basecamp;
set $intermission_privileged_user_agent Pingdom;
intermission on;
proxy_http_version 1.1;
location / { proxy_pass http://backend; }
location /own/ { proxy_pass http://own; }
location /stream/ { proxy_buffering off; proxy_pass http://own; }
location /slow/ { proxy_read_timeout 500ms; proxy_next_upstream off; proxy_pass http://own; }
location /slow/stream/ { proxy_read_timeout 500ms; proxy_buffering off; proxy_next_upstream off; proxy_pass http://own; }
location /next/ { proxy_read_timeout 500ms; proxy_pass http://own_then_fine; }
location /stays/ { proxy_ignore_client_abort on; proxy_pass http://own; }
location /down/ { proxy_pass http://none; }
location /accel/ { proxy_pass http://own; }
location /inside/ { internal; limit_rate 10; return 200 @LONG@; }
location /sockets/ { proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://own; }
location /off/ { intermission off; proxy_pass http://own; }
location /ssi/ { ssi on; ssi_types *; root @DIR@; try_files /page.html =404; }
location /other/ { intermission off; proxy_pass http://own; }
location /mirrored/ { mirror /copy; proxy_pass http://backend; }
location = /copy { internal; proxy_read_timeout 500ms; proxy_next_upstream off; proxy_pass http://own; }
location /_intermission { intermission off; intermission_control; }
END_OF_CONF
my $own = Intermission::Upstream->new($t);
open my $page, '>', $t->dir . '/page.html' or die "page: $!";
print $page '<!--# include virtual="$arg_part" -->';
close $page;

sub total { return ($t->control('metrics')->{body} =~ /^intermission_abandoned_total\{app="basecamp"\} (\d+)$/m)[0] }

sub quiet { return $t->wait_for(sub { $t->status->{in_flight} == 0 }, 'no request in flight') }

# Checks that $happens adds $more to the count of abandoned requests.
sub counts {
    my ($more, $what, $happens) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = total();
    $happens->();
    quiet();
    $t->wait_for(sub { total() == $before + $more }, 'the abandoned request in the metrics') if $more;
    return is total(), $before + $more, $what;
}

# Sends a request, and waits until the app has it.
sub sent {
    my ($target, %opt) = @_;
    my $client = $t->send($target, to => '127.0.0.2:' . $t->port, %opt);
    $own->wait($target);
    return $client;
}

# Sends a request, and waits until its answer has begun.
sub begun {
    my ($target, %opt) = @_;
    my $client = sent($target, %opt);
    $own->write($target, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" . 'o' x 20_000);
    $t->wait_for(sub { $client->begun }, 'the beginning of the answer');
    return $client;
}

subtest 'at the start no request counts as abandoned' => sub {
    is total(), 0, 'at the start the metrics count no abandoned request';
    is $t->status->{abandoned}, 0, 'at the start the status counts no abandoned request';
};

subtest 'abandoned requests are shown in the status, and told to a caller who waits' => sub {
    my @clients = map { sent("/own/$_") } 1 .. 6;
    is $t->status->{in_flight}, 6, 'six requests at the app: six in flight';
    $_->close for @clients[0 .. 4];
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'only one request in flight, since five clients left');
    is $t->status->{abandoned}, 5, 'five clients left: the status counts five abandoned';
    is decode_json($t->control('apps')->{body})->{apps}[0]{abandoned}, 5, 'five clients left: the list of apps counts five abandoned';
    my $told = 'nginx gave up 5 requests within the last minute: the app may still work on them';
    my $answer = $t->control('enable?wait=300ms');
    is $answer->{status}, 504, 'enable?wait= with one request still in flight: 504';
    my @lines = split /\n/, $answer->{body};
    is_deeply [@lines[0, 2]], ['1 request is still in flight: this call was rolled back, the app is not paused any more', $told], 'the 504 tells what is in flight, and how many were given up';
    $own->answer('/own/6');
    is $clients[5]->response->{status}, 200, 'the request still in flight is answered';
    quiet();
    $answer = $t->control('enable?wait=5s');
    is $answer->{status}, 200, 'enable?wait= with abandoned requests only: 200';
    like $answer->{body}, qr/^\Q$told\E$/m, 'the 200 tells how many requests were given up';
    ok $t->wait_log(qr/\[notice\].*nothing is in flight, pause \d+; \Q$told\E,/), 'the log tells how many requests were given up';
    is decode_json($t->control('enable?wait=5s&format=json')->{body})->{abandoned}, 5, 'enable?wait= as JSON tells how many requests were given up';
    $t->control('disable');
    unlike $t->control('status?app=basecamp')->{body}, qr/gave up/, 'the status of an open app says nothing of abandoned requests';
};

subtest 'a request is abandoned when its client leaves' => sub {
    counts 1, 'the client leaves before the answer: abandoned' => sub { sent('/own/a')->close };
    counts 1, "the client leaves in the middle of the answer's header: abandoned" => sub {
        my $client = sent('/own/header');
        $own->write('/own/header', "HTTP/1.1 200 OK\r\nContent-Le");
        Time::HiRes::sleep(0.2);
        $client->close;
    };
    counts 1, 'the client leaves in the middle of the answer: abandoned' => sub { begun('/own/b')->close };
    counts 1, 'the client leaves in the middle of an answer that is not buffered: abandoned' => sub { begun('/stream/c')->close };
    counts 1, 'the client resets its HTTP/2 stream: abandoned' => sub {
        my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
        my $stream = $http2->request('/own/h2');
        $own->wait('/own/h2');
        $http2->reset($stream);
    };
    counts 1, 'the client leaves while a part of its page is at the app: abandoned' => sub {
        my $client = $t->send('/ssi/a?part=/own/part');
        $own->wait('/own/part');
        $client->close;
    };
    counts 1, 'the client of a released request leaves: abandoned' => sub {
        $t->control('enable');
        my $held = $t->send('/own/held');
        $t->wait_held(1);
        $t->control('disable');
        $own->wait('/own/held');
        $held->close;
    };
};

subtest 'a request is abandoned when its app takes too long' => sub {
    counts 1, 'the app takes too long to answer: abandoned' => sub { is $t->get('/slow/a')->{status}, 504, 'a 504' };
    counts 1, 'the app stalls in the middle of its answer: abandoned' => sub { begun('/slow/b')->response };
    counts 1, 'the app stalls in the middle of an answer that is not buffered: abandoned' => sub { begun('/slow/stream/c')->response };
    counts 1, 'the app takes too long for a part of a page: abandoned' => sub { is $t->get('/ssi/b?part=/slow/part')->{status}, 200, 'the page comes without it' };
    counts 1, 'the app takes too long for a mirror: abandoned' => sub { is $t->get('/mirrored/a')->{status}, 200, 'the client sees nothing of it' };
    counts 1, 'the app takes too long, and the next server answers: abandoned' => sub { is $t->get('/next/')->{status}, 200, 'the client sees nothing of it' };
};

subtest 'a request that the app has finished is not abandoned' => sub {
    counts 0, 'answered requests: not abandoned' => sub { $t->get('/') for 1 .. 3 };
    counts 0, 'a page of parts that were all answered: not abandoned' => sub { is $t->get('/ssi/c?part=/whole')->{status}, 200, 'a page' };
    counts 0, 'an answered HEAD: not abandoned' => sub { $t->get('/', method => 'HEAD') };
    counts 0, "a client leaves, and nginx waits for the app's answer: not abandoned" => sub {
        my $client = sent('/stays/a');
        $client->close;
        $own->answer('/stays/a');
    };
    counts 0, 'an app that is down: not abandoned' => sub { is $t->get('/down/')->{status}, 502, 'a 502' };
    counts 0, 'an app that closes the connection without an answer: not abandoned' => sub {
        my $client = sent('/own/dies');
        $own->drop('/own/dies');
        is $client->response->{status}, 502, 'a 502';
    };
    counts 0, 'an app that closes the connection in the middle of its answer: not abandoned' => sub {
        my $client = begun('/own/breaks');
        $own->drop('/own/breaks');
        $client->response;
        $client = begun('/stream/breaks');
        $own->drop('/stream/breaks');
        $client->response;
    };
    counts 0, 'a client that leaves when nginx has the whole answer: not abandoned' => sub {
        my $client = sent('/own/large');
        $own->answer('/own/large', 8_000_000);
        quiet();
        $client->close;
    };
    counts 0, 'an unbuffered answer that ends with its connection after a long time: not abandoned' => sub {
        my $client = sent('/slow/stream/end');
        $own->write('/slow/stream/end', "HTTP/1.0 200 OK\r\n\r\nfirst");
        $t->wait_for(sub { $client->begun }, 'the beginning of the answer');
        my $begun = time;
        for my $more (1 .. 4) {
            $t->wait_for(sub { time >= $begun + 0.2 * $more }, '0.2 s to pass');
            $own->write('/slow/stream/end', 'more');
        }
        $own->drop('/slow/stream/end');
        is $client->response->{body}, 'first' . 'more' x 4, 'the slow unbuffered answer is whole';
    };
    counts 0, 'a client that leaves while nginx sends a file that the app named: not abandoned' => sub {
        my $client = sent('/accel/a');
        $own->write('/accel/a', "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /inside/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        $t->wait_for(sub { $client->begun }, 'the beginning of the answer');
        $client->close;
    };
    counts 0, 'an answer without content: not abandoned' => sub {
        my $client = sent('/own/204');
        $own->write('/own/204', "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        is $client->response->{status}, 204, 'an answer without content reaches the client';
    };
    counts 0, 'a tunnel that is closed: not abandoned' => sub {
        my $client = sent('/sockets/a', headers => {Upgrade => 'websocket', Connection => 'upgrade'});
        $own->write('/sockets/a', "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
        $t->wait_for(sub { $t->status->{upgraded} == 1 }, 'the tunnel to count as upgraded');
        $client->close;
        $t->wait_for(sub { $t->status->{upgraded} == 0 }, 'the closed tunnel to count no more');
    };
};

subtest 'a request that the app has never seen, or that does not count, is not abandoned' => sub {
    counts 0, 'a client that leaves while it is held: not abandoned' => sub {
        $t->control('enable');
        my $held = $t->send('/own/held');
        $t->wait_held(1);
        $held->close;
        $t->wait_held(0);
        $t->control('disable');
    };
    counts 0, 'a client that leaves before its body is whole: not abandoned' => sub {
        my $client = $t->send('/own/upload', method => 'POST', headers => {'Content-Length' => 10});
        $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'the upload in flight');
        $client->close;
    };
    counts 0, 'a client that bypassed a pause and leaves: not abandoned' => sub {
        $t->control('enable');
        sent('/own/bypass', headers => {'User-Agent' => 'Pingdom'})->close;
        $t->wait_for(sub { grep { $_->{target} eq '/own/bypass' } $t->access_log }, 'the request in the access log');
        $t->control('disable');
    };
    counts 0, 'a part of a page from a place with intermission off: not abandoned' => sub {
        my $client = $t->send('/ssi/d?part=/other/part');
        $own->wait('/other/part');
        $client->close;
    };
    counts 0, 'a request to a place with intermission off: not abandoned' => sub {
        sent('/off/a')->close;
        $t->wait_for(sub { grep { $_->{target} eq '/off/a' } $t->access_log }, 'the request in the access log');
    };
};

subtest 'the count of abandoned requests stays when the worker ends' => sub {
    my ($before, $lately) = (total(), $t->status->{abandoned});
    cmp_ok $lately, '>', 0, 'some requests were abandoned in the last minute';
    $t->reload;
    $t->wait_old_workers_gone;
    is total(), $before, 'after a reload the total of abandoned requests is the same';
    cmp_ok $t->status->{abandoned}, '>', 0, 'after a reload the status still counts the abandoned requests of the last minute';
};

$t->clean_ok(allow => [qr/connect\(\) to unix:.*none\.sock failed/, qr/upstream timed out/, qr/upstream prematurely closed/]);
done_testing;
