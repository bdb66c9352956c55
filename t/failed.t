# Released requests that nginx itself answers 502, 503 or 504 are counted for the drain that released them: in
# the status, the metrics, the log and the answer of disable?wait=.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Upstream;
use JSON::PP;
use List::Util 'sum0';
use Test::More;

my $t = Intermission->new(
    workers => 3, http2 => 1,
    server => "listen 127.0.0.2:\@PORT\@ reuseport backlog=4096;",
    http => <<'END_OF_CONF',
upstream none { server unix:@DIR@/none.sock max_fails=0; keepalive 4; }
upstream own { server unix:@DIR@/own.sock max_fails=0; }
upstream says { server unix:@DIR@/says.sock max_fails=0; }
upstream says_then_none { server unix:@DIR@/says.sock max_fails=0; server unix:@DIR@/none.sock max_fails=0 backup; }
upstream none_then_says { server unix:@DIR@/none.sock max_fails=0; server unix:@DIR@/says.sock max_fails=0 backup; }
upstream own_then_fine { server unix:@DIR@/own.sock max_fails=0; server unix:@DIR@/says.sock max_fails=0 backup; }
server {
    listen unix:@DIR@/says.sock;
    location / { return 502; }
    location /503 { return 503; }
    location /504 { return 504; }
    location /fine { return 200 fine; }
}
END_OF_CONF
    locations => <<'END_OF_CONF');
set $app_name basecamp;
intermission on;
proxy_read_timeout 20s;
proxy_next_upstream error timeout http_502;
location / { proxy_pass http://backend; }
location /down { proxy_pass http://none; }
location /kept { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://none; }
location /says/ { proxy_pass http://says/; }
location /shown/ { proxy_intercept_errors on; error_page 502 503 504 /page; proxy_pass http://says/; }
location /502-then-none { proxy_pass http://says_then_none; }
location /none-then-502 { proxy_pass http://none_then_says; }
location /fine/dies { proxy_pass http://own_then_fine; }
location /dies { proxy_pass http://own; }
location /slow { proxy_read_timeout 1s; proxy_pass http://own; }
location /fallback { error_page 502 = @fine; proxy_pass http://none; }
location /worse { error_page 502 = @worse; proxy_pass http://none; }
location /page/502 { error_page 502 /page; proxy_pass http://none; }
location /page/200 { error_page 502 =200 /page; proxy_pass http://none; }
location /stale/ { error_page 502 = @says; proxy_pass http://none; }
location /after/down/ { post_action /after; proxy_pass http://backend; }
location = /after { internal; proxy_pass http://none; }
location /down/after/ { post_action /fine-after; proxy_pass http://none; }
location = /fine-after { internal; proxy_pass http://backend; }
location /file { try_files /no/such/file =503; }
location = /page { intermission off; return 200 page; }
location @fine { proxy_pass http://backend; }
location @worse { return 503; }
location @says { proxy_pass http://says; }
location /_intermission { intermission off; intermission_control; }
END_OF_CONF
my $own = Intermission::Upstream->new($t);

sub failed { return $t->status->{totals}{failed} }

# Pauses, waits until requests for these targets are held, and resumes. Returns their clients.
sub pause_with {
    my (@targets) = @_;
    $t->control('enable');
    my @held = map { my $held = $t->send($targets[$_ - 1]); $t->wait_held($_); $held } 1 .. @targets;
    $t->control('disable');
    return @held;
}

# The sum of the failed requests in the log's lines at warn.
sub told { return sum0($t->error_log =~ /\[warn\].*app "basecamp": nginx answered (\d+) released requests? with 502, 503 or 504/g) }

subtest 'the app is down when the pause ends' => sub {
    is $t->get('/down')->{status}, 502, 'the app is down: a request that was not held gets 502';
    $t->control('enable');
    is failed(), 0, 'a 502 to a request that was not held does not count as failed';
    my @crowds = ($t->crowd('--to', '127.0.0.2:' . $t->port, '--count', 60, '--path', '/down/{i}', '--expect', 502));
    push @crowds, $t->crowd_http2('--count', 20, '--connections', 4, '--path', '/down/h2/{i}', '--expect', 502);
    $t->wait_held(80);
    my @kept = map { $t->send("/kept/$_", headers => {Connection => 'keep-alive'}) } 1 .. 5;
    $t->wait_held(85);
    my %holders = map { $_ => 1 } $t->error_log =~ /\[info\] (\d+)#[^\n]*held, ticket/g;
    cmp_ok scalar keys %holders, '>', 1, 'more than one worker holds requests';
    my $answer = $t->control('disable?wait=10s');
    is $answer->{status}, 200, 'the app is down: disable?wait= is answered with 200';
    like $answer->{body}, qr/^nginx answered 85 of 85 released requests with 502, 503 or 504$/m, 'disable?wait= tells how many of the released requests failed';
    is_deeply [map { $_->done->{statuses}{502} } @crowds], [60, 20], 'the app is down: all released requests get 502';
    is $_->response->{status}, 502, 'the app is down: a held request on a kept connection gets 502' for @kept;
    my $status = $t->status;
    is_deeply [@{$status->{totals}}{qw(released failed)}], [85, 85], 'the totals count 85 failed';
    is_deeply [@{$status->{last_drain}}{qw(released failed)}], [85, 85], 'the last drain counts 85 failed';
    is decode_json($t->control('apps')->{body})->{apps}[0]{totals}{failed}, 85, 'the list of apps counts 85 failed';
    like $t->control('metrics')->{body}, qr/^intermission_failed_total\{app="basecamp"\} 85$/m, 'the metrics count 85 failed';
    ok $t->wait_log(qr/\[notice\].*app "basecamp": drained, 85 released in [\d.]+ s; nginx answered 85 of them with 502, 503 or 504$/m), "the log's line of the drain counts 85 failed";
    $t->wait_for(sub { told() == 85 }, 'all failed requests to be in lines at warn');
    my $lines = () = $t->error_log =~ /\[warn\].*nginx answered \d+ released/g;
    cmp_ok $lines, '<=', 3, 'the log has a line a second at most for failed requests';
};

# What happens to released requests: case => [target, status, whether it counts as failed].
my %one = (
    "the app's own 502"  => ['/says/', 502, 0],
    "the app's own 503"  => ['/says/503', 503, 0],
    "the app's own 504"  => ['/says/504', 504, 0],
    "the app's own 502, with a page of nginx" => ['/shown/', 502, 0],
    "an app's 502, and the next app is down" => ['/502-then-none', 502, 1],
    "the first app is down, and the next says 502" => ['/none-then-502', 502, 0],
    'error_page leads to an app that answers' => ['/fallback', 200, 0],
    'error_page leads to an app that says 502 itself' => ['/stale/', 502, 0],
    'error_page leads to a 503' => ['/worse', 503, 1],
    'error_page leads to a page' => ['/page/502', 502, 1],
    'error_page turns the 502 into a 200' => ['/page/200', 200, 0],
    'the configuration answers 503' => ['/file', 503, 1],
    'only the post_action fails' => ['/after/down/', 200, 0],
    'only the post_action does not fail' => ['/down/after/', 502, 1],
    'the app answers' => ['/', 200, 0],
);
for my $what (sort keys %one) {
    subtest $what => sub {
        my ($target, $expected, $fails) = @{$one{$what}};
        my $before = failed();
        is $_->response->{status}, $expected, "$what: answered with $expected" for pause_with($target);
        $t->wait_state('open');
        $t->wait_for(sub { failed() == $before + $fails }, 'the request to count as failed') if $fails;
        is failed(), $before + $fails, $fails ? "$what: counted as failed" : "$what: not counted as failed";
        is $t->status->{last_drain}{failed}, $fails, "$what: the last drain counts the same";
    };
}

subtest 'an app that dies: only a 502 of nginx counts as failed' => sub {
    my $before = failed();
    my ($alone, $next, $middle) = pause_with('/dies/1', '/fine/dies', '/dies/2');
    $own->drop('/dies/1');
    is $alone->response->{status}, 502, 'the app dies before it answers: 502';
    $t->wait_for(sub { failed() == $before + 1 }, 'the first 502 to count as failed');
    $own->drop('/fine/dies');
    is $next->response->{status}, 200, 'the app dies, and the next server answers: 200';
    $own->write('/dies/2', "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    $own->drop('/dies/2');
    is $middle->response->{status}, 0, 'the app dies in the middle of its answer: cut off';
    $t->wait_for(sub { $t->status->{in_flight} == 0 }, 'no request in flight');
    is failed(), $before + 1, 'only the 502 of nginx counts as failed';
    is $t->status->{last_drain}{failed}, 1, 'the last drain counts only the 502 of nginx';
};

subtest 'a request that fails late counts for the drain that released it' => sub {
    my $before = failed();
    my ($first) = pause_with('/slow/1');
    $own->wait('/slow/1');
    $t->wait_state('open');
    is $t->status->{last_drain}{failed}, 0, 'no released request has failed yet';
    is $first->response->{status}, 504, 'the app does not answer a released request in time: 504';
    $t->wait_for(sub { $t->status->{last_drain}{failed} == 1 }, 'the last drain to count the failed request');
    $t->wait_for(sub { told() == failed() }, 'the failed request to be in a line at warn');
    like $t->control('status?app=basecamp')->{body}, qr/^nginx answered 1 of 1 released request with 502, 503 or 504$/m, 'the status tells of the late failure';

    my ($second) = pause_with('/slow/2');
    $own->wait('/slow/2');
    $t->wait_state('open');
    $t->control('enable');
    my $third = $t->send('/fine');
    $t->wait_held(1);
    is $second->response->{status}, 504, 'a released request fails in the next pause: 504';
    $t->wait_for(sub { failed() == $before + 2 }, 'the late failure in the totals');
    is $t->status->{last_drain}{failed}, 1, 'the late failure counts for the drain that released it';
    $t->control('disable');
    is $third->response->{status}, 200, 'the request of the next drain is answered';
    $t->wait_state('open');
    is_deeply [@{$t->status->{last_drain}}{qw(released failed)}], [1, 0], 'the next drain has its own count';

    my ($late) = pause_with('/slow/3');
    $own->wait('/slow/3');
    is $_->response->{status}, 200, 'the request of another drain is answered' for pause_with('/fine/2');
    $t->wait_state('open');
    is $late->response->{status}, 504, 'a request of the drain before fails: 504';
    $t->wait_for(sub { failed() == $before + 3 }, 'the late failure in the totals');
    is $t->status->{last_drain}{failed}, 0, 'the newer drain does not count a failure of the drain before';
};

subtest 'the failed requests of a paced drain count for it' => sub {
    my $before = failed();
    $t->control('enable');
    my @held = map { $t->send("/down/paced/$_") } 1 .. 6;
    $t->wait_held(6);
    is $t->control('disable?concurrency=2&wait=10s')->{status}, 200, 'a drain of two at a time with a dead app is answered with 200';
    is $_->response->{status}, 502, 'a drain of two at a time with a dead app: 502' for @held;
    $t->wait_for(sub { failed() == $before + 6 }, 'all six failures to be counted');
    is $t->status->{last_drain}{failed}, 6, 'the paced drain counts its six failures';
};

subtest 'a failed request of an old worker counts for its drain' => sub {
    my $before = failed();
    my ($held) = pause_with('/slow/old');
    $own->wait('/slow/old');
    $t->wait_state('open');
    $t->reload;
    is $held->response->{status}, 504, 'a released request of an old worker fails: 504';
    $t->wait_for(sub { failed() == $before + 1 }, 'the failure on the old worker to be counted');
    is $t->status->{last_drain}{failed}, 1, 'the failure on an old worker counts for its drain';
};

$t->wait_for(sub { told() == failed() }, 'all failed requests to be in lines at warn');
$t->clean_ok(allow => [qr/connect\(\) to unix:.*none\.sock failed/, qr/upstream timed out/, qr/upstream prematurely closed/, qr/no live upstreams/]);
done_testing;
