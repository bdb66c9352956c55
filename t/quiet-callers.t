# The callers of enable?wait=: how they call, and what other callers do while they wait.

use strict;
use warnings;
use lib 't/lib';
use Intermission::Quiet;
use Intermission::Http2;
use JSON::PP;
use Test::More;
use Time::HiRes 'time';

instance();

subtest 'a caller over HTTP/2 is answered as over HTTP/1.1' => sub {
    my $client = unfinished('/own/late');
    my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
    is $http2->answer($http2->request('/_intermission/enable?wait=300ms'))->{status}, 504, 'HTTP/2: a caller that is too late is answered with 504';
    my $stream = $http2->request('/_intermission/enable?wait=20s');
    $t->wait_state('paused');
    $own->answer('/own/late');
    is $http2->answer($stream)->{status}, 200, 'HTTP/2: a caller is answered with 200 when all is finished';
    $http2->close;
    reopen();
};

subtest 'what else a caller sends does no harm' => sub {
    my $client = unfinished('/own/late');
    my $post = $t->send('/_intermission/enable?wait=60s', method => 'POST', body => 'x' x 200_000);
    my $slow = $t->send('/_intermission/enable?wait=60s', method => 'POST', headers => {'Content-Length' => 5000});
    my $line = "HTTP/1.1\r\nHost: x\r\n";
    my $pipeline = $t->send('', raw => "GET /_intermission/enable?wait=60s $line\r\nGET /_intermission/status $line" . "Connection: close\r\n\r\n");
    $t->wait_state('paused');
    $slow->write('x' x 5000);
    $own->answer('/own/late');
    is $post->response->{status}, 415, 'a caller with a large body that is no form: 415';
    is $slow->response->{status}, 415, 'a caller with a slow body that is no form: 415';
    is $pipeline->response->{status}, 200, 'a caller with another request behind it in the pipeline: 200';
    $pipeline->{response} = undef;
    is $pipeline->response->{body}, "Pause enabled.\n", "the second request of the caller's pipeline is answered";
    $_->close for $post, $slow;
    reopen();
    is $client->response->{status}, 200, 'odd callers do not cut off the request in flight';
};

subtest 'disabled or stopped while a caller waits: 409' => sub {
    my $client = unfinished('/own/late');
    for my $verb ('disable', 'stop') {
        my $caller = waiter('enable?wait=60s');
        my $keeper = $t->send('/_intermission/enable?wait=60s&keep=1&format=json');
        $t->wait_for(sub { $t->status->{pause} }, 'a pause to begin');
        my $held = $t->send("/held/$verb");
        $t->wait_held(1);
        is $t->control($verb)->{status}, 200, "$verb while two callers wait: 200";
        is $caller->response->{status}, 409, "$verb while a caller waits: the caller is answered with 409";
        my $answer = $keeper->response;
        is $answer->{status}, 409, "$verb while a caller with keep=1 waits: the caller is answered with 409";
        like eval { decode_json($answer->{body})->{error} } // '', qr/changed or ended the pause or drain while this call waited/, "$verb while a caller waits: the 409 says that the pause changed or ended";
        is $held->response->{status}, $verb eq 'stop' ? 503 : 200, "$verb while a caller waits: held requests are answered as by the verb";
        is $t->status->{state}, $verb eq 'stop' ? 'stopped' : 'open', "$verb while a caller waits is not rolled back";
        $t->control('disable');
        $t->wait_state('open');
    }
    reopen();
    is $client->response->{status}, 200, 'the other verbs do not cut off the request in flight';
};

subtest 'the lease ends while a caller waits: 409' => sub {
    # wait= must be shorter than the lease. So a lease can end in the wait only if the caller's worker stands still.
    my %to = connections();
    my ($pid) = sort keys %to;
    my $client = unfinished('/own/late');
    my $caller = delete $to{$pid};
    my $line = qr/lease ended/;
    my $ended = said($line);
    $caller->request('/_intermission/enable?wait=500ms&for=600ms&reason=frozen', keepalive => 1);
    $t->wait_log(qr/paused by .*"frozen"/);
    $t->freeze($pid);
    $t->wait_for(sub { said($line) > $ended }, 'the lease to end') if !$caller->answered;
    kill CONT => $pid;
    # On a slow machine the wait may be over before: then the answer is 504.
    is $caller->response->{status}, said($line) > $ended ? 409 : 504, 'the lease ends while a caller waits: 409';
    $t->wait_state('open');
    reopen();
    is $client->response->{status}, 200, 'the lease ends while a caller waits: the request in flight is answered';
};

subtest "another caller's enable meanwhile: too late, but the pause stays as that caller's" => sub {
    my $client = unfinished('/own/late');
    my $caller = waiter('enable?wait=800ms&reason=mine');
    is $t->control('enable?for=60s&reason=his')->{status}, 200, "another caller's enable is answered with 200";
    too_late($caller->response, 1, "another caller's enable: the one that waits is too late");
    my $status = $t->status;
    is_deeply [@$status{qw(state reason)}], ['paused', 'his'], "another caller's enable: the pause stays with its reason";
    ok $status->{until}, "another caller's enable: the pause has its lease";
    unlike $caller->response->{body}, qr/not paused/, "another caller's enable: the 504 does not say that the app is open";
    reopen();

    my $next = unfinished('/own/next');
    $caller = waiter('enable?wait=800ms');
    like $t->control('enable')->{status}, qr/^(?:200|304)$/, "another caller's enable without parameters is answered";
    too_late($caller->response, 1, "another caller's enable without parameters: the one that waits is too late");
    is $t->status->{state}, 'paused', "another caller's enable without parameters: the pause stays";
    reopen();
    is $_->response->{status}, 200, "another caller's enable does not cut off requests in flight" for $client, $next;
};

subtest 'two callers wait, each for itself' => sub {
    my $client = unfinished('/own/late');
    my @callers = map { waiter("enable?wait=20s&for=${_}0m") } 3, 6;
    ok !$_->answered, 'two callers wait: neither is answered yet' for @callers;
    $own->answer('/own/late');
    is $_->response->{status}, 200, 'two callers wait: both are answered with 200' for @callers;
    is $client->response->{status}, 200, 'two callers wait: the request in flight is answered';
    reopen();

    $client = unfinished('/own/later');
    my $short = waiter('enable?wait=500ms&for=1h&reason=short');
    my $long = $t->send('/_intermission/enable?wait=20s&for=60s&reason=long');
    my $held = $t->send('/held');
    too_late($short->response, 1, 'the first of two callers is too late');
    my $status = $t->status;
    is_deeply [@$status{qw(state reason)}], ['paused', 'long'], 'the first of two callers is too late: the app stays paused as the second asked';
    my $end = (decode_json($t->control('apps')->{body}))->{now};
    cmp_ok substr($status->{until}, 0, 13), 'le', substr(later($end, 120), 0, 13), "the first of two callers is too late: the end is the second's";
    ok !$held->answered && !$long->answered, 'the first of two callers is too late: a new request stays held';
    $own->answer('/own/later');
    is $long->response->{status}, 200, 'the second of two callers is answered with 200';
    is $t->status->{state}, 'paused', 'the second of two callers has its pause';
    reopen();
    is $_->response->{status}, 200, 'two callers: no client sees an error' for $held, $client;
};

subtest 'bad parameters: 400, and nothing has changed' => sub {
    my %wrong = (
        'enable?wait=10s&for=10s' => 'wait', 'enable?for=5s&wait=10s' => 'wait', 'enable?keep=1' => 'keep',
        'enable?keep=1&for=10s' => 'keep', 'enable?wait=10s&keep=2' => 'keep', 'enable?wait=0' => 'wait',
        'enable?wait=soon' => 'wait', 'enable?wait=1&wait=2' => 'wait', 'disable?keep=1' => 'keep',
        'disable?wait=-1' => 'wait', 'stop?wait=1s' => 'wait', 'status?wait=1s' => 'wait',
    );
    for my $request (sort keys %wrong) {
        my $answer = $t->control($request);
        is $answer->{status}, 400, "$request: 400";
        like $answer->{body}, qr/"$wrong{$request}"/, "$request: the answer names $wrong{$request}";
    }
    for my $request ('enable?wait=5s', 'enable?wait=6s') {
        is $t->control($request, at => '/leased')->{status}, 400, "$request where intermission_lease is 5s: 400";
    }
    is $t->status->{state}, 'open', 'bad parameters have paused nothing';
    is $t->control('enable?wait=4s', at => '/leased')->{status}, 200, 'wait= shorter than intermission_lease: 200';
    is $t->control('enable?wait=6s&for=10s', at => '/leased')->{status}, 200, 'wait= shorter than for=: 200';
    reopen();
    is $t->control('enable?wait=1s&id=1')->{status}, 409, 'id= of another pause: 409';
    $t->control('enable');
    is $t->control('enable?wait=1s&new=1')->{status}, 409, 'new=1 in a pause: 409';
    reopen();
};

subtest 'the table of waiting callers is full: 503, and nothing has changed' => sub {
    my $client = unfinished('/own/late');
    my @callers = map { $t->send('/_intermission/enable?wait=60s&format=json') } 1 .. 70;
    my @over = @{$t->wait_for(sub { my @over = grep { $_->answered } @callers; @over == 6 ? \@over : undef }, 'six of 70 callers to be answered')};
    is_deeply [map { $_->response->{status} } @over], [(503) x 6], 'of 70 callers 64 wait';
    like eval { decode_json($_->response->{body})->{error} } // '', qr/too many/, 'beyond 64 callers: the answer says too many' for @over;
    is $t->status->{state}, 'paused', 'beyond 64 callers: the pause of the others goes on';
    $own->answer('/own/late');
    is scalar(grep { $_->response->{status} == 200 } @callers), 64, 'the 64 callers that wait are answered with 200';
    reopen();
    is $client->response->{status}, 200, 'many callers do not cut off the request in flight';
};

# A time of RFC 3339 that is this many seconds later.
sub later {
    my ($time, $seconds) = @_;
    my ($year, $month, $day, $hour, $minute, $second) = $time =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)/;
    require Time::Local;
    my @later = gmtime(Time::Local::timegm($second, $minute, $hour, $day, $month - 1, $year) + $seconds);
    return sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $later[5] + 1900, $later[4] + 1, @later[3, 2, 1, 0];
}

$t->clean_ok;
done_testing;
