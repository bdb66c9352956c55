# Each field of the status exists from the start, and is right.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use JSON::PP;
use Test::More;
use Time::Local 'timegm';

my $locations = <<'END_OF_CONF';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
location /paced { intermission_control; intermission_release spread=30s concurrency=7; }
END_OF_CONF

my $nginx = $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx';

sub start { return Intermission->new(workers => 2, locations => $locations, @_) }

my $time = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

sub seconds {
    my ($text) = @_;
    my ($year, $month, @rest) = $text =~ /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d\.\d+)Z$/ or die "no time: $text";
    return timegm(0, @rest[2, 1, 0], $month - 1, $year) + $rest[3];
}

# The kind of a JSON value in a word; for an object, the kinds of its fields.
sub kind {
    my ($value) = @_;
    return 'null' if !defined $value;
    return {map { $_ => kind($value->{$_}) } keys %$value} if ref $value eq 'HASH';
    return [map { kind($_) } @$value] if ref $value eq 'ARRAY';
    return JSON::PP->new->allow_nonref->encode($value) =~ /^"/ ? $value =~ $time ? 'time' : 'text' : 'number';
}

# The example of a status in docs/reference.md is that of a paused app.
my ($shown) = Intermission::slurp(Intermission::root() . '/docs/reference.md') =~ /status\?format=json' \| jq\n\n```json\n(.*?)^```$/ms;

subtest 'each field exists and has the type that docs/reference.md shows' => sub {
    my $t = start(http => "intermission_state_file state;\n");
    my $example = kind(decode_json($shown // '{}'));
    my $fresh = kind($t->status);
    is_deeply [sort keys %$fresh], [sort keys %$example], 'before the first pause the status has all fields';
    my $slow = $t->send('/slow?delay=3000');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    $t->control('enable?for=60s&reason=db%20switch', at => '/paced');
    my $held = $t->send('/held');
    $t->wait_held(1);
    my $paused = kind($t->status);
    is_deeply $paused, $example, 'the status of a paused app has the fields and types of docs/reference.md';
    $t->control('disable?spread=0&concurrency=0');
    is $_->response->{status}, 200, 'a request of the paused app is answered' for $slow, $held;
    $t->wait_state('open');
    my $open = kind($t->status);
    is_deeply [@$open{qw(since until reason by drained_by pace)}], ['time', 'null', 'null', 'null', 'text', 'null'], 'the status of an open app: no since, until, reason, by and pace';
    is_deeply {map { $_ => $open->{last_drain}{$_} } qw(released seconds ended)}, {released => 'number', seconds => 'number', ended => 'time'}, 'the status of an open app has its last drain';
    my ($listed) = @{decode_json($t->control('apps')->{body})->{apps}};
    delete @$example{qw(settings versions)};
    is_deeply [sort keys %$listed], [sort 'app_encoded', keys %$example], 'the list of apps has all fields of an app, and app_encoded';
    $t->clean_ok;
};

subtest 'the settings are those of the endpoint, and name the upstreams of which nginx avoids servers' => sub {
    my $t = start(http => <<'END', locations => <<'MORE');
upstream several { server 127.0.0.1:9; server 127.0.0.2:9; }
upstream one { server 127.0.0.1:9; }
upstream one_is_down { server 127.0.0.1:9; server 127.0.0.2:9 down; }
upstream never { server 127.0.0.1:9 max_fails=0; server 127.0.0.2:9 max_fails=0; }
upstream backup { server 127.0.0.1:9 max_fails=0; server 127.0.0.2:9 backup; }
END
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; intermission_lease 90s; error_log @DIR@/quiet.log warn; }
location /plain { intermission_control; error_log @DIR@/more.log debug; error_log @DIR@/quiet.log error; }
MORE
    is_deeply $t->status->{settings}, {lease => 90, log_level => 'warn', max_fails => ['several', 'backup']}, 'one place';
    is_deeply $t->status(at => '/plain')->{settings}, {lease => undef, log_level => 'debug', max_fails => ['several', 'backup']}, 'another place, with two logs';
    $t->clean_ok;
};

subtest 'the versions are those of the module and of nginx, once for all apps' => sub {
    my $t = start();
    my ($module) = Intermission::slurp(Intermission::root() . '/Cargo.toml') =~ /^version = "(.*)"$/m;
    my $versions = {module => $module, nginx => `$nginx -v 2>&1` =~ m{version: (\S+)}};
    is_deeply $t->status->{versions}, $versions, 'status';
    my $list = decode_json($t->control('apps')->{body});
    is_deeply $list->{versions}, $versions, 'apps: beside the apps';
    is_deeply [sort keys %$list], [qw(apps now versions)], 'apps: nothing else is there';
    ok !exists decode_json($t->control('enable?format=json')->{body})->{versions}, 'the answer to a verb has none';
    like $t->control('metrics')->{body}, qr/^intermission_build_info\{version="\Q$module\E",nginx="\Q$versions->{nginx}\E"\} 1$/m, 'metrics';
    $t->control('disable');
    $t->clean_ok;
};

subtest 'waiting_until says until when a caller waits' => sub {
    my $t = start();
    is $t->status->{waiting_until}, undef, 'no caller waits: waiting_until is null';
    my $slow = $t->send('/slow?delay=5000');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    my $waiting = $t->send('/_intermission/enable?wait=4s&for=1m');
    $t->wait_state('paused');
    my $now = $t->status;
    like $now->{waiting_until}, $time, 'a caller waits: waiting_until is a time';
    my $lasts = seconds($now->{waiting_until}) - seconds($now->{since});
    cmp_ok abs($lasts - 4), '<', 1, "waiting_until is as far away as the caller's wait=";
    my $longer = $t->send('/_intermission/enable?wait=30s&for=1m');
    $t->wait_for(sub { seconds($t->status->{waiting_until}) > seconds($now->{waiting_until}) + 10 }, 'waiting_until to be that of the longer wait');
    pass "two callers wait: waiting_until is the later one's";
    is $t->control('enable')->{status}, 200, 'enable without wait= while others wait: 200';
    is $longer->response(20)->{status}, 200, 'the caller with the longer wait= is answered with 200';
    is $waiting->response->{status}, 504, 'the caller with the shorter wait= is answered with 504';
    my $after = $t->status;
    is_deeply [@$after{qw(state waiting_until)}], ['paused', undef], 'a pause whose caller was answered: waiting_until is null';
    $slow->response;
    $t->control('disable');
    $t->clean_ok;
};

subtest 'drained_by says who ended the newest pause' => sub {
    my $t = start();
    is $t->status->{drained_by}, undef, 'before the first pause: drained_by is null';
    $t->control('enable');
    is $t->status->{drained_by}, undef, 'in a pause: drained_by is null';
    $t->control('disable');
    is $t->status->{drained_by}, '127.0.0.1', 'ended by a caller: drained_by is the address';
    $t->control('enable?for=100ms');
    $t->wait_state('open');
    is $t->status->{drained_by}, 'lease', 'ended by its lease: drained_by is lease';
    my $slow = $t->send('/slow?delay=1500');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    is $t->control('enable?wait=100ms')->{status}, 504, 'enable?wait= that is too late: 504';
    is $t->status->{drained_by}, 'rollback', 'ended by a rollback: drained_by is rollback';
    $slow->response;
    $t->control('stop');
    is $t->status->{drained_by}, undef, 'in a stop: drained_by is null';
    $t->control('disable');
    is $t->status->{drained_by}, '127.0.0.1', 'a stop that was ended: drained_by is the address';
    $t->clean_ok;
};

subtest 'pace says how a drain goes, and when it ends' => sub {
    my $t = start();
    $t->control('enable');
    is $t->status->{pace}, undef, 'a pause without a pace: pace is null';
    my @held = map { $t->send("/$_") } 1 .. 3;
    $t->wait_held(3);
    $t->control('disable?spread=60s');
    my $now = $t->status;
    is $now->{state}, 'draining', 'a drain of a minute: the app is draining';
    is_deeply [@{$now->{pace}}{qw(spread concurrency)}], [60, 0], 'a drain of a minute: the status has its pace';
    cmp_ok abs(seconds($now->{pace}{ends}) - seconds($now->{since}) - 60), '<', 1, 'a drain of a minute: the status has its end';
    $t->control('disable?spread=0&concurrency=2');
    $t->wait_state('open');
    is $_->response->{status}, 200, 'a request held in a paced pause is answered' for @held;
    is $t->status->{pace}, undef, 'the drain is over: pace is null';
    $t->control('enable', at => '/paced');
    is_deeply $t->status->{pace}, {spread => 30, concurrency => 7, ends => undef}, 'a pause with a pace: the status has it';
    $t->control('disable');
    my $log = $t->error_log;
    like $log, qr/resumed by 127\.0\.0\.1, pause \d+, after [\d.]+ s, 3 held, spread over 60\.000 s, /, 'the log of disable has the pace';
    like $log, qr/pace of the drain changed by 127\.0\.0\.1, 2 at a time/, 'the log has the new pace';
    like $log, qr/resumed by 127\.0\.0\.1, pause \d+, after [\d.]+ s, 0 held, spread over 30\.000 s, 7 at a time/, 'the log of disable has spread and concurrency';
    $t->clean_ok;
};

done_testing;
