# Bad input gets a clear answer and a line in the log. No request is lost, and no process crashes.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $from_header = <<'END';
set $app_name $http_x_app;
location / {
    set $intermission_max_time $http_x_max;
    set $intermission_privileged_user_agent $http_x_agents;
    intermission on;
    proxy_pass http://backend;
}
location /_intermission { intermission_control; }
END

subtest 'wrong names, times, patterns and queries are answered clearly' => sub {
    my $t = Intermission->new(locations => $from_header);
    my $long = {'X-App' => 'x' x 129};
    $t->control('enable');
    is $t->get('/long', headers => $long)->{status}, 200, 'an app name that is too long is not held';
    $t->wait_log(qr/\[error\].*"\$app_name" is longer than 128 bytes: the request is not held/);
    my $answer = $t->control('enable', headers => $long);
    is $answer->{status}, 400, 'an app name that is too long cannot be paused: 400';
    like $answer->{body}, qr/longer than 128 bytes/, 'an app name that is too long: the answer says why';
    my $just = {'X-App' => 'x' x 128};
    is $t->control('enable', headers => $just)->{status}, 200, 'an app name of 128 bytes can be paused';
    is $t->control('disable', headers => $just)->{status}, 200, 'an app name of 128 bytes can be resumed';

    for my $max ('soon', '-1', '1.5s', '9' x 40) {
        # A worker logs this once a second at most.
        my @held;
        my $line = qr/\[error\].*"\$intermission_max_time" "\Q$max\E" is not a time: 300 s is used instead/;
        $t->wait_for(sub {
            push @held, $t->send("/max/$max", headers => {'X-Max' => $max});
            $t->wait_held(scalar @held);
            $t->error_log =~ $line;
        }, "a line in the log about max_time $max");
        $t->control('disable');
        is $_->response->{status}, 200, "max_time $max: held as if it were not set" for $held[0], $held[-1];
        $t->control('enable');
    }
    my @complaints = $t->error_log =~ /is not a time/g;
    cmp_ok scalar @complaints, '<', 20, 'wrong values of max_time: the log has a line a second and worker, not one for each request';

    for my $pattern ('[a-', '%', '(a', 'a%b', '%f[a]', '%1') {
        my %headers = ('X-Agents' => $pattern, 'User-Agent' => "my $pattern client");
        my $line = qr/\[warn\].*"\$intermission_privileged_user_agent" "\Q$pattern\E"/;
        $t->wait_for(sub { $t->get('/agent', headers => \%headers)->{status} == 200 && $t->error_log =~ $line },
            "a line in the log about the pattern $pattern");
        pass "pattern $pattern is taken literally, and the log warns of it";
    }
    my %costly = ('X-Agents' => '.-' x 400 . 'b', 'User-Agent' => 'a' x 4000);
    my $held = $t->send('/costly', headers => \%costly);
    $t->wait_held(1);
    pass 'a pattern that takes too many steps does not match: the request is held';
    $t->wait_log(qr/\[error\].*takes too many steps/);

    my $huge = 'y' x 7000;
    is $t->control("enable?$huge")->{status}, 400, 'a query of 7 kB is refused';
    is $t->get("/_intermission/$huge")->{status}, 404, 'a verb of 7 kB is refused';
    cmp_ok length $t->control("enable?$huge")->{body}, '<', 200, 'the answer to a query of 7 kB is short';
    my $beyond = $t->control('enable?' . 'y' x 9000);
    is $beyond->{status}, 414, 'a query that is too large for nginx: 414';
    is $t->control("status?\0\x{1}\xff")->{status}, 400, 'bytes of any kind are refused';
    $t->control('disable');
    is $held->response->{status}, 200, 'a request held during bad input is served';
    $t->clean_ok(allow => [qr/\$app_name|\$intermission_max_time|too many steps/]);
};

subtest 'intermission on for the whole http does not hold the control location' => sub {
    my $t = Intermission->new(http => "intermission on;\n", locations => <<'END');
location / { proxy_pass http://backend; }
location /_intermission { intermission_control; }
END
    $t->control('enable');
    my $held = $t->send('/');
    $t->wait_held(1);
    is $t->control('status')->{body}, "Pause enabled.\n", 'a control location is never held';
    $t->control('disable');
    is $held->response->{status}, 200, 'intermission on in http: other locations are held';
    $t->clean_ok;
};

subtest 'a full zone rejects with 503' => sub {
    # 128k is the smallest zone.
    my $t = Intermission->new(workers => 2, http => 'intermission_zone 128k;');
    my $room = $t->status->{slots}{total};
    $t->control('enable');
    my $crowd = $t->crowd('--count', $room);
    $t->wait_held($room, seconds => 30);
    my @over = map { $t->get("/over/$_") } 1 .. 20;
    is scalar(grep { $_->{status} == 503 } @over), 20, 'a full zone: requests are answered with 503';
    is scalar(grep { ($_->{headers}{'retry-after'} // '') eq '10' } @over), 20, 'a full zone: the 503 has Retry-After';
    is $t->get('/up')->{status}, 200, 'a full zone: health checks pass';
    $t->wait_log(qr/\[warn\].*app "basecamp": no room: \d+ requests? rejected, the last one because of intermission_zone/);
    my @lines = $t->error_log =~ /no room/g;
    cmp_ok scalar @lines, '<', 10, 'a full zone: the log has a line a second at most';
    is $t->status->{totals}{rejected}, 20, 'a full zone: the rejected are counted';
    $t->control('disable');
    is $crowd->done->{statuses}{200}, $room, 'a full zone: all held requests are served';
    is $t->position_inversions, 0, 'a full zone: the held requests are released in order';
    $t->clean_ok;
};

subtest 'a full table of apps rejects with 503' => sub {
    # Paused apps fill the table.
    my $t = Intermission->new(http => 'intermission_zone 128k;', locations => $from_header);
    my $enable = sub { $t->control('enable', headers => {'X-App' => "app$_[0]"})->{status} };
    my ($count, $last) = (0, 200);
    $count++ while $count < 2000 && ($last = $enable->($count)) == 200;
    is $last, 503, "after $count paused apps the table is full: 503";
    $t->wait_log(qr/\[error\].*app "app$count": not paused: the table of apps is full, /);
    is $t->control('disable', headers => {'X-App' => 'app0'})->{status}, 200, 'a full table of apps: one app is resumed';
    is $enable->('another'), 200, 'a full table of apps: the entry of the open app is used again';
    is $t->control('status', headers => {'X-App' => 'app1'})->{body}, "Pause enabled.\n", 'a full table of apps: the other apps stay paused';
    $t->clean_ok(allow => [qr/the table of apps is full/]);
};

done_testing;
