# enable?wait= that is too late, or whose caller goes away: everything is as before the call.

use strict;
use warnings;
use lib 't/lib';
use Intermission::Quiet;
use Intermission::Http2;
use JSON::PP;
use Test::More;

instance();

subtest 'too late: the app is open again, and the held requests go out in order' => sub {
    my ($client, $rolled) = (unfinished('/own/late'), said(qr/rolled back/));
    my $start = $t->backend_log;
    my $caller = waiter('enable?wait=1s');
    my @held;
    for (1 .. 10) {
        push @held, $t->send("/held/$_");
        $t->wait_held(scalar @held);
    }
    my $answer = $caller->response;
    too_late($answer, 1, 'enable?wait= comes too late: 504');
    like $answer->{body}, qr/rolled back/, 'the 504 says that the pause was rolled back';
    is scalar(grep { $_->response->{status} == 200 } @held), 10, 'rolled back: the held requests are answered';
    $t->came_ok([map { "/held/$_" } 1 .. 10], 'rolled back: the held requests go out in order', after => $start);
    $t->wait_state('open');
    is $t->get('/after')->{status}, 200, 'rolled back: the app is open';
    ok !$client->answered, 'rolled back: the request in flight goes on';
    $own->answer('/own/late');
    is $client->response->{status}, 200, 'rolled back: the request in flight is answered in the end';
    is said(qr/\[notice\][^\n]*app "basecamp": rolled back, pause \d+/), $rolled + 1, 'rolled back: the log says so once';
    $client = unfinished('/own/json');
    my $json = $t->control('enable?wait=100ms&format=json');
    like eval { decode_json($json->{body})->{error} } // '', qr/^1 request is still in flight/, 'too late as JSON: an error';
    reopen();
};

subtest 'too late: an app that drained goes on draining' => sub {
    my $client = unfinished('/own/late');
    $t->control('enable');
    my @held;
    push @held, $t->send("/next/$_") and $t->wait_held($_) for 1 .. 5;
    $t->control('disable?spread=1h');
    my $before = $t->status;
    is $before->{state}, 'draining', 'the app drains before enable?wait=';
    too_late($t->control('enable?wait=300ms'), 1, 'enable?wait= during a drain is too late');
    my $after = $t->status;
    is $after->{state}, 'draining', 'rolled back into a drain: the app drains again';
    cmp_ok $after->{held}, '>=', $before->{held} - 1, 'rolled back into a drain: the pace begins anew, with one request at once';
    is $t->control('disable?spread=1h')->{status}, 304, 'rolled back into a drain: the pace is the same';
    $t->control('disable?spread=0');
    is scalar(grep { $_->response->{status} == 200 } @held), 5, 'rolled back into a drain: all held requests are answered';
    $t->came_ok([map { "/next/$_" } 1 .. 5], 'rolled back into a drain: released in order', after => $t->backend_log - 5);
    reopen();
    is $client->response->{status}, 200, 'rolled back into a drain: the request in flight is answered';
};

subtest 'too late: an earlier pause is as it was' => sub {
    my $client = unfinished('/own/late');
    $t->control('enable?for=60s&reason=first');
    my $before = $t->status;
    my $caller = $t->send('/_intermission/enable?wait=500ms&for=10m&reason=second');
    $t->wait_for(sub { $t->status->{reason} eq 'second' }, 'the reason of enable?wait= in the status');
    cmp_ok $t->status->{until}, 'gt', $before->{until}, 'enable?wait= in a pause: its lease counts while it waits';
    too_late($caller->response, 1, 'enable?wait= in a pause is too late');
    my $after = $t->status;
    my @same = qw(state pause since until reason by);
    is_deeply [@$after{@same}], [@$before{@same}], 'rolled back into a pause: end and reason are as before';
    my $rolled = said(qr/rolled back/);
    $t->control('enable?wait=100ms&for=1s&reason=third');
    is_deeply [@{$t->status}{@same}], [@$before{@same}], 'rolled back into a pause: end and reason are as before, also if the lease was not changed';
    is said(qr/rolled back/), $rolled + 1, 'rolled back into a pause: the log says so';
    reopen();
    is $client->response->{status}, 200, 'rolled back into a pause: the request in flight is answered';
};

subtest 'too late: an earlier pause whose lease has ended meanwhile is over' => sub {
    my $client = unfinished('/own/late');
    $t->control('enable?for=300ms');
    my $held = $t->send('/held');
    too_late($t->control('enable?wait=1s&for=1h'), 1, 'enable?wait= is too late, and the earlier lease has ended');
    is $held->response->{status}, 200, 'the earlier lease has ended: the held request goes out';
    $t->wait_state('open');
    reopen();
    is $client->response->{status}, 200, 'the earlier lease has ended: the request in flight is answered';
};

subtest 'too late: a stopped app is stopped again' => sub {
    my $client = unfinished('/own/late');
    $t->control('stop?for=60s&reason=broken');
    my $before = $t->status;
    my $caller = waiter('enable?wait=700ms&reason=mended');
    my $held = $t->send('/held');
    $t->wait_held(1);
    too_late($caller->response, 1, 'enable?wait= of a stopped app is too late');
    my $after = $t->status;
    is_deeply [@$after{qw(state pause until reason by)}], [@$before{qw(state pause until reason by)}], 'rolled back into a stop: the app is stopped as before';
    is $held->response->{status}, 503, 'rolled back into a stop: the request that was held meanwhile is answered with 503';
    reopen();
    is $client->response->{status}, 200, 'rolled back into a stop: the request in flight is answered';
};

subtest 'keep=1: too late, and the pause stays' => sub {
    my $client = unfinished('/own/late');
    too_late($t->control('enable?wait=300ms&keep=1&for=60s'), 1, 'enable?wait= with keep=1 is too late');
    my $status = $t->status;
    is $status->{state}, 'paused', 'keep=1: the app stays paused';
    ok $status->{until}, 'keep=1: the pause has its lease';
    reopen();
    is $client->response->{status}, 200, 'keep=1: the request in flight is answered';
};

for my $way ('HTTP/1.1', 'HTTP/2', 'HTTP/2, a reset stream') {
    subtest "the caller goes away ($way): rolled back" => sub {
        my ($client, $rolled) = (unfinished('/own/late'), said(qr/rolled back/));
        my ($caller, $stream);
        if ($way eq 'HTTP/1.1') { $caller = $t->send('/_intermission/enable?wait=60s') }
        else {
            $caller = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
            $stream = $caller->request('/_intermission/enable?wait=60s');
        }
        $t->wait_state('paused');
        my @held = map { $t->send("/held/$_") } 1 .. 3;
        $t->wait_held(3);
        $way =~ /reset/ ? $caller->reset($stream) : $caller->close;
        is $_->response->{status}, 200, "the caller goes away ($way): held requests go out" for @held;
        $t->wait_state('open');
        is said(qr/rolled back/), $rolled + 1, "the caller goes away ($way): the log says rolled back";
        $caller->close if $way =~ /reset/;
        reopen();
        is $client->response->{status}, 200, "the caller goes away ($way): the request in flight is answered";
    };
}

subtest 'a caller whose body comes late goes away: rolled back' => sub {
    my ($client, $rolled) = (unfinished('/own/late'), said(qr/rolled back/));
    my $head = "POST /_intermission/enable?wait=60s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        . "Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    my $caller = $t->send('/', raw => $head);
    $t->wait_for(sub { $t->status->{state} eq 'open' }, 'the app to be open, because the form is not complete');
    $caller->write('reason=ab');
    $t->wait_state('paused');
    $caller->close;
    $t->wait_state('open');
    is said(qr/rolled back/), $rolled + 1, 'a caller with a late body goes away: the log says rolled back';
    reopen();
    is $client->response->{status}, 200, 'a caller with a late body goes away: the request in flight is answered';
};

$t->clean_ok;
done_testing;
