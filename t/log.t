# The error log's lines about pauses, word for word and with their levels, and the access log's variables.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Upstream;
use List::Util qw(max sum0);
use Test::More;
use Time::HiRes ();

my $locations = <<'END_OF_CONF';
set $app_name 'it"s';
location / { intermission on; proxy_pass http://backend; }
location /own/ { intermission on; proxy_pass http://own; }
location /short/ { set $intermission_max_time 0.2; intermission on; intermission_expired 504; proxy_pass http://backend; }
location /full/ { intermission on; intermission_max_held 1; proxy_pass http://backend; }
location /off/ { intermission off; proxy_pass http://backend; }
location /_intermission { intermission_control; }
location /default { set $app_name ""; intermission_control; }
END_OF_CONF

my ($t, $own);

sub instance {
    my (%conf) = @_;
    $conf{http} = 'upstream own { server unix:@DIR@/own.sock; }' . ($conf{http} // '');
    $t = Intermission->new(workers => 4, locations => $locations, server => 'listen 127.0.0.2:@PORT@ reuseport;', %conf);
    $own = Intermission::Upstream->new($t);
}

my $app = qr/intermission: app "it\\"s"/;
my $time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;

# Checks that the log has this line at this level since from_now.
my $read = 0;
sub says {
    my ($level, $line, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $found = eval {
        $t->wait_for(sub {
            my $log = substr $t->error_log, $read;
            $log =~ /^\S+ \S+ \[(\w+)\] \d+#\d+: (?:\*\d+ )?$line(?=,|$)/m ? [$1, $+[0]] : undef;
        }, 'the line in the error log', 5);
    };
    return ok(0, $what) || diag "not in the log: $line" if !$found;
    return is $found->[0], $level, $what;
}

# `says` looks only at what is logged from now on.
sub from_now { $read = length $t->error_log }

sub reopen {
    $t->control('disable');
    $t->wait_state('open');
}

instance();

subtest 'enable: the log has the caller, the reason and the end' => sub {
    from_now();
    $t->control('enable?for=60s&reason=db%20%22switch%22%0A');
    says(notice => qr/$app: paused by 127\.0\.0\.1, pause \d+, until $time, reason "db \\"switch\\"\\n"/, 'enable: the line has the caller, the end and the reason');
    $t->control('enable?for=2m&reason=more');
    says(notice => qr/$app: pause changed by 127\.0\.0\.1, pause \d+, until $time, reason "more"/, 'a changed pause: the line has the caller, the end and the reason');
    reopen();
    $t->control('enable', at => '/default');
    says(notice => qr/intermission: the default app: paused by 127\.0\.0\.1, pause \d+/, 'enable of the default app: the log needs no name, end or reason');
    $t->control('disable', at => '/default');
};

subtest 'disable and drained: the log has numbers and times' => sub {
    from_now();
    $t->control('enable');
    my @held = map { $t->send("/$_") } 1 .. 3;
    $t->wait_held(3);
    reopen();
    $_->response for @held;
    says(notice => qr/$app: resumed by 127\.0\.0\.1, pause \d+, after \d+\.\d{3} s, 3 held/, 'disable: the line has the caller, the length and how many were held');
    says(notice => qr/$app: drained, 3 released in \d+\.\d{3} s/, 'drained: the log has how many were released, in which time');
    says(info => qr/$app: held, ticket 1, 0 ahead/, 'a held request: at info');
    says(info => qr/$app: held, ticket 3, 2 ahead/, 'a held request: with its ticket and how many are ahead');
    from_now();
    $t->control('enable');
    my $held = $t->send('/4');
    $t->wait_held(1);
    $t->control('disable?spread=10s');
    $t->control('disable?spread=0');
    is $held->response->{status}, 200, 'a held request behind a drain is answered';
    $t->wait_state('open');
    is scalar(() = substr($t->error_log, $read) =~ /drained/g), 1, 'a drain whose pace changes has one line';
};

subtest 'the log has lines for stops and for changes of pace' => sub {
    from_now();
    $t->control('stop?for=60s&reason=broken');
    says(notice => qr/$app: stopped by 127\.0\.0\.1, pause \d+, until $time, reason "broken"/, 'stop: the line has the caller, the end and the reason');
    $t->control('enable');
    says(notice => qr/$app: paused by 127\.0\.0\.1, pause \d+/, 'enable of a stopped app: the log says paused');
    my @held = map { $t->send("/$_") } 1 .. 5;
    $t->wait_held(5);
    $t->control('disable?spread=1h');
    $t->control('disable?spread=0');
    says(notice => qr/$app: pace of the drain changed by 127\.0\.0\.1/, 'disable with another pace during a drain: the log says so');
    $_->response for @held;
    $t->wait_state('open');
};

subtest 'the log has a line for the end of a lease' => sub {
    from_now();
    $t->control('enable?for=300ms');
    my $held = $t->send('/');
    $held->response;
    $t->wait_state('open');
    says(notice => qr/$app: lease ended, pause \d+, after \d+\.\d{3} s, [01] held/, 'the lease of a pause ends: the log has how long and how many held');
    $t->control('stop?for=300ms');
    $t->wait_state('open');
    says(notice => qr/$app: lease ended, pause \d+, after \d+\.\d{3} s, 0 held/, 'the lease of a stop ends: the log has how long');
};

subtest 'enable?wait=: the log says how it ended' => sub {
    from_now();
    $t->control('enable?wait=10s');
    says(notice => qr/$app: nothing is in flight, pause \d+/, 'enable?wait= in time: the log says that nothing is in flight');
    reopen();
    my $client = $t->send('/own/1');
    $own->wait('/own/1');
    $t->control('enable?wait=100ms&reason=maybe&for=60s');
    says(notice => qr/$app: paused by 127\.0\.0\.1, pause \d+, until $time, reason "maybe"/, 'enable?wait= begins: the log says paused');
    says(notice => qr/$app: rolled back, pause \d+: the app is not paused any more/, 'enable?wait= too late: the log says rolled back');
    $own->answer('/own/1');
    $client->response;
    $t->wait_state('open');
};

# The sum of the rejected or expired requests in the lines of a log.
sub told {
    my ($what, $log) = @_;
    return sum0($log =~ /$app: (?:no room: )?(\d+) (?:more )?requests? $what\b/g);
}

subtest 'rejected and expired: a line a second at most, and all are counted' => sub {
    from_now();
    $t->control('enable');
    my $held = $t->send('/held');
    $t->wait_held(1);
    my ($rejected, $expired) = (0, 0);
    my $end = Time::HiRes::time() + 2.5;
    while (Time::HiRes::time() < $end) {
        my @short = map { $t->send("/short/$_", to => '127.0.0.2:' . $t->port) } 1 .. 5;
        my @full = map { $t->send("/full/$_", to => '127.0.0.2:' . $t->port) } 1 .. 5;
        $rejected += grep { $_->response->{status} == 503 } @full;
        $expired += grep { $_->response->{status} == 504 } @short;
    }
    my $totals = $t->status->{totals};
    is_deeply [@$totals{qw(rejected expired)}], [$rejected, $expired], "the totals count $rejected rejected and $expired expired";
    reopen();
    my $log = substr $t->error_log, $read;
    says(warn => qr/$app: no room: \d+ requests? rejected/, 'rejected requests: at warn');
    says(warn => qr/$app: \d+ requests? expired/, 'expired requests: at warn');
    is told(rejected => $log), $rejected, 'the log counts all rejected requests';
    is told(expired => $log), $expired, 'the log counts all expired requests';
    for my $what ('no room', '\d+ requests? expired') {
        my %in_second;
        $in_second{$_}++ for $log =~ /^(\S+ \S+) \[warn\] [^\n]*$app: $what/mg;
        cmp_ok max(values %in_second), '<=', 1, "the log of all four workers has at most one line '$what' in a second";
    }
    $held->response;
};

subtest 'the requests that a drain rejects are in the log by its end' => sub {
    from_now();
    $t->control('enable');
    my @held = map { $t->send("/held/$_") } 1 .. 4;
    $t->wait_held(4);
    $t->control('disable?spread=1h');
    my $rejected = grep { $t->get("/full/$_")->{status} == 503 } 1 .. 10;
    $t->control('disable?spread=0');
    $_->response for @held;
    $t->wait_state('open');
    $t->wait_for(sub { told(rejected => substr $t->error_log, $read) == $rejected }, 'the log to count all rejected requests', 5);
    is told(rejected => substr $t->error_log, $read), 10, 'the log counts all requests that a drain rejected, by its end';
    from_now();
    my $client = $t->send('/own/1');
    $own->wait('/own/1');
    my $caller = $t->send('/_intermission/enable?wait=60s');
    $t->wait_state('paused');
    my $held = $t->send('/held');
    $t->wait_held(1);
    $rejected = grep { $t->get("/full/$_")->{status} == 503 } 1 .. 10;
    $caller->close;
    $held->response;
    $t->wait_for(sub { told(rejected => substr $t->error_log, $read) == $rejected }, 'the log to count all rejected requests', 5);
    is told(rejected => substr $t->error_log, $read), 10, 'the log counts all rejected requests of a pause that was rolled back';
    $own->answer('/own/1');
    $client->response;
    $t->wait_state('open');
};

subtest 'the access log has a word for each outcome' => sub {
    is $t->logged($_->[0])->{intermission}, $_->[1], "access log: $_->[1] for $_->[0]" for ['/1', 'HELD'], ['/short/1', 'EXPIRED'], ['/full/1', 'REJECTED'];
    $t->get($_) for '/pass', '/off/1';
    is $t->logged('/pass')->{intermission}, 'PASSED', 'access log: PASSED for a request of an open app';
    is $t->logged('/off/1')->{intermission}, '-', 'access log: no status where intermission is off';
    $t->control('enable');
    my ($leaver, $stopped) = map { $t->send($_) } '/leaver', '/stopped';
    $t->wait_held(2);
    $t->get('/up');
    is $t->logged('/up')->{intermission}, 'BYPASSED', 'access log: BYPASSED for a health check';
    $leaver->close;
    is $t->logged('/leaver')->{intermission}, 'LEFT', 'access log: LEFT for a client that leaves';
    $t->control('stop');
    $stopped->response;
    is $t->logged('/stopped')->{intermission}, 'STOPPED', 'access log: STOPPED by a stop';
    $t->control('enable');
    my $quit = $t->send('/quit');
    $t->wait_held(1);
    kill QUIT => $t->master;
    is $quit->response->{status}, 503, 'a quit answers the held request 503';
    is $t->logged('/quit')->{intermission}, 'STOPPED', 'access log: STOPPED by a quit';
    my $line = $t->logged('/stopped');
    like $line->{hold_time}, qr/^\d+\.\d{3}$/, 'access log: the hold_time is in seconds and milliseconds';
    like $line->{position}, qr/^[01]$/, 'access log: the position is how many were ahead';
};

subtest 'pauses, stops and a quit log no error' => sub {
    $t->stop;
    my @bad = grep { /\[(?:emerg|alert|crit|error)\]/ } split /\n/, $t->error_log;
    is_deeply \@bad, [], 'the log of pauses has no line above warn';
};

subtest 'a restart: the log has what was restored' => sub {
    instance(http => "\nintermission_state_file state;");
    $read = 0;
    my $restart = sub {
        $t->end_nginx;
        from_now();
        $t->start_nginx;
    };
    $t->control('enable');
    $restart->();
    says(notice => qr/$app: still paused, pause \d+, restored from ".*state"/, 'a restart restores a pause: the log says so');
    $t->control('stop');
    $restart->();
    says(notice => qr/$app: still stopped, pause \d+, restored from ".*state"/, 'a restart restores a stop: the log says so');
    $t->control('disable');
    $t->control('enable?for=300ms');
    my $end = Time::HiRes::time() + 0.4;
    $t->freeze($t->workers);    # so that the lease ends without them
    kill KILL => $t->master, $t->workers;
    $t->end_nginx;
    $t->wait_for(sub { Time::HiRes::time() > $end }, 'the time of the lease to be over');
    from_now();
    $t->start_nginx;
    says(notice => qr/$app: its lease ended before nginx started: the app is open/, 'a restart finds a lease that has ended: the log says so');
    $t->clean_ok(killed_process => 1);
};

subtest 'the JSON log of docs/reference.md is JSON for each outcome of a request' => sub {
    my ($format) = Intermission::slurp(Intermission::root() . '/docs/reference.md') =~ /^(log_format json .*?;)$/ms;
    my $t = Intermission->new(http => $format, locations => <<'END_OF_CONF');
set $app_name basecamp;
access_log @DIR@/json.log json;
location / { intermission on; intermission_max_held 1; proxy_pass http://backend; }
location /off { proxy_pass http://backend; }
location /_intermission { access_log off; intermission_control; }
END_OF_CONF
    $t->get($_) for '/passed', '/off', '/odd"%22%0a\\';
    $t->control('enable');
    my $held = $t->send('/held');
    $t->wait_held(1);
    is $t->get('/rejected')->{status}, 503, 'JSON log: a request is rejected';
    $t->control('disable');
    is $held->response->{status}, 200, 'JSON log: a request is held';
    my @lines;
    $t->wait_for(sub { @lines = split /\n/, Intermission::slurp($t->dir . '/json.log'); @lines == 5 }, 'five lines in the JSON log');
    my %by_uri = map { my $line = eval { JSON::PP::decode_json($_) } // {uri => "not JSON: $_"}; ($line->{uri} => $line) } @lines;
    is_deeply [@{$by_uri{'/passed'}}{qw(intermission hold_time position)}], ['PASSED', '', ''], 'JSON log: a request that was not held is PASSED';
    is_deeply [@{$by_uri{'/off'}}{qw(intermission hold_time position)}], ['', '', ''], 'JSON log: a request where intermission is off has empty fields';
    is_deeply [@{$by_uri{'/rejected'}}{qw(intermission hold_time position)}], ['REJECTED', '', ''], 'JSON log: a rejected request is REJECTED';
    is $by_uri{'/held'}{intermission}, 'HELD', 'JSON log: a held request is HELD';
    like $by_uri{'/held'}{hold_time}, qr/^\d+\.\d{3}$/, 'JSON log: a held request has a hold_time';
    is_deeply [grep { /^not JSON/ } keys %by_uri], [], 'JSON log: every line is JSON';
    $t->clean_ok;
};

done_testing;
