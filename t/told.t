# What operators are told: about which app and pause it was, whose that is, and what came of it.

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

subtest 'about which app it was' => sub {
    is $t->get('/')->{status}, 200, 'a request of the app';
    says 'enable?for=60s&by=alice&reason=db%20switch', 200,
        qr/^Pause enabled\.\napp "shop": pause \d+ is under way, by alice, since $time, until $time, reason "db switch"\n\z/, 'enable';
    says 'status?app=shop', 200, qr/^Pause enabled\.\napp "shop": pause \d+ is under way, by alice/, 'status';
    is $t->control('status')->{body}, "Pause enabled.\n", 'exact without parameters';
    is $t->control('status?format=text')->{body}, "Pause enabled.\n", 'or with the format only';
    says 'disable?by=alice', 200, qr/^Pause disabled\.\napp "shop": pause \d+ was ended by alice at $time\n/, 'disable';
    for my $case (['enable?for=9s', '/forgotten', 'the default app'], ['enable?app=shopp', '/_intermission', 'app "shopp"']) {
        my ($verb, $at, $app) = @$case;
        says $verb, 200, qr/^Pause enabled\.\n\Q$app\E: pause .*\nno request of this app was ever seen/, "$app: a mistake is doubted", at => $at;
    }
    unlike $t->control('enable?for=9s')->{body}, qr/ever seen/, 'the right one is not';
    $t->control('disable');
    $t->control('disable?app=shopp');
    $t->control('disable', at => '/forgotten');
};

subtest 'a pause in whose middle requests will go on to the app is doubted' => sub {
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
        return $body =~ /^requests that are held for (\S+) s go on to the app before the lease ends$/m ? $1 : undef;
    };
    my $open = sub { $t->control("disable?app=$_[0]"); $t->wait_state('open', app => $_[0]) };
    is $doubts->('shop', '2m'), undef, 'nothing is known before a request was seen';
    $open->('shop');
    $t->get($_) for '/', '/coded', '/unset', '/mapped?max=5';
    is $doubts->('shop', '2m'), 90, 'a lease that is longer than the max_time';
    like $t->control('status?app=shop')->{body}, qr/^requests that are held for 90 s go on to the app/m, 'the status says so too';
    is $doubts->('coded', '2m'), undef, 'where they are answered there is no doubt';
    is $doubts->('unset', '2m'), undef, 'nor where the lease is shorter';
    $open->('unset');
    is $doubts->('unset', '10m'), undef, 'what is known is of requests since the last pause';
    $open->('unset');
    $t->get('/unset');
    is $doubts->('unset', '10m'), 300, 'without a max_time it is 300 s';
    $open->('mapped');
    is $doubts->('mapped', '1m'), 5, 'a max_time of the request\'s own';
    my $held = $t->send('/mapped?max=0.5');
    $t->wait_held(1, app => 'mapped');
    is $doubts->('mapped', '1m'), '0.5', 'the shortest of those held';
    is $held->response->{status}, 200, 'which goes on to the app';
    $open->($_) for 'shop', 'coded', 'unset', 'mapped';
    $t->clean_ok;
};

subtest 'nothing changed is said as such' => sub {
    $t->control('enable?for=60m&by=alice');
    my $until = $t->status->{until};
    says 'enable?for=60s', 200, qr/^Pause enabled\.\n.*\nnothing was changed: still until \Q$until\E\n\z/, 'a shorter lease';
    is decode_json($t->control('enable?for=60s&format=json')->{body})->{changed}, JSON::PP::false, 'in JSON';
    unlike $t->error_log, qr/pause changed/, 'and the log has no such line';
    $t->control('enable');
    says 'enable?for=60s', 200, qr/nothing was changed: still without end/, 'of an endless one';
    $t->control('disable');
};

subtest "a colleague's pause" => sub {
    my $id = $t->control('enable?for=60s&by=alice&reason=db%20switch')->{headers}{'intermission-pause'};
    my $answer = says 'enable?for=10m&by=bob&reason=deploy', 200, qr/by alice/, 'enable says whose it is';
    like $answer->{body}, qr/^changed: the reason, it was "db switch"$/m, 'and what was changed';
    like $answer->{body}, qr/^changed: the end, it was $time$/m, 'the end, too';
    $t->wait_log(qr/pause changed by bob, pause $id, until $time, reason "deploy", was "db switch", begun by alice/);
    says 'enable?new=1&by=bob', 409, qr/not open: pause $id is under way, by alice, since $time, until $time, reason "deploy"/, 'a new one';
    says "enable?id=9", 409, qr/that pause is not the one under way: pause $id is under way, by alice/, "another number";
    says 'disable?id=9', 409, qr/pause $id is under way, by alice/, 'disable of another number';
    $t->control('disable?by=bob');
    $t->wait_log(qr/resumed by bob, pause $id, after [\d.]+ s, 0 held, begun by alice/);
    is $t->status->{drained_by}, 'bob', 'who resumed is told';
    says "disable?id=$id", 410, qr/^pause $id was ended by bob at $time; nothing was changed\n/, 'her own disable';
    like decode_json($t->control("disable?id=$id&format=json", method => 'POST')->{body})->{error}, qr/ended by bob/, 'in JSON';
    says "enable?id=$id", 409, qr/pause $id was ended by bob/, 'her late heartbeat';
};

subtest 'a disable of a pause that is over' => sub {
    my $enable = sub { return $t->control("enable?$_[0]")->{headers}{'intermission-pause'} };
    my $own = $enable->('new=1');
    is $t->control("disable?id=$own")->{status}, 200, 'its own';
    $t->wait_state('open');
    is $t->control("disable?id=$own")->{status}, 304, 'repeated';
    is $t->control("disable?id=$own", method => 'POST')->{status}, 200, 'repeated by POST';
    my $leased = $enable->('for=200ms');
    $t->wait_state('open');
    says "disable?id=$leased", 410, qr/was ended by its lease at $time/, 'its lease was faster';
    my $next = $enable->('new=1');
    says "disable?id=$leased", 409, qr/pause $next is under way/, "somebody else's is under way";
    $t->control('disable');
};

subtest 'who it was' => sub {
    my $basic = {Authorization => 'Basic ' . encode_base64('carol:secret', '')};
    $t->control('enable', headers => $basic);
    is $t->status->{by}, 'carol', '$remote_user';
    $t->control('disable', headers => $basic);
    $t->wait_log(qr/resumed by carol, pause \d+, after/);
    $t->control('enable?by=dave', headers => $basic);
    is $t->status->{by}, 'dave', 'by= goes before';
    $t->control('disable');
    $t->control('enable?by=');
    is $t->status->{by}, '127.0.0.1', 'an empty one says nothing: the address';
    $t->control('disable');
    $t->control('enable?by=' . 'x' x 64);
    is $t->status->{by}, 'x' x 64, '64 bytes';
    $t->control('disable');
    is $t->control('enable?by=' . 'x' x 65)->{status}, 400, 'one more';
    $t->control('enable', headers => {Authorization => 'Basic ' . encode_base64('y' x 99 . ':', '')});
    is $t->status->{by}, 'y' x 64, 'a long $remote_user is cut';
    $t->control('disable');
    $t->control('stop?by=eve%2C%20pause%207');
    $t->wait_log(qr/stopped by "eve, pause 7", pause \d+/);
    $t->control('disable');
};

subtest 'how the drain goes on' => sub {
    $t->control('enable');
    my @held = map { my $held = $t->send("/$_"); $t->wait_held($_); $held } 1 .. 3;
    says 'disable?spread=60s', 200, qr/^Pause disabled\.\n.*\n\d held, they go on over 60 s, until $time\n/, 'a pace';
    says 'disable?spread=0', 200, qr/^\d held, they go on at once\n/m, 'none';
    is $_->response->{status}, 200, 'released' for @held;
    $t->wait_state('open');
};

subtest 'who waits' => sub {
    says 'enable?wait=1s&by=alice', 200, qr/^Pause enabled\.\napp "shop": pause \d+ is under way, by alice/, 'is told the same';
    is decode_json($t->control('enable?wait=1s&format=json')->{body})->{changed}, JSON::PP::false, 'and that nothing was changed';
    $t->control('disable');
};

$t->clean_ok(at => ['/_intermission', '/forgotten']);
done_testing;
