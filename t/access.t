# Access control comes first: a request that is turned away is answered at once and takes no ticket.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use MIME::Base64 ();
use Test::More;

my %address = (in => 'allow 127.0.0.1; deny all;', out => 'deny all;');
my $password = 'auth_basic staff; auth_basic_user_file @DIR@/passwords;';
my %check = (
    address => '',
    password => $password,
    subrequest => 'auth_request /auth;',
    both => "$password auth_request /auth;",
);

my $places = '';
for my $satisfy ('all', 'any') {
    for my $from ('in', 'out') {
        for my $check (sort keys %check) {
            my $rules = "satisfy $satisfy; $address{$from} $check{$check}";
            $places .= "location /$satisfy/$from/$check { $rules intermission on; proxy_pass http://backend; }\n";
        }
    }
}
my %except = (
    denied => 'deny all;',
    allowed => 'allow 127.0.0.1; deny all;',
    password => $password,
    any => "deny all; $password",
);
for my $name (sort keys %except) {
    my $satisfy = $name eq 'any' ? 'satisfy any;' : '';
    $places .= "location /except/$name { $satisfy limit_except GET { $except{$name} } intermission on; proxy_pass http://backend; }\n";
}

my $t = Intermission->new(
    workers => 2,
    http => <<'END',
map $request_method $writes { default on; GET off; HEAD 0; OPTIONS ""; }
map $cookie_tester $everybody { default on; secret off; }
map $http_x_variant $named { v-on on; v-1 1; v-yes yes; v-off off; v-0 0; v-00 00; v-no no; default ""; }
END
    locations => $places . <<'END',
location = /auth {
    internal;
    intermission on;
    proxy_pass http://backend/auth?status=$http_x_auth;
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
}
location = /page/403.html { root @DIR@; intermission on; }
location /shown/address { error_page 403 /page/403.html; deny all; intermission on; proxy_pass http://backend; }
location /shown/password {
    error_page 401 /page/403.html;
    auth_basic staff;
    auth_basic_user_file @DIR@/passwords;
    intermission on;
    proxy_pass http://backend;
}
location /writes { intermission $writes; proxy_pass http://backend; }
location /testers { intermission $everybody; proxy_pass http://backend; }
location /named { intermission $named; proxy_pass http://backend; }
location /if { intermission on; if ($arg_through) { intermission off; } proxy_pass http://backend; }
location /unless { if ($arg_hold) { intermission on; } proxy_pass http://backend; }
location /_intermission { intermission_control; }
END
);
open my $passwords, '>', $t->dir . '/passwords' or die "passwords: $!";
print {$passwords} "ada:{PLAIN}love\n";
close $passwords;
mkdir $t->dir . '/page' or die "page: $!";
open my $page, '>', $t->dir . '/page/403.html' or die "page: $!";
print {$page} "Not for you.\n";
close $page;

my @held;

sub at_backend {
    my ($target) = @_;
    return scalar grep { $_->{target} eq $target } $t->backend_log;
}

# Returns what happens to a request ('held', or the status that it is answered with at once), and how many tickets were taken.
sub outcome {
    my ($target, %opt) = @_;
    my $held = sub { $t->status->{totals}{held} };
    my $before = $held->();
    my $client = $t->send($target, %opt);
    $t->wait_for(sub { $client->answered || $held->() > $before }, "$target is answered or held");
    push @held, $client if !$client->answered;
    return ($client->answered ? $client->response->{status} : 'held', $held->() - $before);
}

sub is_held {
    my ($target, $what, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = at_backend($target);
    return is_deeply([outcome($target, %opt), at_backend($target)], ['held', 1, $before], "$what: held");
}

sub is_answered {
    my ($target, $status, $what, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_deeply([outcome($target, %opt)], [$status, 0], "$what: $status at once, and no ticket");
}

# Headers with this password, and with the status that the auth_request service is to answer.
sub credentials {
    my ($password, $subrequest) = @_;
    my $basic = 'Basic ' . MIME::Base64::encode_base64("ada:$password", '');
    return (headers => {'X-Auth' => $subrequest, length $password ? (Authorization => $basic) : ()});
}

$t->control('enable');

subtest 'a failed password or auth_request takes no ticket, under satisfy all and any' => sub {
    # Check, what the request has, and the check's result: 200, or the status with which the request is turned away.
    my @requests = (
        ['password', 'the password', 200, credentials('love', 200)],
        ['password', 'a wrong password', 401, credentials('hate', 200)],
        ['password', 'no password', 401, credentials('', 200)],
        ['subrequest', 'auth_request 200', 200, credentials('', 200)],
        ['subrequest', 'auth_request 401', 401, credentials('', 401)],
        ['subrequest', 'auth_request 403', 403, credentials('', 403)],
    );
    for my $request (@requests) {
        my ($check, $what, $status, %opt) = @$request;
        is_answered("/all/out/$check", 403, "satisfy all: a denied address, $what", %opt);
        is_held("/any/in/$check", "satisfy any: an allowed address, $what", %opt);
        for my $place (["/all/in/$check", 'satisfy all: an allowed address'], ["/any/out/$check", 'satisfy any: a denied address']) {
            my ($target, $where) = @$place;
            if ($status == 200) { is_held($target, "$where, $what", %opt) }
            else                { is_answered($target, $status, "$where, $what", %opt) }
        }
    }
};

subtest 'a denied address takes no ticket' => sub {
    for my $satisfy ('all', 'any') {
        is_held("/$satisfy/in/address", "satisfy $satisfy: an allowed address");
        is_answered("/$satisfy/out/address", 403, "satisfy $satisfy: a denied address");
    }
};

subtest 'a password and auth_request together are asked before the hold' => sub {
    is_held('/all/in/both', 'satisfy all: the password, auth_request 200', credentials('love', 200));
    is_answered('/all/in/both', 401, 'satisfy all: no password, auth_request 200', credentials('', 200));
    is_answered('/all/in/both', 403, 'satisfy all: the password, auth_request 403', credentials('love', 403));
    is_held('/any/out/both', 'satisfy any: no password, auth_request 200', credentials('', 200));
    is_held('/any/out/both', 'satisfy any: the password, auth_request 403', credentials('love', 403));
    is_answered('/any/out/both', 401, 'satisfy any: no password, auth_request 401', credentials('', 401));
};

subtest 'the page of a refused request comes at once, even if its place holds' => sub {
    is_answered('/shown/address', 403, 'a denied address, with an error_page in a place that holds');
    is_answered('/shown/password', 401, 'no password, with an error_page in a place that holds');
};

subtest 'limit_except: a method that it refuses takes no ticket' => sub {
    my %post = (method => 'POST');
    is_held('/except/denied', 'limit_except GET: a GET');
    is_answered('/except/denied', 403, 'limit_except GET: a POST that is denied', %post);
    is_held('/except/allowed', 'limit_except GET: a POST that is allowed', %post);
    is_held('/except/password', 'limit_except GET: a POST with the password', %post, credentials('love', ''));
    is_answered('/except/password', 401, 'limit_except GET: a POST without the password', %post);
    is_held('/except/any', 'limit_except GET, satisfy any: a GET');
    is_held('/except/any', 'limit_except GET, satisfy any: a POST with the password', %post, credentials('love', ''));
    is_answered('/except/any', 401, 'limit_except GET, satisfy any: a POST without the password', %post);
};

subtest 'a map of the method, or of a cookie, chooses which requests are held' => sub {
    is_held('/writes', "only writes are held: a $_", method => $_) for 'POST', 'PUT', 'DELETE';
    is_answered('/writes', 200, "only writes are held: a $_", method => $_) for 'GET', 'HEAD', 'OPTIONS';
    is_held('/testers', "testers pass by their cookie: a request without it");
    is_held('/testers', "testers pass by their cookie: a request with a wrong one", headers => {Cookie => 'tester=public'});
    is_answered('/testers', 200, "testers pass by their cookie: a request with it", headers => {Cookie => 'a=b; tester=secret'});
};

subtest 'a variable holds a request unless it is empty, 0 or off' => sub {
    is_held('/named', "intermission by a variable that is \"$_\"", headers => {'X-Variant' => "v-$_"}) for 'on', '1', 'yes', '00', 'no';
    is_answered('/named', 200, "intermission by a variable that is \"$_\"", headers => {'X-Variant' => "v-$_"}) for 'off', '0', '';
};

subtest 'an if turns intermission on or off for the requests that match it' => sub {
    is_held('/if', 'intermission off in an if: a request that does not match');
    is_answered('/if?through=1', 200, 'intermission off in an if: a request that matches');
    is_held('/unless?hold=1', 'intermission on in an if: a request that matches');
    is_answered('/unless', 200, 'intermission on in an if: a request that does not match');
};

subtest 'the held requests go on in order, and are not authorized a second time' => sub {
    my $passed = $t->backend_log;
    $t->control('disable');
    is scalar(grep { $_->response->{status} == 200 } @held), 32, 'all held requests are answered';
    is $t->position_inversions(after => $passed), 0, 'the held requests come to the app in order';
    is scalar(grep { $_->{target} =~ /^.auth/ && $_->{seq} > $passed } $t->backend_log), 0, 'no released request is authorized a second time';
};

$t->clean_ok(allow => [qr/access forbidden by rule/, qr/password mismatch/]);
done_testing;
