# A client that leaves while it is held delays no other, and its request is never passed on.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;

# The bytes of an HTTP/2 connection with this many streams, each of which requests the target.
sub http2 {
    my ($target, $streams) = @_;
    my $header = "\x82\x86\x04" . pack('C/a*', $target) . "\x01\x01x";    # GET, http, path, authority
    my $frame = sub { pack 'xnCCNa*', length $_[3], @_ };                      # type, flags, stream, payload
    return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . join '', $frame->(4, 0, 0, ''), map { $frame->(1, 5, 2 * $_ - 1, $header) } 1 .. $streams;
}

subtest 'a client that leaves is out of the line, however it leaves' => sub {
    my $t = Intermission->new(workers => 2, server => 'proxy_ignore_client_abort on;');
    my %leaves = (
        closed => sub { $_[0]->close },
        half => sub { shutdown $_[0]->socket, 1 },
        reset => sub { setsockopt $_[0]->socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0; $_[0]->close },
        body => sub { $_[0]->write('x' x 100_000); $_[0]->close },
        pipeline => sub { $_[0]->write("GET /gone/second HTTP/1.1\r\nHost: x\r\n\r\n"); $_[0]->close },
    );
    $t->control('enable');
    my @stays;
    for my $way (sort keys %leaves) {
        my $leaver = $t->send("/gone/$way", method => 'POST', headers => {'Content-Length' => $way eq 'body' ? 1e6 : 0});
        $t->wait_held(@stays + 1);
        push @stays, $t->send("/stays/$way");
        $t->wait_held(@stays + 1);
        $leaves{$way}->($leaver);
        $t->wait_held(scalar @stays);
        is $t->logged("/gone/$way")->{intermission}, 'LEFT', "a client that leaves ($way) is out of the line";
    }
    is $t->status->{totals}{left}, keys %leaves, 'each client that leaves while held is counted';
    $t->control('disable');
    is scalar(grep { $_->response->{status} == 200 } @stays), keys %leaves, 'the requests behind those that left are released';
    $t->came_ok([map { "/stays/$_" } sort keys %leaves], 'only the requests whose clients stay reach the app, in order');
    $t->wait_state('open');

    $t->control('enable');
    my $late = $t->send('/late?delay=200');
    $t->wait_held(1);
    $t->control('disable');
    $t->wait_backend(@stays + 1);
    $late->close;
    my $line = $t->logged('/late?delay=200');
    is_deeply [@$line{qw(status intermission)}], [200, 'HELD'], 'a client leaves after its release: HELD, with proxy_ignore_client_abort';
    $t->clean_ok;
};

subtest 'a client that closes at once is not held' => sub {
    # While the workers stand still, the requests and the ends of their connections arrive together.
    my $t = Intermission->new(workers => 2, http2 => 1);
    $t->control('enable');
    my @kept = map { $t->send("/early$_", headers => {'User-Agent' => 'Pingdom'}, keepalive => 1) } 1 .. 10;
    $_->response for @kept;
    $t->freeze($t->workers);
    my @clients = ((map { $_->request('/hasty', keepalive => 1) } @kept), map { $t->send('/hasty') } 1 .. 10);
    push @clients, $t->send('', raw => http2('/hasty', 10), to => 'unix:' . $t->dir . '/http2.sock');
    $_->close for @clients;
    kill CONT => $t->workers;
    $t->wait_for(sub { $t->status->{totals}{left} == 30 }, 'all thirty clients to count as left');
    is $t->status->{held}, 0, 'a client that closes in the same event as its request is not held';
    is scalar(grep { $_->{intermission} eq 'LEFT' } $t->access_log), 30, 'access log: a client that closes at once is LEFT';
    $t->control('disable');
    $t->get('/last');
    ok !grep({ $_->{target} eq '/hasty' } $t->backend_log), 'the request of a client that closes at once never reaches the app';
    $t->clean_ok;
};

subtest 'clients that leave do not delay the others' => sub {
    my $t = Intermission->new(workers => 4);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 300, '--leave', 0.333);
    $t->wait_held(300);
    $crowd->say('leave');
    $crowd->wait_event('left');
    $t->wait_held(200);
    is $t->status->{totals}{left}, 100, 'a hundred clients that leave are counted';
    $t->control('disable');
    my $done = $crowd->done;
    is_deeply [@$done{qw(answered left failed timed_out)}], [200, 100, 0, 0], 'a third of the clients leaves: the rest is answered';
    is_deeply [sort { $a <=> $b } map { $_->{id} } $t->backend_log], [grep { $_ % 3 } 0 .. 299], 'a third of the clients leaves: only the rest reaches the app';
    is $t->position_inversions, 0, 'a third of the clients leaves: the rest comes in order';
    cmp_ok $done->{last_answer_us} - $done->{first_answer_us}, '<', 2e6, 'a third of the clients leaves: the rest waits for none of them';
    $t->clean_ok;
};

subtest 'streams of HTTP/2 leave the line by themselves' => sub {
    my $t = Intermission->new(workers => 2, http2 => 1, http => 'http2_max_concurrent_streams 1000;');
    $t->control('enable');
    my $one = $t->crowd_http2('--count', 300, '--connections', 1, '--reset', 0.333);
    my $gone = $t->crowd_http2('--count', 200, '--connections', 2, '--path', '/gone/{i}');
    my $post = $t->crowd_http2('--count', 20, '--connections', 1, '--method', 'POST', '--body', 200_000, '--path', '/post/{i}');
    $t->wait_held(520);
    $one->say('leave');
    $one->wait_event('left');
    $t->wait_held(420);
    is $t->status->{totals}{left}, 100, 'HTTP/2: streams that are reset while held are out of the line';
    $gone->kill;
    $t->wait_held(220);
    is $t->status->{totals}{left}, 300, 'HTTP/2: streams of a closed connection are out of the line';
    $t->control('disable');
    my ($done, $posted) = ($one->done, $post->done);
    is_deeply [@$done{qw(answered left failed)}], [200, 100, 0], 'HTTP/2: streams that stay are answered';
    is $posted->{statuses}{200}, 20, 'HTTP/2: streams with a body are answered';
    is scalar(grep { $_->{target} =~ m{^/post/} && $_->{length} == 200_000 } $t->backend_log), 20, 'HTTP/2: bodies of held streams arrive whole';
    my @order = map { {%$_, place => $_->{position}} } grep { $_->{target} =~ m{^/r/} } $t->backend_log;
    is $t->inversions(@order), 0, 'HTTP/2: many held streams of one connection are released in order';
    my @ids = map { $_->{id} } grep { $_->{target} =~ m{^/r/} } $t->backend_log;
    is_deeply [sort { $a <=> $b } @ids], [grep { $_ % 3 } 0 .. 299], 'HTTP/2: streams that were reset never reach the app';
    ok !grep({ $_->{target} =~ /gone/ } $t->backend_log), 'HTTP/2: no stream of a closed connection reaches the app';
    $t->clean_ok;
};

subtest 'clients over TLS leave the line' => sub {
    my $tls = File::Temp::tempdir('intermission-tls-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my @certificate = ('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
        '-subj', '/CN=localhost', '-days', 2, '-keyout', "$tls/key", '-out', "$tls/certificate");
    my $made = Intermission::Process::start('openssl', ['/usr/bin/env', @certificate]);
    my $status;
    Intermission::Process::wait_until(sub { defined($status = Intermission::Process::reaped($made)) }, 20);
    die 'openssl makes no certificate' if !defined $status || $status;
    my $t = Intermission->new(
        workers => 2,
        server => "listen unix:\@DIR\@/tls.sock ssl http2; ssl_certificate $tls/certificate; ssl_certificate_key $tls/key;",
    );
    my $curl = sub {
        my ($target, @options) = @_;
        pipe my $output, my $stdout or die "pipe: $!";
        my @command = ('/usr/bin/env', 'curl', '-sk', '--unix-socket', $t->dir . '/tls.sock', '-o', '/dev/null',
            '--max-time', 20, '-w', '%{http_code} %{http_version}', @options, "https://localhost$target");
        return {pid => Intermission::Process::start('curl', \@command, stdout => $stdout), output => $output};
    };
    $t->control('enable');
    my @one = map { $curl->("/one/$_", '--http1.1') } 1 .. 3;
    my @two = map { $curl->("/two/$_", '--http2') } 1 .. 3;
    $t->wait_held(6);
    for my $leaver (shift @one, shift @two) {
        Intermission::Process::end($leaver->{pid}, [KILL => 5]);
    }
    $t->wait_held(4);
    is $t->status->{totals}{left}, 2, 'TLS: clients that leave while held are counted';
    $t->control('disable');
    is readline($_->{output}), '200 1.1', 'TLS: a held client is answered' for @one;
    is readline($_->{output}), '200 2', 'TLS: a held client is answered over HTTP/2' for @two;
    is $t->backend_log, 4, 'TLS: requests of clients that left never reach the app';
    is $t->position_inversions, 0, 'TLS: the requests that stay come in order';

    $t->wait_state('open');
    $t->control('enable');
    my @posts = map { $curl->("/body$_", $_, '--data', 'x' x 30_000) } '--http1.1', '--http2';
    $t->wait_held(2);
    $t->control('disable');
    like readline($_->{output}), qr/^200 /, 'TLS: a request with a body is answered' for @posts;
    is_deeply [map { $_->{length} } ($t->backend_log)[4, 5]], [30_000, 30_000], 'TLS: bodies of held requests arrive whole';
    $t->clean_ok;
};

done_testing;
