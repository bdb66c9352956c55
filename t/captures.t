# When the module reads a variable, the location's own regex captures stay as they are.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $http = <<'END';
map $uri $unless_public { default on; "~^/files/public/" off; }
map $uri $grouped { default on; "~^/(\w)(\w+)/(public)/" off; }
map $host $app_name { default s; "~^(?<t>[a-z0-9-]+)\.apps\.test$" $t; }
map $uri $outer { "~^/(.)(.)(.)(.)(.)" $inner; default $inner; }
map $uri $inner { "~^/([a-z]+)/([a-z]+)" on; default on; }
map $1 $by_capture { default on; "~^pub(.)ic" off; }
map $uri $intermission_max_time { "~^/short/(?<rest>.*)" 0.3; "~(.)(.)(.)" 300; }
map $http_user_agent $intermission_privileged_user_agent { "~^(Ping)(dom)" Pingdom; "~(.)" none; default none; }
map $request_body$sent_http_x_late $by_late { default on; }
log_format late '$request_uri [$request_body] [$sent_http_x_late]';
map $uri $intermission_health_check_path { "~^/(he)(al)(th)/(.+)$" /health/check; default ""; }
END

my $locations = <<'END';
location ~ ^/files/(.+)$ { intermission $unless_public; proxy_pass http://backend/$1; }
location ~ ^/grouped/(.+)$ { intermission $grouped; proxy_pass http://backend/$1; }
location ~ ^/wiki/(.+)$ { intermission on; proxy_pass http://backend/$1; }
location ~ ^/nested/(?<rest>.+)$ { intermission $outer; proxy_pass http://backend/$rest/$1; }
location ~ ^/short/(?<rest>.+)$ { intermission on; proxy_pass http://backend/$rest/$1; }
location ~ ^/named/(?<t>.+)$ { intermission on; proxy_pass http://backend/$t; }
location ~ ^/health/(.+)$ { intermission on; proxy_pass http://backend/$1; }
location ~ ^/mine/(.+)$ { intermission $by_capture; proxy_pass http://backend/$1; }
location /if/ { intermission $outer; if ($uri ~ ^/if/(\w+)/(\w+)$) { proxy_pass http://backend; } if ($uri ~ ^/if/(\w+)$) { rewrite ^/if/(\w+) /rewritten/$1/if break; proxy_pass http://backend; } }
location /rewrite/ { intermission $outer; rewrite ^/rewrite/(.)(.*)$ /$2$1 break; proxy_pass http://backend/$2/$1; }
location /set/ { intermission $outer; if ($uri ~ ^/set/(.+)$) { set $whole $1; } proxy_pass http://backend/$whole/$1; }
location ~ ^/tried/(.+)$ { intermission $outer; root @DIR@; try_files /none-$1 @tried; }
location @tried { intermission on; proxy_pass http://backend/tried/$1; }
location ~ ^/late/(.+)$ { access_log @DIR@/late.log late; add_header X-Late late; intermission $by_late; proxy_pass http://backend/late/$1; }
location /plain/ { intermission $outer; proxy_pass http://backend/plain/$1; }
location ~ ^/_(intermission)/(status|enable|disable|stop)$ { rewrite ^/_(.*) /$1 last; }
location /intermission { intermission_control apps=*; add_header X-Capture "$1-$2"; }
location /_intermission { intermission_control apps=*; }
END

# Target, the target at the app, what the case is, whether the request passes in the pause ('passes').
my @asked = (
    ['/files/public/a.txt',  '/public/a.txt', 'a map without groups', 'passes'],
    ['/files/private/a.txt', '/private/a.txt', 'a map that does not match'],
    ['/grouped/public/a',    '/public/a', 'a map with groups', 'passes'],
    ['/wiki/Start',          '/Start', 'a map with groups for the app\'s name', ''],
    ['/wiki/Start',          '/Start', 'a map with named groups for the app\'s name', '', host => 'acme.apps.test'],
    ['/wiki/Start',          '/Start', 'a map with groups for the User-Agent', '', headers => {'User-Agent' => 'Pingdom'}],
    ['/nested/a/b',          '/a/b/a/b', 'maps in a map'],
    ['/short/a/b',           '/a/b/a/b', 'a named group of the location that a map uses too'],
    ['/named/page',          '/page', 'a named group of the location that the app\'s name uses too', '', host => 'acme.apps.test'],
    ['/health/check',        '/check', 'a map with groups for the health check path, which matches'],
    ['/health/other',        '/other', 'a map with groups for the health check path, which does not match'],
    ['/mine/a/b',            '/a/b', 'a map of the capture $1, which does not match'],
    ['/mine/public',         '/public', 'a map of the capture $1, which matches', 'passes'],
    ['/if/abc',              '/rewritten/abc/if', 'a rewrite in an if'],
    ['/if/abc/def',          '/if/abc/def', 'an if'],
    ['/rewrite/abc',         '/bc/a', 'a rewrite'],
    ['/set/abc',             '/abc/abc', 'a set from a capture'],
    ['/tried/abc',           '/tried/abc', 'try_files'],
    ['/plain/abc',           '/plain/', 'no capture at all'],
    ['/late/abc',            '/late/abc', 'a map of the body and of a response header', undef, body => 'a body'],
);

my $t = Intermission->new(workers => 2, http => $http, locations => $locations);

# Each request has a number of its own, by which it is found in the app's log.
my $number = 0;
sub ask {
    my ($target, undef, undef, undef, %opt) = @_;
    return $t->send($target, %opt, headers => {%{$opt{headers} // {}}, 'X-Id' => ++$number});
}
sub came {
    my ($id) = @_;
    return (map { $_->{target} } grep { ($_->{id} // '') eq $id } $t->backend_log)[0];
}

subtest 'open: reading the variables leaves the captures alone' => sub {
    for my $case (@asked) {
        my $client = ask(@$case);
        $client->response;
        is came($number), $case->[1], "open: $case->[2]";
    }
};

my @held;
$t->control("enable?app=$_") for 's', 'acme';
for my $case (@asked) {
    my $client = ask(@$case);
    push @held, [$client, $number, $case];
}
$t->wait_for(sub {
    my @answered = grep { $_->[0]->answered } @held;
    my $held = $t->status(app => 's')->{held} + $t->status(app => 'acme')->{held} + @answered;
    $held == @held || undef;
}, 'the requests of a paused app are held or answered');

subtest "paused: the app's name and the maps decide which requests are held" => sub {
    ok $t->status(app => 'acme')->{held} == 2, 'the two requests of the app that a named group names are held';
    my @passing = grep { ($_->[2][3] // '') eq 'passes' } @held;
    is came($_->[1]), $_->[2][1], "paused, but passes: $_->[2][2]" for @passing;
};

subtest 'paused: a released request goes on with its own captures' => sub {
    $t->control("disable?app=$_") for 's', 'acme';
    for my $one (@held) {
        my ($client, $id, $case) = @$one;
        $client->response;
        is came($id), $case->[1], "paused: $case->[2]";
    }
};

subtest 'values that are read before the body and the headers are there are read again later' => sub {
    # When the gate asked for them, there was no body and no response header yet.
    my @late = $t->wait_for(sub { my @lines = split /\n/, Intermission::slurp($t->dir . '/late.log'); @lines == 2 && \@lines }, 'two lines in late.log')->@*;
    is_deeply \@late, [('/late/abc [a body] [late]') x 2], 'the access log has the body and the header, open and paused';
};

subtest 'the control endpoint leaves the captures alone' => sub {
    is $t->get('/_intermission/status', host => 'acme.apps.test')->{headers}{'x-capture'}, 'intermission/status-',
        'the control endpoint leaves the captures alone';
};

$t->clean_ok;
done_testing;
