# The metrics for Prometheus: all series exist from the start, in the right format and with the right numbers.
# And the alerts that use them.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Upstream;
use IO::Socket::INET;
use JSON::PP;
use Test::More;

my $locations = <<'END_OF_CONF';
set $app_name basecamp;
location / { set $intermission_max_time 60; intermission on; proxy_pass http://backend; }
location /own/ { intermission on; proxy_pass http://own; }
location /short/ { set $intermission_max_time 0.2; intermission on; intermission_expired 504; proxy_pass http://backend; }
location /full/ { intermission on; intermission_max_held 1; proxy_pass http://backend; }
location /sockets/ { intermission on; proxy_pass http://backend; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
location /_intermission { allow 127.0.0.1; deny all; intermission_control; }
location /any { intermission_control apps=*; }
END_OF_CONF

my %type = (
    (map { $_ => 'gauge' } qw(paused stopped draining away held oldest_held_seconds in_flight oldest_in_flight_seconds upgraded
        room last_drain_seconds last_drain_timestamp_seconds slots slots_used state_file_ok build_info)),
    (map { $_ => 'counter' } qw(requests_total taken_back_total rejected_total failed_total abandoned_total expired_to_app_total holds_total pauses_total)),
    hold_seconds => 'histogram',
);
my @outcomes = qw(passed released expired rejected bypassed stopped left lost);
my @reasons = qw(connections streams max_held zone workers);
my @bounds = qw(0.1 0.5 1 2.5 5 10 30 60 120 300 +Inf);

my $t = Intermission->new(workers => 2, http => 'upstream own { server unix:@DIR@/own.sock; }', locations => $locations);
my $own = Intermission::Upstream->new($t);

# The series of a page of metrics: {name with labels => value}.
sub series {
    my ($page) = @_;
    return {map { /^(\w+(?:\{.*\})?) (\S+)$/ ? ($1 => $2) : () } grep { !/^#/ } split /\n/, $page};
}

# Runs a command to its end. Returns its exit code, and all it printed.
sub run {
    my ($command, $input) = @_;
    my $dir = $t->dir;
    Intermission::write_file("$dir/input", $input // '');
    open my $stdin, '<', "$dir/input" or die "input: $!";
    open my $output, '>', "$dir/output" or die "output: $!";
    my $pid = Intermission::Process::start($command->[0], ['/usr/bin/env', @$command], stdin => $stdin, stdout => $output, stderr => $output);
    my $status;
    $t->wait_for(sub { defined($status = Intermission::Process::reaped($pid)) }, "the command @$command to end", 20);
    return ($status >> 8, Intermission::Process::slurp("$dir/output"));
}

sub is_clean {
    my ($page, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [run(['promtool', 'check', 'metrics'], $page)], [0, ''], "promtool check metrics has nothing to say of $what";
}

subtest 'promtool and prometheus are here' => sub {
    is +(run([$_, '--version']))[0], 0, "$_: scripts/deps --tests installs the package prometheus" for 'promtool', 'prometheus';
};

subtest 'every series is there from the start, at 0' => sub {
    my $answer = $t->control('metrics');
    is $answer->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'metrics have the content type of format 0.0.4';
    my $page = $answer->{body};
    my %typed = $page =~ /^# TYPE intermission_(\w+) (\w+)$/mg;
    is_deeply \%typed, \%type, 'each metric has its type';
    my @help = $page =~ /^# HELP intermission_(\w+) \S.*\.$/mg;
    is_deeply [sort @help], [sort keys %type], 'each metric has a help text';
    my $series = series($page);
    my @expected = map { "intermission_$_\{app=\"basecamp\"}" } grep { !/^(?:room|slots|slots_used|state_file_ok|build_info|requests_total|rejected_total|hold_seconds)$/ } keys %type;
    push @expected, map { "intermission_requests_total{app=\"basecamp\",outcome=\"$_\"}" } @outcomes;
    push @expected, map { "intermission_rejected_total{app=\"basecamp\",reason=\"$_\"}" } @reasons;
    push @expected, map { "intermission_hold_seconds_bucket{app=\"basecamp\",le=\"$_\"}" } @bounds;
    push @expected, map { "intermission_hold_seconds_${_}{app=\"basecamp\"}" } 'sum', 'count';
    is_deeply [grep { ($series->{$_} // 'none') != 0 } @expected], [], 'every series of the app is 0';
    is $series->{'intermission_room{app="basecamp"}'}, $t->status->{room}, 'before the first pause there is room';
    is $series->{intermission_slots_used}, 0, 'before the first pause no slot is used';
    is $series->{intermission_slots}, $t->status->{slots}{total}, 'before the first pause all slots are counted';
    my @info = grep { /^intermission_build_info\{version="[^"]+",nginx="[^"]+"\}$/ } keys %$series;
    is_deeply [map { $series->{$_} } @info], [1], 'the versions are there, in labels';
    is_deeply [sort keys %$series], [sort @expected, @info, 'intermission_room{app="basecamp"}', 'intermission_slots', 'intermission_slots_used', 'intermission_state_file_ok'], 'metrics have no other series';
    is_clean($page, 'metrics before the first pause');
    like $t->control('metrics?format=json')->{body}, qr/^\{/, 'format=json has the same as JSON';
};

# These requests are still held, or in flight, when Prometheus scrapes below.
my (@held, @others);
subtest 'each event changes its own number' => sub {
    push @others, $t->send('/own/1');
    $own->wait('/own/1');
    $t->control('enable');
    push @held, map { $t->send("/held/$_") } 1 .. 3;
    $t->wait_held(3);
    is $t->get('/short/1')->{status}, 504, 'a request expires: 504';
    is $t->get('/full/1')->{status}, 503, 'a request is rejected: 503';
    is $t->get('/up')->{status}, 200, 'a health check passes: 200';
    my $leaver = $t->send('/leaver');
    $t->wait_held(4);
    $leaver->close;
    $t->wait_held(3);
    my $page = $t->control('metrics')->{body};
    my $series = series($page);
    my $of = sub { return $series->{"intermission_$_[0]\{app=\"basecamp\"" . ($_[1] // '') . '}'} };
    my %now = map { $_ => $of->('requests_total', ",outcome=\"$_\"") } @outcomes;
    # /own/1 counts as passed, because it came after the first call of the endpoint.
    is_deeply \%now, {passed => 1, released => 0, expired => 1, rejected => 1, bypassed => 1, stopped => 0, left => 1, lost => 0}, 'each outcome of a request has its count';
    is_deeply [map { $of->('rejected_total', ",reason=\"$_\"") } @reasons], [0, 0, 1, 0, 0], 'rejected requests are counted by their reason';
    is_deeply [map { $of->($_) } qw(paused stopped draining held in_flight holds_total pauses_total)], [1, 0, 0, 3, 1, 5, 1], 'states, held requests and pauses have their numbers';
    cmp_ok $of->('oldest_held_seconds'), '>', 0, 'the oldest held request has an age';
    is $of->('hold_seconds_count'), 2, 'the histogram has the two holds that are over';
    is $of->('hold_seconds_bucket', ',le="+Inf"'), 2, 'the last bucket of the histogram has all holds';
    is $of->('hold_seconds_bucket', ',le="0.1"') + 0, $of->('hold_seconds_bucket', ',le="0.1"'), 'a bucket of the histogram is a number';
    cmp_ok $of->('hold_seconds_sum'), '>=', 0.2, "the histogram's sum has the time of the expired request";
    is $series->{intermission_slots_used}, 3, 'the metrics have the slots in use';
    my @buckets = map { $of->('hold_seconds_bucket', ",le=\"$_\"") } @bounds;
    is_deeply \@buckets, [sort { $a <=> $b } @buckets], 'no bucket of the histogram is smaller than the one before';
    is_clean($page, 'metrics of a paused app');
};

my @odd = ('quote"d', 'back\\slash', "line\nfeed", "nul\0bell\a\r\t", 'a,b{c="d"} 1', "caf\xc3\xa9", "bad\xff", "bad\xfe", '');
subtest 'odd names are good labels' => sub {
    for my $name (@odd) {
        my $app = join '', map { sprintf '%%%02x', ord } split //, $name;
        is $t->control("stop?app=$app", at => '/any')->{status}, 200, 'stopped: ' . $name =~ s/[^\x20-\x7e]/?/gr;
    }
    my $page = $t->control('metrics', at => '/any')->{body};
    is scalar(() = $page =~ /^intermission_stopped\{/mg), 1 + @odd, 'each odd name has a line in the metrics';
    is_clean($page, 'metrics of odd names');
};

subtest 'a real Prometheus scrapes the metrics, and loads the alerts' => sub {
    my $dir = $t->dir;
    my $probe = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 1) or die "no port: $!";
    my $port = $probe->sockport;
    my ($target, $alerts) = ('127.0.0.1:' . $t->port, Intermission::root() . '/nginx-conf/alerts.yml');
    Intermission::write_file("$dir/prometheus.yml", <<"END_OF_YAML");
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ "$alerts" ]
scrape_configs:
  - job_name: intermission
    metrics_path: /any/metrics
    static_configs: [ { targets: [ "$target" ] } ]
END_OF_YAML
    close $probe;
    open my $log, '>', "$dir/prometheus.log" or die "prometheus.log: $!";
    my $pid = Intermission::Process::start('prometheus', ['/usr/bin/env', 'prometheus', "--config.file=$dir/prometheus.yml",
        "--storage.tsdb.path=$dir/tsdb", "--web.listen-address=127.0.0.1:$port"], stdout => $log, stderr => $log);
    my $ask = sub {
        my ($path) = @_;
        my $answer = eval { $t->get($path, to => "127.0.0.1:$port") } // {status => 0};
        return $answer->{status} == 200 ? decode_json($answer->{body})->{data} : undef;
    };
    my $query = sub {
        my ($expression) = @_;
        my $encoded = join '', map { sprintf '%%%02x', ord } split //, $expression;
        return ($ask->("/api/v1/query?query=$encoded") // {result => []})->{result};
    };
    my $value = sub { my $result = $query->($_[0]); return @$result == 1 ? $result->[0]{value}[1] : undef };
    # On a busy machine a scrape may fail: then the next one counts.
    my $shows = sub {
        my ($expression, $expected, $what) = @_;
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        my $last;
        my $is_so = eval { $t->wait_for(sub { defined($last = $value->($expression)) && $last == $expected }, $expression, 15) };
        ok $is_so, $what or diag "$expression is " . ($last // 'nothing') . ', not ' . $expected;
    };

    $shows->('up', 1, 'up == 1') or diag Intermission::Process::slurp("$dir/prometheus.log");
    $shows->('intermission_held{app="basecamp"}', 3, 'Prometheus: three requests are held');
    $shows->('intermission_paused{app="basecamp"}', 1, 'Prometheus: the app is paused');
    $shows->("intermission_requests_total{app=\"basecamp\",outcome=\"$_\"}", 1, "Prometheus: one request $_") for qw(expired rejected bypassed left);
    $shows->('intermission_hold_seconds_count{app="basecamp"}', 2, 'Prometheus: the histogram has two holds');
    $shows->('histogram_quantile(0.9, intermission_hold_seconds_bucket{app="basecamp"}) > bool 0', 1, 'Prometheus: the histogram has quantiles');
    $shows->('intermission_slots', $t->status->{slots}{total}, 'Prometheus: the zone has its slots');
    my @names;
    $t->wait_for(sub { @names = map { $_->{metric}{app} // '' } @{$query->('intermission_stopped == 1')} }, 'Prometheus to have the stopped apps');
    my @expected = map { my $text = $_; utf8::decode($text) ? $text : s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ger } @odd;
    is_deeply [sort @names], [sort @expected], 'Prometheus: odd names come through, each its own';
    my $rules = $ask->('/api/v1/rules') // {groups => [{rules => []}]};
    my @rules = @{$rules->{groups}[0]{rules}};
    is_deeply [map { $_->{name} } @rules], [map { "Intermission$_" } qw(PausedForLong StoppedForLong Away RoomRunsOut RequestsRejected NotQuiet ReleasedFail StateFileFails)], 'Prometheus: it has loaded the alerts';
    $t->wait_for(sub {
        @rules = @{($ask->('/api/v1/rules') // {groups => [{rules => []}]})->{groups}[0]{rules}};
        $rules[0]{state} eq 'pending' && !grep { $_->{health} ne 'ok' } @rules;
    }, 'the alert for long pauses to be pending', 20);
    pass 'Prometheus: the alert for long pauses is pending';

    $t->control('disable');
    is $_->response->{status}, 200, 'a held request is answered when the pause ends' for @held;
    $shows->('intermission_requests_total{app="basecamp",outcome="released"}', 3, 'Prometheus: the released requests are counted at the next scrape');
    $shows->('intermission_paused{app="basecamp"}', 0, 'Prometheus: the app is open');
    $shows->('time() - intermission_last_drain_timestamp_seconds{app="basecamp"} < bool 60', 1, 'Prometheus: the end of the drain has its time');
    my ($signal, $status) = Intermission::Process::end($pid, [TERM => 10], [KILL => 5]);
    is $signal, 'TERM', 'Prometheus ends at TERM';
};

subtest 'the alerts are good, and fire when they should' => sub {
    my $root = Intermission::root();
    my ($exit, $output) = run(['promtool', 'check', 'rules', "$root/nginx-conf/alerts.yml"]);
    is $exit, 0, 'promtool check rules accepts the alerts' or diag $output;
    ($exit, $output) = run(['promtool', 'test', 'rules', "$root/t/alerts.yml"]);
    is $exit, 0, 'promtool test rules: the alerts fire when they should' or diag $output;
    my %known = map { $_ => 1 } keys %{series($t->control('metrics')->{body})};
    my %names = map { s/\{.*//r => 1 } keys %known;
    my @used = Intermission::Process::slurp("$root/nginx-conf/alerts.yml") =~ /\b(intermission_\w+)/g;
    my @unknown = grep { !$names{$_} && !/^intermission_(?:overflow|zone|max_held|max_time|expired)$/ } @used;
    is_deeply \@unknown, [], 'the alerts name only metrics that exist';
};

subtest 'the request that was in flight is answered in the end' => sub {
    $own->answer('/own/1');
    is $others[0]->response->{status}, 200, 'the request in flight is answered';
};
$t->control('disable?app=' . join('', map { sprintf '%%%02x', ord } split //), at => '/any') for @odd;
$t->clean_ok(at => ['/_intermission', '/any']);
done_testing;
