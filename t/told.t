# What the answers tell operators: which app and which pause a call was about, whose pause it is, and what was changed.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use JSON::PP;
use MIME::Base64;
use Test::More;

my $t = Intermission->new(
    locations => <<'END',
location / { set $app_name shop; intermission on; proxy_pass http://backend; }
location /_intermission { set $app_name shop; intermission_control apps=*; }
location /forgotten { intermission_control; }
END
);
my $time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;

sub says {
    my ($verb, $status, $pattern, $what, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $answer = $t->control($verb, %opt);
    is $answer->{status}, $status, "$what: $status";
    like $answer->{body}, $pattern, $what;
    return $answer;
}

subtest 'an answer names the app, and warns if the app has no requests' => sub {
    is $t->get('/')->{status}, 200, 'a request of the app is answered';
    says 'enable?for=60s&by=alice&reason=db%20switch', 200,
        qr/^Pause enabled\.\napp "shop": pause \d+ is active, by alice, since $time, until $time, reason "db switch"\n\z/, 'enable tells app, pause, caller, lease and reason';
    says 'status?app=shop', 200, qr/^Pause enabled\.\napp "shop": pause \d+ is active, by alice/, 'status?app= tells app, pause and caller';
    is $t->control('status')->{body}, "Pause enabled.\n", 'status without parameters: the exact text';
    is $t->control('status?format=text')->{body}, "Pause enabled.\n", 'status with format=text only: the exact text';
    says 'disable?by=alice', 200, qr/^Pause disabled\.\napp "shop": pause \d+ was ended by alice at $time\n/, 'disable tells who ended which pause';
    for my $case (['enable?for=9s', '/forgotten', 'the default app'], ['enable?app=shopp', '/_intermission', 'app "shopp"']) {
        my ($verb, $at, $app) = @$case;
        says $verb, 200, qr/^Pause enabled\.\n\Q$app\E: pause .*\nno request of this app was ever seen/, "$app: the answer warns that no request of this app was seen", at => $at;
    }
    unlike $t->control('enable?for=9s')->{body}, qr/ever seen/, 'enable of an app that has requests: no warning about the name';
    $t->control('disable');
    $t->control('disable?app=shopp');
    $t->control('disable', at => '/forgotten');
};

subtest 'an answer warns of a lease that is longer than the max_time' => sub {
    my $t = Intermission->new(workers => 4, locations => <<'END');
location / { set $app_name shop; set $intermission_max_time 90; intermission on; proxy_pass http://backend; }
location /coded { set $app_name coded; set $intermission_max_time 90; intermission on; intermission_expired 503; proxy_pass http://backend; }
location /unset { set $app_name unset; intermission on; proxy_pass http://backend; }
location /mapped { set $app_name mapped; set $intermission_max_time $arg_max; intermission on; proxy_pass http://backend; }
location /_intermission { set $app_name shop; intermission_control apps=*; }
END
    my $doubts = sub {
        my ($app, $lease) = @_;
        my $body = $t->control("enable?app=$app&for=$lease")->{body};
        return $body =~ /^a request that is held for (\S+) s will be passed on to the app, although it is paused: the lease ends later$/m ? $1 : undef;
    };
    my $open = sub { $t->control("disable?app=$_[0]"); $t->wait_state('open', app => $_[0]) };
    is $doubts->('shop', '2m'), undef, 'a lease, and no request seen: no warning';
    $open->('shop');
    $t->get($_) for '/', '/coded', '/unset', '/mapped?max=5';
    is $doubts->('shop', '2m'), 90, 'an answer warns of a lease that is longer than the max_time';
    like $t->control('status?app=shop')->{body}, qr/^a request that is held for 90 s will be passed on to the app/m, 'a lease longer than the max_time: the status says so';
    is $doubts->('coded', '2m'), undef, 'a lease longer than the max_time, but expired requests are answered: no warning';
    is $doubts->('unset', '2m'), undef, 'a lease shorter than the max_time: no warning';
    $open->('unset');
    is $doubts->('unset', '10m'), undef, 'a lease longer than the max_time of requests before the last pause: no warning';
    $open->('unset');
    $t->get('/unset');
    is $doubts->('unset', '10m'), 300, 'a lease longer than the default max_time: a warning';
    $open->('mapped');
    is $doubts->('mapped', '1m'), 5, "a lease longer than a request's own max_time: a warning";
    my $held = $t->send('/mapped?max=0.5');
    $t->wait_held(1, app => 'mapped');
    is $doubts->('mapped', '1m'), '0.5', 'a lease longer than the shortest max_time of the held requests: a warning';
    is $held->response->{status}, 200, 'the request that expires goes on to the app';
    $open->($_) for 'shop', 'coded', 'unset', 'mapped';
    $t->clean_ok;
};

subtest 'an answer says if nothing was changed' => sub {
    $t->control('enable?for=60m&by=alice');
    my $until = $t->status->{until};
    says 'enable?for=60s', 200, qr/^Pause enabled\.\n.*\nnothing was changed: the pause still ends at \Q$until\E\n\z/, 'enable with a shorter lease: nothing was changed';
    is decode_json($t->control('enable?for=60s&format=json')->{body})->{changed}, JSON::PP::false, 'enable with a shorter lease as JSON: changed is false';
    unlike $t->error_log, qr/pause changed/, 'enable with a shorter lease: the log has no change';
    $t->control('enable');
    says 'enable?for=60s', 200, qr/nothing was changed: the pause still has no end/, 'enable with a lease in an endless pause: nothing was changed';
    $t->control('disable');
};

subtest "an answer says whose pause it is, and what was changed" => sub {
    my $id = $t->control('enable?for=60s&by=alice&reason=db%20switch')->{headers}{'intermission-pause'};
    my $answer = says 'enable?for=10m&by=bob&reason=deploy', 200, qr/by alice/, "enable in another caller's pause says whose pause it is";
    like $answer->{body}, qr/^the reason was changed; the old reason was "db switch"$/m, "enable in another caller's pause tells the old reason";
    like $answer->{body}, qr/^the end was changed; the old end was $time$/m, "enable in another caller's pause tells the old end";
    $t->wait_log(qr/pause changed by bob, pause $id, until $time, reason "deploy", old reason "db switch", begun by alice/);
    says 'enable?new=1&by=bob', 409, qr/not open: pause $id is active, by alice, since $time, until $time, reason "deploy"/, "enable?new=1 in another caller's pause says whose pause it is";
    says "enable?id=9", 409, qr/the pause with this "id" is not active: pause $id is active, by alice/, "enable with another number in another caller's pause says whose pause it is";
    says 'disable?id=9', 409, qr/pause $id is active, by alice/, "disable with another number in another caller's pause says whose pause it is";
    $t->control('disable?by=bob');
    $t->wait_log(qr/resumed by bob, pause $id, after [\d.]+ s, 0 held, begun by alice/);
    is $t->status->{drained_by}, 'bob', 'the status has the caller that resumed';
    says "disable?id=$id", 410, qr/^pause $id was ended by bob at $time; nothing was changed\n/, 'disable of a pause that another caller ended: 410';
    like decode_json($t->control("disable?id=$id&format=json", method => 'POST')->{body})->{error}, qr/ended by bob/, 'disable of a pause that another caller ended as JSON: who ended it';
    says "enable?id=$id", 409, qr/pause $id was ended by bob/, 'enable with the number of a pause that another caller ended: who ended it';
};

subtest "a caller that renews or ends its pause leaves another caller's stop alone" => sub {
    my $id = $t->control('enable?for=60s&by=alice')->{headers}{'intermission-pause'};
    is $t->control("enable?id=$id&paused=1&for=70s")->{status}, 200, 'enable?paused=1 of a pause: 200';
    $t->control('stop?by=bob');
    says "enable?id=$id&paused=1&for=90s", 409, qr/the pause with this "id" is a stop now: pause $id is active \(stopped\), by alice/, 'enable?paused=1 of a stop: 409';
    says "disable?id=$id&paused=1", 409, qr/is a stop now: pause $id/, 'disable?paused=1 of a stop: 409';
    is $t->status->{state}, 'stopped', 'it is stopped';
    is $t->control("disable?id=$id")->{status}, 200, 'without paused=1 the stop is ended: 200';
};

subtest 'a disable of a pause that is over says how it ended' => sub {
    my $enable = sub { return $t->control("enable?$_[0]")->{headers}{'intermission-pause'} };
    my $own = $enable->('new=1');
    is $t->control("disable?id=$own")->{status}, 200, "disable with the pause's number: 200";
    $t->wait_state('open');
    is $t->control("disable?id=$own")->{status}, 304, 'disable of a pause that a disable with its number has ended: 304';
    is $t->control("disable?id=$own", method => 'POST')->{status}, 200, 'disable by POST of a pause that a disable with its number has ended: 200';
    my $leased = $enable->('for=200ms');
    $t->wait_state('open');
    says "disable?id=$leased", 410, qr/was ended by its lease at $time/, 'disable of a pause that its lease has ended: 410';
    my $next = $enable->('new=1');
    says "disable?id=$leased", 409, qr/pause $next is active/, "disable of an old pause while another is active: 409";
    $t->control('disable');
};

subtest 'by is the user, or the address, or what by= says' => sub {
    my $basic = {Authorization => 'Basic ' . encode_base64('carol:secret', '')};
    $t->control('enable', headers => $basic);
    is $t->status->{by}, 'carol', 'by is $remote_user';
    $t->control('disable', headers => $basic);
    $t->wait_log(qr/resumed by carol, pause \d+, after/);
    $t->control('enable?by=dave', headers => $basic);
    is $t->status->{by}, 'dave', 'by= overrides $remote_user';
    $t->control('disable');
    $t->control('enable?by=');
    is $t->status->{by}, '127.0.0.1', 'without user and by= the address is shown';
    $t->control('disable');
    $t->control('enable?by=' . 'x' x 64);
    is $t->status->{by}, 'x' x 64, 'by= of 64 bytes is shown whole';
    $t->control('disable');
    is $t->control('enable?by=' . 'x' x 65)->{status}, 400, 'by= of 65 bytes: 400';
    $t->control('enable', headers => {Authorization => 'Basic ' . encode_base64('y' x 99 . ':', '')});
    is $t->status->{by}, 'y' x 64, 'a $remote_user of more than 64 bytes is cut off';
    $t->control('disable');
    $t->control('stop?by=eve%2C%20pause%207');
    $t->wait_log(qr/stopped by "eve, pause 7", pause \d+/);
    $t->control('disable');
};

subtest 'disable tells how the drain goes on' => sub {
    $t->control('enable');
    my @held = map { my $held = $t->send("/$_"); $t->wait_held($_); $held } 1 .. 3;
    says 'disable?spread=60s', 200, qr/^Pause disabled\.\n.*\n\d held requests? (?:is|are) released over 60 s, until $time\n/, 'disable with a pace tells the pace and the end';
    says 'disable?spread=0', 200, qr/^\d held requests? (?:is|are) released at once\n/m, 'disable without a pace tells that all go on at once';
    is $_->response->{status}, 200, 'a request that the answer of disable counted is released' for @held;
    $t->wait_state('open');
};

subtest 'enable?wait= tells the same as enable' => sub {
    says 'enable?wait=1s&by=alice', 200, qr/^Pause enabled\.\napp "shop": pause \d+ is active, by alice/, 'enable?wait= tells whose pause it is';
    is decode_json($t->control('enable?wait=1s&format=json')->{body})->{changed}, JSON::PP::false, 'enable?wait= in a pause as JSON: changed is false';
    $t->control('disable');
};

$t->clean_ok(at => ['/_intermission', '/forgotten']);
done_testing;
