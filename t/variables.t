# What the operator's four variables mean, and where they may come from.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;
use Time::HiRes 'time';

sub location {
    my ($name, $lines) = @_;
    return "location /$name { $lines intermission on; proxy_pass http://backend; }\n";
}

my $long = 'n' x 129;
my $t = Intermission->new(
    http => <<'END',
map $http_x_tenant $tenant { default basecamp; other other; }
geo $intermission_health_check_path { default /geo-health; }
map $http_x_max $intermission_max_time { default ""; half 0.5; }
geo $anchored { default "^Check%-%d+ v[12]%.%d$"; }    # only geo takes a $ as it is
END
    server => 'set $app_name basecamp;',
    locations => join('',
        location('health', 'set $intermission_health_check_path /health/db;'),
        location('agents', 'set $intermission_privileged_user_agent "Pingdom";'),
        location('pattern', 'set $intermission_privileged_user_agent $anchored;'),
        location('literal', 'set $intermission_privileged_user_agent "a.b(c";'),
        location('nobody', 'set $intermission_privileged_user_agent "";'),
        location('decimal', 'set $intermission_max_time 0.4;'),
        location('suffix', 'set $intermission_max_time 400ms;'),
        location('wrong', 'set $intermission_max_time soon;'),
        location('interval', 'set $intermission_interval 1;'),
        location('tenant', 'set $app_name $tenant;'),
        location('iffy', 'if ($http_x_other) { set $app_name other; }'),
        location('long', "set \$app_name $long;"),
        location('no-checks', 'set $intermission_health_check_path off; rewrite ^/no-checks(/up)$ $1 break;'),
        'location = /answered/up { set $intermission_health_check_path /answered/up; intermission_health_check 200; intermission on; proxy_pass http://backend; }',
        location('', ''),
        'location /_intermission { intermission_control; }',
        'location /other { set $app_name other; intermission_control; }',
    ),
);

# Checks that a request passes in the pause. Requests that are held are released at the end.
my @held;
sub passes {
    my ($target, $what, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = $t->status->{held};
    my $client = $t->send($target, %opt);
    my $end = $t->wait_for(
        sub { $client->answered ? 'passes' : $t->status->{held} > $before ? 'held' : undef }, "$target is answered or held");
    push @held, $client if $end eq 'held';
    return is($end, 'passes', $what);
}

sub is_held {
    my ($target, $what, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $client = $t->send($target, %opt);
    my $before = @held;
    push @held, $client;
    my $held = eval { $t->wait_held($before + 1, seconds => 3) };
    return ok($held && !$client->answered, $what);
}

$t->control('enable');

subtest '$intermission_health_check_path: a GET or HEAD of exactly this path or /up' => sub {
    is_held('/a', 'without variables a request is held');
    passes('/up', '/up passes');
    is_held('/up/', '/up/ is no health check');
    is_held('/UP', '/UP is no health check');
    passes('/up?x=1', '/up with arguments passes');
    passes('/geo-health', 'a health path from geo passes');
    is_held('/health/dbx', '/health/dbx is no health check: a path must be equal');
    is_held('/health/db/', '/health/db/ is no health check: a path must be equal');
    passes('/health/db', '/health/db is a health check');
    passes('/health/./db', '/health/./db is a health check: $uri counts');
    for my $method ('POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS') {
        is_held($_, "$method to $_ is no health check", method => $method) for '/up', '/health/db', '/answered/up';
    }
    passes($_, "HEAD to $_ is a health check", method => 'HEAD') for '/up', '/health/db', '/answered/up';
    is_held('/no-checks/up', 'health checks are off: /up is held like any other path');
    is_held('/no-checks/off', 'health checks are off: a path that ends in off is held');
};

subtest '$intermission_privileged_user_agent: a text or a Lua pattern' => sub {
    passes('/agents', 'a privileged agent passes', headers => {'User-Agent' => 'Mozilla/5.0 Pingdom.com_bot'});
    is_held('/agents', 'a User-Agent in another case is held', headers => {'User-Agent' => 'pingdom'});
    is_held('/agents', 'without a User-Agent a request is held');
    is_held('/nobody', 'an empty value privileges no client', headers => {'User-Agent' => 'x'});
    is_held('/nobody', 'an empty User-Agent where the value is empty is held', headers => {'User-Agent' => ''});
    passes('/pattern', 'a Lua pattern matches', headers => {'User-Agent' => 'Check-42 v1.3'});
    is_held('/pattern', 'a User-Agent that does not match the Lua pattern is held', headers => {'User-Agent' => 'Check-x v1.3'});
    is_held('/pattern', 'a User-Agent that matches only behind the anchor is held', headers => {'User-Agent' => 'A Check-42 v1.3'});
    passes('/pattern', 'a User-Agent that contains the pattern literally passes', headers => {'User-Agent' => 'is ^Check%-%d+ v[12]%.%d$ here'});
    passes('/literal', 'a value that is no pattern is taken literally', headers => {'User-Agent' => 'a.b(c'});
};

subtest '$app_name from a map or an if; a name that is too long is not held' => sub {
    is_held('/interval', 'with a value of the old $intermission_interval a request is held');
    is_held('/tenant', 'an app from a map is held');
    passes('/tenant', 'another app from a map, not paused, passes', headers => {'X-Tenant' => 'other'});
    passes('/iffy', 'another app from an if, not paused, passes', headers => {'X-Other' => 1});
    is_held('/iffy', 'without the if the paused app is held');

    passes('/long', 'a request with an app name that is too long is not held');
    ok($t->wait_log(qr/\[error\].*app/), 'an app name that is too long is logged');
};

subtest '$intermission_max_time: decimals, units, and 300 s for a wrong value' => sub {
    for my $case (['/decimal'], ['/suffix'], ['/a', headers => {'X-Max' => 'half'}]) {
        my ($target, %opt) = @$case;
        my $start = time;
        is($t->get($target, %opt)->{status}, 200, "$target expires and passes");
        my $took = time - $start;
        ok($took > 0.35 && $took < 2, "$target: expires at its time ($took s)");
    }
    is_held('/wrong', 'a request with a wrong max_time is held');
    ok($t->wait_log(qr/\[error\].*soon/), 'a wrong max_time is logged');
};

subtest 'the held requests are released in order' => sub {
    is($t->status->{totals}{expired}, 3, 'three requests expired');
    my $passed = $t->backend_log;
    $t->control('disable');
    is($_->response->{status}, 200, 'each held request is answered when the pause ends') for @held;
    $t->wait_state('open');
    is($t->position_inversions(after => $passed), 0, 'the held requests were released in order');
};

subtest 'the access log says what happened to each' => sub {
    is($t->logged('/decimal')->{intermission}, 'EXPIRED', 'access log: EXPIRED');
    is($t->logged('/up?x=1')->{intermission}, 'BYPASSED', 'access log: BYPASSED');
    is($t->logged('/interval')->{intermission}, 'HELD', 'access log: HELD');
    is($t->get('/last')->{status}, 200, 'after the pause a request is answered');
    is($t->logged('/last')->{intermission}, 'PASSED', 'access log: PASSED');
};

$t->clean_ok(allow => [qr/\[error\].*soon/, qr/\[error\].*app/]);
done_testing;
