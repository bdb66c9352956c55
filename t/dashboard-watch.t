# The dashboard as a view: what others do, what the counters say, and when nginx does not answer.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Intermission;
use Intermission::Dashboard;
use Test::More;

start();

subtest 'the page shows what other callers change' => sub {
    visit();
    my $seen = sub { $browser->wait_text('#events', $_[0]); pass "seen: $_[0]" };
    $t->control('enable?for=60s&reason=first');
    $seen->(qr/basecamp Now paused, by 127\.0\.0\.1, first\./);
    $t->control('enable?for=10m');
    $seen->(qr/Changed: the lease ends at [\d:]{8}\./);
    $t->control('enable?for=1s&reason=second');
    $seen->(qr/Changed: the reason is second\./);
    $t->control('stop');
    $seen->(qr/Now stopped, by 127\.0\.0\.1, second\./);
    $t->control($_) for 'disable', 'enable?new=1';
    $seen->(qr/Now paused, by 127\.0\.0\.1\./);
    $t->control($_) for 'disable', 'enable?new=1';
    $seen->(qr/Another pause, by 127\.0\.0\.1\.|(?:Now paused, by 127\.0\.0\.1\..*){3}/s);
    my @held = map { $t->send("/$_") } 1 .. 5;
    $t->wait_held(5);
    $t->control('disable?spread=60s');
    $seen->(qr/Now draining, ended by 127\.0\.0\.1\./);
    $browser->wait_text(field('cause'), qr/spread over 1\smin, until [\d:]{8} · ended by 127\.0\.0\.1/);
    $t->control('disable?concurrency=1');
    $seen->(qr/Changed: spread over 1\smin, until [\d:]{8}, 1 at a time\./);
    $t->control('disable?spread=0&concurrency=0');
    $browser->wait_text(field('note'), qr/^Open again/);
    $_->response for @held;
};

subtest 'a pause that may be rolled back is shown as such' => sub {
    visit();
    my $slow = $t->send('/slow?delay=4000');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    my $waiting = $t->send('/_intermission/enable?wait=20s');
    $browser->wait_text(field('cause'), qr/a caller waits until the app is quiet: the pause may be rolled back until [\d:]{8} \(1?\d\ss\)/);
    $browser->wait_text(field('flying'), qr{GET /slow\?delay=4000 · from 127\.0\.0\.1 · \d\.\d\ss · waits for the app});
    picture('may-be-taken-back');
    is $waiting->response->{status}, 200, 'the app is quiet: the caller is answered with 200';
    $browser->wait_text('#events', qr/it cannot be rolled back any more/);
    unlike $browser->text(field('cause')), qr/rolled back/, 'a pause whose caller was answered is not shown as one that may be rolled back';
    $slow->response;
    $t->control('disable');
};

subtest 'the page does not say that requests are held while they go on to the app' => sub {
    $t->control('enable');
    visit();
    $browser->wait_text(field('cause'), qr/^Requests are held/);
    is $t->get('/short/1')->{status}, 200, 'a request that expires passes';
    is $t->status->{expired_to_app}, 1, 'the status counts the expired request';
    $browser->wait_text(field('cause'), qr/^Expired requests are passed on to the app although it is paused, 1 up to now/);
    $t->control('disable');
    $t->control('enable');
    $browser->wait_text(field('cause'), qr/^Requests are held/);
    $t->control('disable');
};

subtest 'after the counters started again the page does not say what a pause cost' => sub {
    my $t = Intermission->new(workers => 2, locations => $locations . $control);
    $t->control('enable');
    my $held = $t->send('/held');
    $t->wait_held(1);
    $browser->open('http://127.0.0.1:' . $t->port . '/_intermission');
    $browser->wait_text(field('state'), qr/^Paused$/);
    # There is no state file: the counters start again.
    $t->end_nginx;
    is $held->response->{status}, 503, 'the held request is answered with 503 at the restart';
    $t->start_nginx(port => $t->port);
    my $note = $browser->wait_text(field('note'), qr/^Open/, 20);
    is $note, 'Open. What the pause cost is not known: the counters started again.', 'after the counters started again there is no verdict';
    $t->clean_ok;
};

subtest 'the page says when nginx does not answer or refuses, and when it answers again' => sub {
    visit();
    my @workers = $t->workers;
    $t->freeze(@workers);
    $browser->wait_text('#trouble', qr/^nginx cannot be reached, since [\d:]{8}\. The page shows the state of [\d:]{8}\./, 15);
    is $browser->text('#pulse'), 'Not live', 'nginx is silent: the page says Not live';
    like $browser->script('return getComputedStyle(document.querySelector(".state"), "::after").content'), qr/old/, 'nginx is silent: every app is marked as old';
    picture('unreachable');
    kill CONT => @workers;
    $browser->wait_text('#pulse', qr/^Live$/);
    is $browser->text('#trouble'), '', 'nginx answers again: no trouble is shown';
    like $browser->text('#events'), qr/nginx answers again, after \d+\s+s/, 'nginx answers again: the events say after how long';
    $t->reload(locations => $locations . 'location /_intermission { deny all; intermission_control apps=*; }');
    $browser->wait_text('#trouble', qr/^Access refused: nginx answers 403, since/);
    $t->reload(locations => $locations . $control);
    $browser->wait_text('#pulse', qr/^Live$/);
};

finish();
done_testing;
