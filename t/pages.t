# A request that is turned away before the gate gets nginx's own page at once. A page that the app serves is a request to the app.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $http = <<'END';
limit_req_zone $uri zone=one:1m rate=1r/m;
limit_conn_zone $request_method zone=conn:1m;
map $uri $page_of_map { default /err.html; }
END

# The forms of error_page; @STATUS@ stands for the status.
my %form = (
    plain => 'error_page @STATUS@ /err.html;',
    equals => 'error_page @STATUS@ = /err.html;',
    status => 'error_page @STATUS@ =200 /err.html;',
    zero => 'error_page @STATUS@ =0 /err.html;',
    named => 'error_page @STATUS@ @rewritten;',
    named_equals => 'error_page @STATUS@ = @rewritten;',
    recursive => 'recursive_error_pages on; error_page @STATUS@ /err.html;',
    recursive_equals => 'recursive_error_pages on; error_page @STATUS@ = /recursive/err.html;',
    tried => 'error_page @STATUS@ = @tried;',
    index => 'error_page @STATUS@ = /index/;',
    variable => 'error_page @STATUS@ = $page_of_map;',
);
# What turns a request away: the status, and the directives.
my %away = (
    deny => [403, 'deny all;'],
    limit_req => [429, 'limit_req zone=one; limit_req_status 429;'],
    return => [503, 'if ($uri) { return 503; }'],
    too_large => [413, 'client_max_body_size 1;'],
    auth => [401, 'auth_basic a; auth_basic_user_file @DIR@/passwords;'],
    auth_request => [401, 'auth_request /auth;'],
);
my $places = '';
for my $form (sort keys %form) {
    for my $away (sort keys %away) {
        my ($status, $how) = @{$away{$away}};
        my $page = $form{$form} =~ s/\@STATUS\@/$status/r;
        $places .= "location = /$form/$away { $page $how proxy_pass http://backend; }\n";
    }
}

my $bound = Intermission::knows('max_headers', 'location / { }', server => 'max_headers 20;') ? 'max_headers 20;' : '';
my $t = Intermission->new(
    workers => 2,
    http => $http,
    server => "intermission on; root \@DIR\@/pages; set \$app_name s; error_page 400 414 494 /err.html; large_client_header_buffers 2 1k; satisfy all; $bound",
    locations => $places . <<'END',
location / { proxy_pass http://backend; }
location = /err.html { }
location = /recursive/err.html { recursive_error_pages on; }
location @rewritten { rewrite ^ /err.html break; }
location @tried { try_files /none /err.html =500; }
location /index/ { index err.html; }
location @app { proxy_pass http://backend; }
location = /auth { internal; proxy_pass http://backend/auth?status=401; proxy_pass_request_body off; }

location = /login { proxy_pass http://backend; }
location = /app/deny { deny all; error_page 403 = /login; }
location = /app/auth { auth_request /auth; error_page 401 /login; proxy_pass http://backend; }
location = /app/status { auth_request /auth; error_page 401 =200 /login; proxy_pass http://backend; }
location = /app/named { auth_request /auth; error_page 401 = @app; proxy_pass http://backend; }
location = /app/goto { error_page 418 = @app; return 418; }
location = /app/tried { deny all; error_page 403 = @falls; }
location @falls { try_files /none @app; }
location = /app/recursive { recursive_error_pages on; deny all; error_page 403 = /app/recursive/page; }
location = /app/recursive/page { recursive_error_pages on; error_page 404 = @app; }
location = /app/if { deny all; error_page 403 = /app/iffy; }
location = /app/iffy { if ($uri) { proxy_pass http://backend; } }
location /app/missing { error_page 404 = @app; }
location /unheld/missing { intermission off; error_page 404 = @app; }
location /app/rewritten { rewrite ^ /login last; }
location = /app/gif { deny all; error_page 403 = /empty.gif; }
location = /empty.gif { empty_gif; }
location /static/ { alias @DIR@/pages/; }
location /_intermission { intermission_control; }
END
);
mkdir $t->dir . '/pages' or die "pages: $!";
for my $page ('err.html', 'index/err.html', 'recursive/err.html') {
    mkdir $t->dir . "/pages/$1" if $page =~ m{(.*)/};
    open my $file, '>', $t->dir . "/pages/$page" or die "$page: $!";
    print {$file} "a page of nginx's\n";
}
open my $passwords, '>', $t->dir . '/passwords' or die "passwords: $!";
print {$passwords} "ada:{PLAIN}love\n";
close $passwords;
$t->get("/$_/limit_req") for sort keys %form;

my @held;
sub held { $t->status->{totals}{held} // 0 }
sub is_answered {
    my ($target, $what, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = held();
    my $client = $t->send($target, %opt);
    $t->wait_for(sub { $client->answered || held() > $before }, "$target is answered or held");
    push @held, $client if !$client->answered;
    my $body = $client->answered ? $client->response->{body} : 'held';
    return is_deeply [$body, held() - $before], ["a page of nginx's\n", 0], "$what: the page at once, and no ticket";
}
sub is_held {
    my ($target, $what, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = held();
    my $client = $t->send($target, %opt);
    $t->wait_for(sub { $client->answered || held() > $before }, "$target is answered or held");
    push @held, $client;
    return ok !$client->answered, "$what: held";
}

my $first = $t->backend_log;
my %sent = (too_large => {method => 'GET', body => 'x' x 100});
for my $state ('paused', 'stopped') {
    $t->control($state eq 'paused' ? 'enable' : 'stop');
    subtest "$state: a request that nginx turns away gets its page at once, and takes no ticket" => sub {
        for my $form (sort keys %form) {
            is_answered("/$form/$_", "$state: $_, $form", %{$sent{$_} // {}}) for sort keys %away;
        }
        is_answered('/', "$state: a malformed request (two Host headers)", raw => "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        is_answered('/', "$state: a request line that is too long", raw => 'GET /' . 'x' x 3000 . " HTTP/1.1\r\nHost: a\r\n\r\n");
        is_answered('/', "$state: a header that is too long", raw => "GET / HTTP/1.1\r\nHost: a\r\nX: " . 'x' x 3000 . "\r\n\r\n");
        SKIP: {
            skip 'this nginx has no max_headers', 1 if !$bound;
            is_answered('/', "$state: too many headers", raw => "GET / HTTP/1.1\r\nHost: a\r\n" . "X: 1\r\n" x 20 . "\r\n");
        }
        is $t->get('/app/gif')->{headers}{'content-type'}, 'image/gif', "$state: the picture of empty_gif comes at once";
    };
    $t->wait_held(0);
    next if $state eq 'stopped';

    subtest "paused: a page that the app serves is held, and comes to the app once after the pause" => sub {
        is_held('/app/deny', 'a page that the app serves');
        is_held('/app/auth', 'a login page of the app');
        is_held('/app/status', 'a page that the app serves with another status');
        is_held('/app/named', 'a page that the app serves in a named location');
        is_held('/app/goto', 'error_page 418 that leads to the app');
        is_held('/app/tried', 'try_files that falls to the app');
        is_held('/app/recursive', 'an error_page whose own error_page leads to the app');
        is_held('/app/if', 'a page that proxy_pass in an if serves');
        is_held('/app/missing', 'a missing file whose error_page leads to the app');
        is_held('/unheld/missing', 'a missing file, with intermission off, whose error_page leads to the app');
        is_held('/app/rewritten', 'a rewritten URI that goes to the app');
        is_held('/static/err.html', 'a page of nginx that is requested directly');
        my $before = $t->backend_log;
        is scalar(grep { $_->{target} !~ /^.auth/ && $_->{seq} > $first } $t->backend_log), 0, 'no held page came to the app';
        $t->control('disable');
        $_->response for @held;
        my @came = grep { $_->{seq} > $before } $t->backend_log;
        is scalar(grep { $_->{target} !~ /^.auth/ } @came), 11, 'after the pause each held page comes to the app once';
    };
}

# Errors of TLS and of limit_conn have pages, too.
subtest 'pages for TLS errors, for limit_conn and for a server that answers 503 to all come at once' => sub {
    my ($key, $certificate) = map { $t->dir . "/$_" } 'key.pem', 'certificate.pem';
    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout $key -out $certificate 2>/dev/null") == 0
        or die 'openssl req';
    $t->control('disable');
    $t->reload(http => $http . <<'END');
server {
    listen unix:@DIR@/tls.sock ssl;
    ssl_certificate @DIR@/certificate.pem;
    ssl_certificate_key @DIR@/key.pem;
    ssl_verify_client on;
    ssl_client_certificate @DIR@/certificate.pem;
    set $app_name s;
    intermission on;
    error_page 495 496 497 = /err.html;
    location / { proxy_pass http://backend; }
    location = /err.html { root @DIR@/pages; }
}
server {
    listen unix:@DIR@/conn.sock;
    set $app_name s;
    intermission on;
    location / { limit_conn conn 1; limit_conn_status 429; error_page 429 = /err.html; proxy_pass http://backend; }
    location = /err.html { root @DIR@/pages; }
}
server {
    listen unix:@DIR@/flag.sock;
    set $app_name s;
    intermission on;
    root @DIR@/pages;
    if (-f @DIR@/pages/err.html) { return 503; }
    error_page 503 @maintenance;
    location / { proxy_pass http://backend; }
    location @maintenance { rewrite ^ /err.html break; }
}
END
    for my $state ('stop', 'enable') {
        $t->control($state);
        is_answered('/any/where', "$state: a server that returns 503 to all", to => 'unix:' . $t->dir . '/flag.sock');
    }
    is_answered('/', '497 (plain HTTP to the TLS port)', to => 'unix:' . $t->dir . '/tls.sock');
    my $said = `printf 'GET / HTTP/1.0\r\n\r\n' | timeout 10 openssl s_client -quiet -unix @{[$t->dir]}/tls.sock 2>/dev/null`;
    like $said, qr/a page of nginx's\n\z/, '496 (no client certificate): the page at once';
    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=other -keyout $key.other -out $certificate.other 2>/dev/null") == 0
        or die 'openssl req';
    $said = `printf 'GET / HTTP/1.0\r\n\r\n' | timeout 10 openssl s_client -quiet -cert $certificate.other -key $key.other -unix @{[$t->dir]}/tls.sock 2>/dev/null`;
    like $said, qr/a page of nginx's\n\z/, '495 (a wrong client certificate): the page at once';
    my $first_one = $t->send('/', to => 'unix:' . $t->dir . '/conn.sock');
    $t->wait_held(1);
    is_answered('/', 'limit_conn', to => 'unix:' . $t->dir . '/conn.sock');
    $t->control('disable');
    is $first_one->response->{status}, 200, 'limit_conn: the request that may connect is held and goes on';
    $t->reload(http => $http);
};

# The module's own answers go through error_page too, but not if the page would come from a stopped app.
subtest "stopped: the site's own page is shown, but not by way of the stopped app" => sub {
    $t->control('disable');
    my $text = <<'END';
error_page 503 507 /err.html;
location / { proxy_pass http://backend; }
location = /err.html { root @DIR@/pages; }
location /named { error_page 503 507 = @rewritten; proxy_pass http://backend; }
location @rewritten { root @DIR@/pages; rewrite ^ /err.html break; }
location /full { intermission_max_held 1; intermission_overflow 507; proxy_pass http://backend; }
location /full/app { intermission_max_held 1; intermission_overflow 507; error_page 507 /page/of/app; proxy_pass http://backend; }
location /expired { set $intermission_max_time 0.2; intermission_expired 503; proxy_pass http://backend; }
location /app { error_page 503 /page/of/app; proxy_pass http://backend; }
location /app/recursive { recursive_error_pages on; error_page 503 = /app/recursive/page; proxy_pass http://backend; }
location /other { error_page 503 = @other; proxy_pass http://backend; }
location @other { set $app_name other; proxy_pass http://backend; }
location /off { error_page 503 = @off; proxy_pass http://backend; }
location /equals { intermission_max_held 1; intermission_overflow 507; error_page 503 507 = @full; proxy_pass http://backend; }
location @full { intermission_overflow 429; proxy_pass http://backend; }
location @off { intermission off; proxy_pass http://backend; }
location /_intermission { intermission_control; }
END
    $t->reload(server => 'intermission on; set $app_name s;', locations => $text);
    $t->control('stop');
    my $came = $t->backend_log;
    is $t->get($_)->{body}, "a page of nginx's\n", "stopped: $_ gets the site's page" for '/', '/named', '/full';
    for my $target ('/app', '/app/recursive') {
        my $answer = $t->get($target);
        is $answer->{status}, 503, "stopped: $target, whose page the app would have to serve, gets 503";
        like $answer->{body}, qr/503 Service/, "stopped: $target: the 503 is nginx's own page";
        is $answer->{headers}{'retry-after'}, 10, "stopped: $target: the 503 has one Retry-After";
    }
    my $equals = $t->get('/equals');
    is $equals->{status}, 503, 'stopped: error_page 503 507 = with a page of the app: 503, not the status of intermission_overflow';
    is $equals->{headers}{'retry-after'}, 10, "stopped: error_page 503 507 = with a page of the app: the 503 has Retry-After";
    is scalar($t->backend_log), $came, 'stopped: the app was asked for no page';
    is $t->get('/other')->{status}, 200, 'stopped: a page that another, open app serves is shown';
    is $t->get('/off')->{status}, 200, 'stopped: a page from a place with intermission off is shown';
    is_deeply [map { $_->{target} } grep { $_->{seq} > $came } $t->backend_log], ['/other', '/off'], 'stopped: only the pages of open places came to the app';
};

subtest "no room: the site's own page is shown" => sub {
    $t->control('enable');
    my $one = $t->send('/full');
    $t->wait_held(1);
    is $t->get('/full')->{body}, "a page of nginx's\n", 'no room: the site\'s page';
    my $full = $t->get('/full/app');
    is $full->{status}, 507, 'no room, and the page would come from the app: 507';
    is $t->get('/equals')->{status}, 507, "no room, error_page 503 507 = with a page of the app: the status of intermission_overflow";
    is $t->get('/expired')->{body}, "a page of nginx's\n", 'a request that expired gets the site\'s page';
    $t->control('disable');
    is $one->response->{status}, 200, 'the request that had room is answered';
};

subtest 'a page that the app serves counts as in flight' => sub {
    $t->wait_state('open');
    $t->reload(locations => <<'END');
location = /login { proxy_pass http://backend/login?delay=2000; }
location = /auth { internal; proxy_pass http://backend/auth?status=401; }
location / { auth_request /auth; error_page 401 /login; proxy_pass http://backend; }
location /expired { set $intermission_max_time 0.2; intermission_expired 503; error_page 503 = /slow; proxy_pass http://backend; }
location = /stopped { error_page 503 = @other; proxy_pass http://backend; }
location @other { set $app_name other; proxy_pass http://backend; }
location = /slow { proxy_pass http://backend/slow?delay=2000; }
location /_intermission { intermission_control apps=other; }
END
    my $login = $t->send('/');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'the login page to be in flight');
    is $t->control('enable?wait=0.3')->{status}, 504, 'a page that the app serves counts as in flight: enable?wait= is answered with 504';
    is $login->response->{status}, 401, 'the page that the app serves is answered';
    $t->control('enable');
    my $expired = $t->send('/expired');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'the page of an expired request to be in flight');
    is $expired->response->{status}, 200, 'the expired page is answered';
    $t->control('stop');
    my $stopped = $t->send('/stopped?delay=2000');
    $t->wait_for(sub { $t->status(app => 'other')->{in_flight} == 1 }, 'the page to be in flight for the other app');
    is $t->status->{in_flight}, 0, 'a page of another app does not count as in flight for the stopped app';
    is $stopped->response->{status}, 200, 'a page of another app is answered';
    $t->control('disable');
    $t->wait_state('open');
};

$t->clean_ok(allow => [qr/access forbidden by rule/, qr/no user\/password/, qr/client intended to send too large body/, qr/limiting (?:requests|connections)/, qr/client sent/,
    qr/open\(\) ".*none|missing/, qr/open\(\) .*failed \(2/]);
done_testing;
