# A released request that is delayed on its way to the app does not change the order.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Dns;
use Test::More;
use Time::HiRes ();

# Starts an nginx that resolves the name of its app for each request.
sub start {
    my ($dns, %conf) = @_;
    my $probe = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 1) or die "no port: $!";
    my $port = $probe->sockport;
    close $probe;
    return Intermission->new(
        backend => ['--listen', "127.0.0.1:$port"],
        %conf,
        locations => <<"CONF",
resolver 127.0.0.1:@{[$dns->port]} ipv6=off @{[$conf{resolver} // '']};
resolver_timeout @{[$conf{timeout} // '10s']};
set \$upstream app.test;
location / {
    set \$app_name basecamp;
    intermission on;
    proxy_pass http://\$upstream:$port;
}
location /other {
    set \$app_name other;
    intermission on;
    proxy_pass http://127.0.0.1:$port;
}
location /_intermission {
    set \$app_name basecamp;
    intermission_control;
}
location /_other {
    set \$app_name other;
    intermission_control;
}
CONF
    );
}

sub in_order {
    my ($t, $count, $what) = @_;
    my %ticket = reverse $t->error_log =~ /held, ticket (\d+), .*? request: "\S+ (\S+) /g;
    # The backend's log has the order of the connections. Two workers may log theirs in another order.
    my @lines = sort { $a->{connection} <=> $b->{connection} } grep { $_->{target} =~ m{^/(?:r|new)/} } $t->backend_log;
    is scalar(grep { m{^/r/} } map { $_->{target} } @lines), $count, "$what: all held requests come to the app";
    my ($greatest, $inversions) = (0, 0);
    for my $line (@lines) {
        my $ticket = $line->{target} =~ m{^/r/} ? $ticket{$line->{target}} : $count + 1;
        $inversions++ if $ticket < $greatest;
        $greatest = $ticket if $ticket > $greatest;
    }
    is $inversions, 0, "$what: the order holds, and no new request overtakes a held one";
}

for my $case ([1, 60, 0], [1, 0, 0.002], [4, 60, 0.02], [4, 0, 0.002]) {
    my ($workers, $ttl, $delay) = @$case;
    my $what = "$workers workers, a name that is valid for $ttl s and found in $delay s";
    subtest "the order holds while the app's name is resolved: $what" => sub {
        my $dns = Intermission::Dns->new(ttl => $ttl, delay => $delay);
        my $t = start($dns, workers => $workers);
        $t->control('enable');
        my $crowd = $t->crowd('--count', 200);
        $t->wait_held(200);
        my $newcomers = $t->crowd('--count', 200, '--path', '/new/{i}', '--rate', 1000);
        $t->control('disable');
        is $crowd->done->{statuses}{200}, 200, "$what: all held requests are answered";
        is $newcomers->done->{statuses}{200}, 200, "$what: all new requests are answered";
        in_order($t, 200, $what);
        $t->clean_ok;
    };
}

subtest 'a name that must be resolved again and again in the drain keeps the order' => sub {
    # The name is valid for a part of the drain only.
    my $dns = Intermission::Dns->new(ttl => 1, delay => 0.05);
    my $t = start($dns, workers => 2);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 300);
    $t->wait_held(300);
    $t->control('disable?spread=4s');
    is $crowd->done->{statuses}{200}, 300, 'a name that is resolved again and again in the drain: all are answered';
    in_order($t, 300, 'a name that is resolved again and again in the drain');
    cmp_ok $dns->asked, '>', 2, 'the name server is asked again and again';
    $t->clean_ok;
};

subtest 'a dead name server delays only requests that need it' => sub {
    my $dns = Intermission::Dns->new;
    my $t = start($dns, workers => 2, timeout => '2s');
    $dns->freeze;
    $t->control('enable');
    $t->control('enable', at => '/_other');
    my $crowd = $t->crowd('--count', 100);
    my $other = $t->crowd('--count', 50, '--path', '/other/{i}');
    $t->wait_held(100);
    $t->wait_held(50, at => '/_other');
    my $start = Time::HiRes::time();
    $t->control('disable');
    $t->control('disable', at => '/_other');
    is $other->done->{statuses}{200}, 50, 'a dead name server: requests that need no name are answered';
    cmp_ok Time::HiRes::time() - $start, '<', 1.5, 'a dead name server: requests that need no name are answered soon';
    my $done = $crowd->done;
    is $done->{statuses}{502}, 100, 'a dead name server: requests that need the name are answered with 502';
    cmp_ok Time::HiRes::time() - $start, '<', 6, 'a dead name server: the line waits for one timeout only';
    $t->wait_state('open');
    $t->clean_ok(at => [qw(/_intermission /_other)], allow => [qr/could not be resolved/]);
};

subtest 'a delayed request whose client leaves lets the next one go' => sub {
    my $dns = Intermission::Dns->new;
    my $t = start($dns, workers => 2);
    $dns->freeze;
    $t->control('enable');
    my $first = $t->crowd('--count', 1, '--leave-on-stdin', '--leave', 1);
    $t->wait_held(1);
    my $crowd = $t->crowd('--count', 60, '--first', 1);
    $t->wait_held(61);
    $t->control('disable');
    Time::HiRes::sleep(0.3);
    my $status = $t->status;
    is "$status->{state} $status->{held} $status->{in_flight}", 'draining 60 1', 'while the first released request has no address the others are held';
    $first->say('leave');
    $first->done;
    $t->wait_held(59);
    pass "the delayed request's client leaves: the next request is released";
    $dns->thaw;
    is $crowd->done->{statuses}{200}, 60, "the delayed request's client left: all others are answered";
    in_order($t, 60, "a delayed request's client left");
    # The name server answers the question of the request that left, too.
    $t->clean_ok(allow => [qr/wrong ident \d+ in DNS response/]);
};

subtest 'a worker that is killed while its request is delayed does not stop the line' => sub {
    my $dns = Intermission::Dns->new;
    my $t = start($dns, workers => 2);
    $dns->freeze;
    $t->control('enable');
    my (@held, %holders);
    for my $number (1 .. 300) {
        push @held, $t->send("/r/$number");
        $t->wait_held($number) if $number % 20 == 0;
        %holders = map { $_ => 1 } $t->error_log =~ /(\d+)#\d+: \S+ intermission: .*held, ticket/g if $number % 20 == 0;
        last if keys %holders == 2;
    }
    is keys %holders, 2, 'both workers hold requests';
    $t->control('disable');
    $t->wait_held(@held - 1);
    my ($first) = $t->error_log =~ /(\d+)#\d+: \S+ intermission: .*held, ticket 1,/;
    $t->kill_worker($first);
    $dns->thaw;
    $t->wait_state('open');
    my $totals = $t->status->{totals};
    cmp_ok $totals->{released}, '>', 0, 'a worker is killed while its request is delayed: the requests of others go on';
    is $totals->{released} + $totals->{lost}, @held, 'a worker is killed while its request is delayed: each request is released or lost, once';
    $t->clean_ok(killed_process => 1);
};

subtest 'auth_request behind the hold does not change the order' => sub {
    # try_files leads to a location with auth_request, whose answer takes longer for every second request.
    my $t = Intermission->new(
        workers => 4,
        http => 'map $request_uri $slowness { ~[02468]$ 20; default 0; }',
        locations => <<'CONF',
set $app_name basecamp;
location / { intermission on; try_files /none @app; }
location @app { auth_request /check; proxy_pass http://backend; }
location = /check { internal; proxy_pass http://backend/check?delay=$slowness; }
location /_intermission { intermission_control; }
CONF
    );
    $t->control('enable');
    my $crowd = $t->crowd('--count', 60);
    $t->wait_held(60);
    $t->control('disable');
    is $crowd->done->{statuses}{200}, 60, 'auth_request behind the hold: all are answered';
    is $t->ticket_inversions, 0, 'auth_request behind the hold: the app gets the requests in order';
    $t->clean_ok;
};

subtest 'files of the cache that a thread reads do not change the order' => sub {
    # For every second request the cache has an old answer, which a thread reads.
    my $t = Intermission->new(
        workers => 4,
        http => 'proxy_cache_path @DIR@/cache keys_zone=cache:1m;',
        locations => <<'CONF',
set $app_name basecamp;
location / { intermission on; aio threads; proxy_cache cache; proxy_cache_valid 200 1s; proxy_pass http://backend; }
location /_intermission { intermission_control; }
CONF
    );
    $t->get('/r/' . 2 * $_) for 0 .. 99;
    Time::HiRes::sleep(2.1);
    $t->control('enable');
    my $crowd = $t->crowd('--count', 200);
    $t->wait_held(200);
    $t->control('disable');
    is $crowd->done->{statuses}{200}, 200, 'files of the cache, read by a thread: all are answered';
    my @held = grep { defined $_->{position} } $t->backend_log;
    is scalar @held, 200, 'files of the cache, read by a thread: the app answers all requests';
    is $t->inversions(map { {%$_, place => $_->{position}} } @held), 0, 'files of the cache, read by a thread: the app gets the requests in order';
    $t->clean_ok;
};

done_testing;
