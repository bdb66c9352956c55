# client_body_early_read: nginx reads a request's body before it chooses the location. So the module
# sees every request only when its whole body is there.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Http2;
use Test::More;

plan skip_all => 'this nginx reads no body early'
    if !Intermission::knows('client_body_early_read', 'client_body_early_read 1;');

sub instance {
    return Intermission->new(workers => 2, http2 => 1, server => 'client_body_early_read 1; client_body_buffer_size 16;', locations => <<'END_OF_CONF');
set $app_name basecamp;
set $intermission_privileged_user_agent Pingdom;
intermission on;
location / { proxy_pass http://backend; }
location /streamed { proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://backend; }
location /read { intermission_read_body on; proxy_pass http://backend; }
location /short { set $intermission_max_time 0.2; intermission_expired 504; proxy_pass http://backend; }
location /good { intermission_health_check 200; set $intermission_health_check_path /good; proxy_pass http://backend; }
location /_intermission { intermission_control apps=basecamp,campfire; }
END_OF_CONF
}

# Sends a request with its header and half of its body of eight bytes.
sub half {
    my ($t, $target, $framing) = @_;
    my ($length, $part) = $framing eq 'sized' ? ('Content-Length: 8', '1234') : ('Transfer-Encoding: chunked', "8\r\n1234");
    return $t->send('', raw => "POST $target HTTP/1.1\r\nHost: x\r\nConnection: close\r\n$length\r\n\r\n$part");
}

my %end = (sized => '5678', chunked => "5678\r\n0\r\n\r\n");

*answer = \&Intermission::Client::last_response;

my $t = instance();

subtest 'with client_body_early_read a request comes when its body is whole' => sub {
    my @cases = map { my $place = $_; map { ["/$place/$_", $_] } sort keys %end } 'plain', 'streamed', 'read';
    $t->control('status');
    my @clients = map { half($t, @$_) } @cases;
    is $t->control('enable?wait=2s')->{status}, 200, 'uploads that stall are not in flight';
    is $t->status->{held}, 0, 'uploads that stall are not held';
    my $get = $t->send('/get');
    $t->wait_held(1);
    for my $number (reverse 0 .. $#cases) {
        $clients[$number]->write($end{$cases[$number][1]});
        $t->wait_held(1 + @cases - $number);
    }
    is $t->backend_log, 0, 'no upload comes to the app in the pause';
    $t->control('disable');
    is answer($_)->{status}, 200, 'a request with an early body is answered' for $get, @clients;
    $t->came_ok(['/get', reverse map { $_->[0] } @cases], 'requests with early bodies come in the order in which they were whole');
    is_deeply [map { $_->{length} } sort { $a->{position} <=> $b->{position} } $t->backend_log], [0, (8) x @cases], 'early bodies arrive with all of their bytes';
};

subtest 'early bodies: privileged, expired, left and HTTP/2 uploads work as others' => sub {
    $t->control('enable');
    my $post = sub { return $t->send($_[0], body => 'x' x 20_000, @_[1 .. $#_]) };
    is answer($post->('/plain', headers => {'User-Agent' => 'Pingdom'}))->{status}, 200, "a privileged client's upload passes";
    is answer($post->('/short'))->{status}, 504, 'an upload that is held for its max_time is answered with 504';
    is $t->get('/good', body => 'x' x 100, method => 'GET')->{status}, 200, 'a health check with a body passes';
    my $leaver = $post->('/leaver');
    $t->wait_held(1);
    $leaver->close;
    $t->wait_held(0);
    is $t->logged('/leaver')->{intermission}, 'LEFT', 'access log: a client that leaves after its early body is LEFT';
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    $http2->request('/http2', method => 'POST', body => 'x' x 20_000);
    $t->wait_held(1);
    my $before = $t->backend_log;
    $t->control('disable');
    $t->wait_backend($before + 1);
    is(($t->backend_log)[-1]{length}, 20_000, 'over HTTP/2 an early body arrives whole');
    $http2->close;
    $t->wait_state('open');
};

# nginx puts a form of more than sixteen bytes into a file.
subtest 'the control endpoint reads forms in early bodies' => sub {
    my %form = ('Content-Type' => 'application/x-www-form-urlencoded');
    is $t->control('enable', body => 'for=60s', headers => \%form)->{status}, 200, 'a control form in an early body is read';
    is $t->control('enable', body => 'app=campfire&reason=a+reason+that+is+too+long+for+sixteen+bytes', headers => \%form)->{status}, 200, 'a control form that nginx has put into a file is read';
    is $t->status(app => 'campfire')->{reason}, 'a reason that is too long for sixteen bytes', 'a control form that nginx has put into a file is read to its end';
    is $t->control('enable', body => 'reason=' . 'x' x 9000, headers => \%form)->{status}, 413, 'a control form that is too large: 413';
    is $t->control('enable?wait=2s', method => 'POST')->{status}, 200, 'enable?wait= by POST is answered with 200';
};

subtest 'a stop answers an upload when its body is whole' => sub {
    my $stopped = half($t, '/plain/stopped', 'sized');
    $t->control('stop');
    ok !$stopped->answered, 'a stop waits for an early body that nginx is reading';
    $stopped->write('5678');
    is answer($stopped)->{status}, 503, 'a stop answers when the early body is whole';
    $t->control("disable?app=$_") for 'basecamp', 'campfire';
};

$t->clean_ok(apps => ['basecamp', 'campfire']);

done_testing;
