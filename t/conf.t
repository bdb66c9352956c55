# What nginx -t accepts, and how it refuses the rest.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

sub accepted {
    my ($what, %conf) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($exit, $output) = Intermission::nginx_t(%conf);
    return ok($exit eq '0' && $output !~ /\[(?:emerg|alert|crit|error)\]/, "accepted: $what") || diag $output;
}

# $says: patterns that the message must match.
sub refused {
    my ($what, $says, %conf) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($exit, $output) = Intermission::nginx_t(%conf);
    my ($message) = $output =~ /\[emerg\]([^\n]*)/;
    my @missing = grep { ($message // '') !~ $_ } @$says;
    return ok($exit eq '1' && !@missing, "refused: $what") || diag "exit $exit, missing (@missing) in:\n$output";
}

my $control = 'location /_intermission { intermission_control; }';
my $plain = "location / { proxy_pass http://backend; } $control";
my $map = 'map $request_method $writes { default on; GET off; }';

subtest "the original's sample is accepted, and intermission in each place" => sub {
    accepted("the original's sample");
    accepted('a configuration without any directive of intermission', locations => 'location / { return 200; }');
    for my $value (qw(on off $writes)) {
        my $line = "intermission $value;";
        accepted("$line in http", http => "$map $line", locations => $plain);
        accepted("$line in server", http => $map, server => $line, locations => $plain);
        accepted("$line in location", http => $map, locations => "location / { $line }");
        accepted("$line in if", http => $map, locations => "location / { if (\$arg_x) { $line } }");
    }
    accepted('intermission on in http, off in a location', http => 'intermission on;', locations => 'location / { intermission off; }');
};

subtest 'intermission refuses bad values, duplicates and wrong places' => sub {
    refused("intermission $_", [qr/"intermission"/, qr/"\Q$_\E"/, qr/on.*off/],
        locations => "location / { intermission $_; }") for qw(maybe ON 1);
    refused('intermission without a value', [qr/"intermission"/], locations => 'location / { intermission; }');
    refused('intermission with two values', [qr/"intermission"/], locations => 'location / { intermission on off; }');
    refused('intermission twice', [qr/"intermission"/, qr/duplicate/], locations => 'location / { intermission on; intermission off; }');
    refused('intermission of a variable that does not exist', [qr/nosuch/], locations => 'location / { intermission $nosuch; }');
    refused('intermission outside http', [qr/"intermission"/, qr/not allowed here/], main => 'intermission on;');
    refused('intermission in upstream', [qr/"intermission"/, qr/not allowed here/],
        http => 'upstream x { server 127.0.0.1:1; intermission on; }');
    refused('intermission in if in server', [qr/"intermission"/, qr/not allowed here/],
        server => 'if ($arg_x) { intermission on; }');
};

subtest 'intermission_control stands in a prefix or = location, once' => sub {
    accepted('intermission_control in a prefix location', locations => $control);
    accepted('intermission_control in a location that ends in a slash', locations => 'location /_intermission/ { intermission_control; }');
    accepted('intermission_control in a ^~ location', locations => 'location ^~ /_intermission { intermission_control; }');
    accepted('intermission_control in a = location', locations => 'location = /pause/enable { intermission_control; }');
    accepted('intermission_control beside limit_except',
        locations => 'location /c { limit_except GET { deny all; } intermission_control; }');
    refused('intermission_control in a regex location', [qr/"intermission_control"/, qr/prefix/],
        locations => 'location ~ ^/_intermission { intermission_control; }');
    refused('intermission_control in a caseless regex location', [qr/"intermission_control"/, qr/prefix/],
        locations => 'location ~* ^/_intermission { intermission_control; }');
    refused('intermission_control in a named location', [qr/"intermission_control"/, qr/prefix/],
        locations => 'location @control { intermission_control; }');
    refused('intermission_control in a location by variable', [qr/"intermission_control"/, qr/prefix/],
        locations => 'location $arg_control { intermission_control; }');
    refused('intermission_control with a bad argument', [qr/"intermission_control"/],
        locations => 'location /c { intermission_control yes; }');
    refused('intermission_control twice', [qr/"intermission_control"/, qr/duplicate/],
        locations => 'location /c { intermission_control; intermission_control; }');
    refused("intermission_control in $_", [qr/"intermission_control"/, qr/not allowed here/], $_ => 'intermission_control;')
        for qw(main http server);
};

subtest 'intermission_zone is a size, once, in http' => sub {
    accepted("intermission_zone $_", http => "intermission_zone $_;") for qw(1m 10m 1024k 4194304);
    refused("intermission_zone $_", [qr/"intermission_zone"/, qr/"$_"/], http => "intermission_zone $_;")
        for qw(lots 1k 0 -1 1x);
    refused('intermission_zone without a size', [qr/"intermission_zone"/], http => 'intermission_zone;');
    refused('intermission_zone twice', [qr/"intermission_zone"/, qr/duplicate/],
        http => 'intermission_zone 1m; intermission_zone 1m;');
    refused('intermission_zone in server', [qr/"intermission_zone"/, qr/not allowed here/],
        server => 'intermission_zone 1m;');
};

subtest 'intermission_read_body is on or off' => sub {
    for my $value (qw(on off)) {
        accepted("intermission_read_body $value", http => "intermission_read_body $value;", server => "intermission_read_body $value;",
            locations => "location / { intermission_read_body $value; }");
    }
    refused("intermission_read_body $_", [qr/"intermission_read_body"/, qr/"\Q$_\E"/, qr/on.*off/], locations => "location / { intermission_read_body $_; }")
        for qw(yes ON 1 $http_x);
    refused('intermission_read_body twice', [qr/"intermission_read_body"/, qr/duplicate/],
        locations => 'location / { intermission_read_body on; intermission_read_body on; }');
    refused('intermission_read_body in if', [qr/"intermission_read_body"/, qr/not allowed here/],
        locations => 'location / { if ($arg_x) { intermission_read_body on; } }');
};

subtest 'intermission_expired is pass or a status that nginx may answer' => sub {
    for my $value (qw(pass 400 402 404 429 493 500 503 504 599)) {
        accepted("intermission_expired $value", locations => "location / { intermission_expired $value; }");
    }
    for my $value (qw(200 204 301 399 401 408 444 494 495 496 497 498 499 600 1000 0 -1 abc Pass 503.0)) {
        refused("intermission_expired $value", [qr/"intermission_expired"/, qr/"\Q$value\E"/, qr/400/, qr/599/],
            locations => "location / { intermission_expired $value; }");
    }
    accepted('intermission_expired in http and server', http => 'intermission_expired 503;', server => 'intermission_expired pass;');
    refused('intermission_expired twice', [qr/"intermission_expired"/, qr/duplicate/],
        server => 'intermission_expired 503; intermission_expired pass;');
    refused('intermission_expired outside http', [qr/"intermission_expired"/, qr/not allowed here/],
        main => 'intermission_expired pass;');
};

# Directive => [good values], [bad values], what the message says is allowed.
my $statuses = '400 to 599, but not 401, 408, 444 or 494 to 499';
my @no_status = qw(200 204 301 399 401 408 444 494 499 600 0 -1 abc);
my %values = (
    intermission_away => [['off', '1s', '1', '30s', '1m30s'], ['0', '-1', '0.9', '999ms', 'soon', 'on', '""'], '"off" or a time of at least 1s'],
    intermission_lease => [['off', '30s', '0.5', '1m30s', '300'], ['0', '-1', 'soon', '1h1d', '""'], '"off" or a time above 0'],
    intermission_release => [
        ['spread=5s', 'concurrency=20', 'concurrency=20 spread=0.5'],
        ['spread=', 'spread=0', 'spread=soon', 'concurrency=0', 'concurrency=-1', 'concurrency=1.5', 'pace=1', '5s', 'spread=1s spread=1s'],
        '"spread=" with a time or "concurrency=" with a number',
    ],
    intermission_max_held => [['0', '1', '5000'], ['-1', '1.5', 'all', 'off', '1k', '99999999999'], 'a number; with 0 the room is the only limit'],
    intermission_overflow => [[qw(400 429 493 500 503 599)], [@no_status, 'pass'], $statuses],
    intermission_health_check => [[qw(pass 200 204 400 404 503 599)], [grep({ !/^20[04]$/ } @no_status), 201], "\"pass\", 200, 204 or a status from $statuses"],
);

subtest 'each directive with one value accepts what it should, and names what is allowed' => sub {
    for my $directive (sort keys %values) {
        my ($good, $bad, $allowed) = @{$values{$directive}};
        for my $value (@$good) {
            accepted("$directive $value", http => "$directive $value;", server => "$directive $value;", locations => "location / { $directive $value; }");
        }
        for my $value (@$bad) {
            my ($last) = $value =~ /(\S+)$/;
            my $said = $last eq '""' ? '' : $last;
            refused("$directive $value", [qr/invalid value "\Q$said\E" in "$directive" directive/, qr/\Q$allowed\E/], http => "$directive $value;");
        }
        my $value = $good->[0];
        refused("$directive without a value", [qr/"$directive"/], http => "$directive;");
        refused("$directive twice", [qr/"$directive" directive is duplicate/], http => "$directive $value; $directive $value;");
        refused("$directive outside http", [qr/"$directive" directive is not allowed here/], main => "$directive $value;");
        refused("$directive in if", [qr/"$directive" directive is not allowed here/], locations => "location / { if (\$arg_x) { $directive $value; } }");
    }
};

subtest 'intermission_state_file is a path or off, once, in http' => sub {
    accepted("intermission_state_file $_", http => "intermission_state_file $_;") for 'off', 'state';
    refused('intermission_state_file without a name', [qr/invalid value "" in "intermission_state_file" directive: it must be a path or "off"/],
        http => 'intermission_state_file "";');
    refused('intermission_state_file twice', [qr/"intermission_state_file" directive is duplicate/],
        http => 'intermission_state_file off; intermission_state_file off;');
    refused('intermission_state_file in server', [qr/"intermission_state_file" directive is not allowed here/], server => 'intermission_state_file state;');

};

subtest 'epoll is the only event method' => sub {
    accepted('use epoll', events => 'use epoll;');
    for my $method (qw(poll select)) {
        SKIP: {
            my (undef, $output) = Intermission::nginx_t(with_module => 0, events => "use $method;");
            skip "this nginx has no $method", 1 if $output =~ /invalid event type/;
            refused("use $method", [qr/epoll/, qr/$method/], events => "use $method;");
        }
    }
};

done_testing;
