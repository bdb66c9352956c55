# intermission_read_body together with other directives of a place, and after other readers of the body.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use IO::Select;
use Test::More;
use Time::HiRes 'time';

my $control = "location /_intermission { intermission_control; }\n";
my $read = 'intermission on; intermission_read_body on;';

sub expecting {
    my ($t, $target, %opt) = @_;
    return $t->send('', raw => "POST $target HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n", %opt);
}

# Sends a request with four of the ten bytes of its body, after nginx has asked for them.
sub upload {
    my $client = expecting(@_);
    my ($said, $end) = ('', time + 10);
    while ($said !~ /\r\n\r\n/ && time < $end) {
        IO::Select->new($client->socket)->can_read(0.1) && (sysread $client->socket, $said, 100, length $said or last);
    }
    is $said, "HTTP/1.1 100 Continue\r\n\r\n", "$_[1]: nginx asks for the body";
    $client->write('1234');
    return $client;
}

*answer = \&Intermission::Client::last_response;

# The requests at the app, sorted: "target length ended".
sub arrived { return [sort map { "$_->{target} $_->{length} $_->{ended}" } $_[0]->backend_log] }

# Checks that each of these requests is held once, and not before its body is whole.
sub all_come_whole {
    my ($t, @targets) = @_;
    $t->control('enable');
    my $before = $t->status->{totals}{held};
    my %upload = map { $_ => upload($t, $_) } @targets;
    is $t->status->{held}, 0, 'no request is held before its body is there';
    for my $number (1 .. @targets) {
        $upload{$targets[$number - 1]}->write('567890');
        ok eval { $t->wait_held($number) }, "$targets[$number - 1]: the request is held when its body is there";
    }
    $t->control('disable');
    is answer($upload{$_})->{status}, 200, "$_: the held request is answered" for @targets;
    is $t->status->{totals}{held} - $before, @targets, 'each request was held once';
    $t->wait_state('open');
}

subtest 'together with other directives each body is read once, and arrives whole' => sub {
    my $t = Intermission->new(workers => 2, http => <<'END_OF_SERVER', locations => <<"END_OF_PLACES");
server {
    listen unix:@DIR@/accel.sock;
    location / { add_header X-Accel-Redirect /landed$uri; return 200; }
}
END_OF_SERVER
location / { $read proxy_pass http://backend; }
location /any { satisfy any; allow all; $read proxy_pass http://backend; }
location /asks { auth_request /auth/yes; $read proxy_pass http://backend; }
location /asks/any { satisfy any; deny all; auth_request /auth/yes; $read proxy_pass http://backend; }
location /refuses { auth_request /auth/no; $read proxy_pass http://backend; }
location /denies { deny all; $read proxy_pass http://backend; }
location = /auth/yes { internal; return 200; }
location = /auth/no { internal; return 403; }
location /except { limit_except GET { allow all; } $read proxy_pass http://backend; }
location /if { $read if (\$request_method = POST) { proxy_pass http://backend; } }
location /tries { $read try_files /none \@app; }
location /tries/later { intermission off; try_files /none \@app; }
location \@app { $read proxy_pass http://backend; }
location /rewritten { rewrite ^ /landed\$uri last; }
location /fails { $read proxy_pass http://unix:\@DIR\@/nobody.sock; error_page 502 = \@app; }
location /fails/later { intermission off; proxy_pass http://unix:\@DIR\@/nobody.sock; error_page 502 = \@app; }
location /accel { $read proxy_pass http://unix:\@DIR\@/accel.sock; }
location /landed { $read proxy_pass http://backend; }
location /mirrored { mirror /copy; $read proxy_pass http://backend; }
location /mirrored/any { satisfy any; allow all; mirror /copy; $read proxy_pass http://backend; }
location = /copy { internal; proxy_pass http://backend/copy\$request_uri; }
location /variable { intermission \$arg_held; intermission_read_body on; proxy_pass http://backend; }
location /static { alias \@DIR\@/nginx.conf; $read }
location /off { intermission_read_body on; proxy_pass http://backend; }
$control
END_OF_PLACES
    my @places = qw(/plain /any /asks /asks/any /except /if /tries /tries/later /rewritten /fails /fails/later /accel /mirrored /mirrored/any /variable?held=on);
    all_come_whole($t, @places);
    my %lands = (map { $_ => "/landed$_" } '/rewritten', '/accel');
    is_deeply arrived($t), [sort map { "$_ 10 whole" } (map { $lands{$_} // $_ } @places), '/copy/mirrored', '/copy/mirrored/any'],
        'all bodies arrive whole, also if several phases ask for them';

    $t->control('enable');
    is answer(expecting($t, $_))->{status}, 403, "$_: 403 at once, and the body is not asked for" for '/refuses', '/denies';
    my @through = map { upload($t, $_) } '/off', '/variable?held=off';
    $_->write('567890') for @through;
    is answer($_)->{status}, 200, 'where intermission is off, intermission_read_body changes nothing' for @through;
    is $t->status->{held}, 0, 'where intermission is off, no request was held';

    # nginx answers while it is still in the call that reads the body.
    my $kept = $t->send('/static', method => 'POST', body => 'x', keepalive => 1);
    $t->wait_held(1);
    $t->control('disable');
    is $kept->response->{status}, 405, 'nginx answers a held request whose body it has read: 405';
    $t->wait_state('open');
    for my $try (1, 2) {
        $kept->request('/static', method => 'POST', body => 'x', keepalive => 1);
        is $kept->response->{status}, 405, 'without a pause nginx answers a request whose body it has read: 405';
    }
    $kept->request('/plain', keepalive => 1);
    is answer($kept)->{status}, 200, 'the connection of the 405 goes on with another request';
    $t->control('enable');

    # Two requests come in one segment, the first with a body.
    my $post = "POST /piped HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n1234";
    my $piped = $t->send('', raw => $post . "GET /behind HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    $t->wait_held(1);
    $t->control('disable');
    is $piped->response->{status}, 200, 'a pipelined request with a body is answered';
    $piped->{response} = undef;
    is answer($piped)->{status}, 200, 'the request behind a pipelined one is answered';
    is((grep { $_->{target} eq '/piped' } $t->backend_log)[0]{length}, 4, 'a pipelined request comes with its own body alone');
    $t->clean_ok(allow => [qr/access forbidden by rule/, qr/nobody\.sock/]);
};

subtest 'a body that nginx throws away is not waited for' => sub {
    # The app serves the page for the 413.
    my $t = Intermission->new(workers => 2, locations => <<"END_OF_PLACES");
location /large { client_max_body_size 4; error_page 413 = \@page; }
location \@page { $read proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_pass http://backend; }
$control
END_OF_PLACES
    $t->control('enable');
    my $large = $t->send('', raw => "POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n12345");
    $t->wait_held(1);
    $t->control('disable');
    is $large->response->{status}, 200, 'a body that is thrown away is not waited for';
    $large->close;
    $t->clean_ok(allow => [qr/client intended to send too large body/]);
};

subtest 'WebDAV gets its body in a file' => sub {
    my $nginx = $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx';
    plan skip_all => 'this nginx has no WebDAV' if `$nginx -V 2>&1` !~ /http_dav_module/;
    my $t = Intermission->new(workers => 2, locations => <<"END_OF_PLACES");
location / { root \@DIR\@/dav; dav_methods PUT; client_body_in_file_only clean; $read }
$control
END_OF_PLACES
    mkdir $t->dir . '/dav' or die "dav: $!";
    chmod 0777, $t->dir . '/dav';
    $t->control('enable');
    my $put = $t->send('/file', method => 'PUT', body => 'content');
    $t->wait_held(1);
    $t->control('disable');
    is answer($put)->{status}, 201, 'WebDAV with client_body_in_file_only: a file is put';
    is -s $t->dir . '/dav/file', 7, 'WebDAV with client_body_in_file_only: the file is whole';
    $t->clean_ok;
};

subtest 'beside client_body_early_read (nginx 1.31.5) a request comes when its body is whole' => sub {
    my ($exit) = Intermission::nginx_t(http => 'client_body_early_read 1;');
    plan skip_all => 'this nginx has no client_body_early_read' if $exit;
    my $t = Intermission->new(workers => 2, http2 => 1, server => 'client_body_early_read 1;', locations => <<"END_OF_PLACES");
location / { $read proxy_pass http://backend; }
location /without { intermission on; proxy_pass http://backend; }
location /streamed { $read proxy_request_buffering off; proxy_pass http://backend; }
location /refuses { deny all; $read proxy_pass http://backend; }
$control
END_OF_PLACES
    my @places = qw(/plain /without /streamed);
    all_come_whole($t, @places);
    is_deeply arrived($t), [sort map { "$_ 10 whole" } @places], 'early bodies arrive whole';
    $t->control('enable');
    my $get = $t->send('/get');
    $t->wait_held(1);
    my $crowd = $t->crowd_http2('--count', 5, '--connections', 1, '--method', 'POST', '--body', 100_000);
    $t->wait_held(6);
    $t->control('stop');
    is answer($get)->{status}, 503, 'a stop answers a request that is held behind an early body';
    is $crowd->done->{statuses}{503}, 5, 'a stop answers streams of HTTP/2 that are held behind early bodies';
    $t->clean_ok(allow => [qr/access forbidden by rule/]);
};

done_testing;
