# The dashboard as a tool: pause, wait, stop and resume, and what the page says about it.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Intermission::Dashboard;
use Test::More;

start();

subtest 'an operator pauses, watches, resumes and reads how it went' => sub {
    $t->control($_) for 'enable', 'disable';
    visit();
    $browser->wait_text(field('state'), qr/^Open$/);
    is $browser->text(field('name')), 'basecamp', "the card has the app's name";
    $browser->click($button{enable});
    wait_dialog('enable');
    is $browser->text('#enable .main'), 'Pause basecamp', 'pause: the dialog says what will happen';
    $browser->type('#enable-for', '1m30s');
    $browser->type('#enable-reason', 'db switch');
    $browser->click('#enable .main');
    wait_no_dialog();
    is_deeply [@{$t->status}{qw(state reason)}], ['paused', 'db switch'], 'pause: the app is paused, with the reason';
    $browser->wait_text(field('state'), qr/^Paused$/);
    is $browser->text(field('note')), 'Paused.', 'pause: the page says Paused';
    like $browser->text(field('cause')), qr/^Requests are held · since [\d:]{8} \(\d+\s+s\) · by 127\.0\.0\.1$/, 'pause: the card has the caller and the time';
    is $browser->text(field('reason')), 'db switch', 'pause: the card has the reason';
    like $browser->text(field('lease')), qr/^1\s+min \d+\s+s$/, 'pause: the card counts the lease down';

    my @held = map { $t->send("/$_") } 1 .. 3;
    $browser->wait_text(field('held'), qr/^3$/);
    is $browser->text(field('room')) =~ s/,//gr, $t->status->{room}, 'pause: the card says how many more can be held';
    cmp_ok $t->status->{room}, '<', $t->status->{slots}{total} - 3, 'the room is less than the slots';
    like $browser->text(field('oldest')), qr/^\d+\.\d\s+s$/, 'pause: the card has the oldest wait';
    push @held, map { $t->send("/$_") } 4 .. 5;
    $browser->wait_text(field('held'), qr/^5$/);
    like +($browser->labels(field('chart')))[0], qr/held 5 now, at most 5; in flight 0 now/, 'pause: the picture is described in words';
    like $browser->script('return document.querySelector("path.held").getAttribute("d")'), qr/^M[\d. L]+$/, 'pause: the picture is drawn';
    picture('paused');
    (pop @held)->close;
    $t->wait_held(4);

    $browser->click($button{disable});
    wait_dialog('disable');
    is $browser->text('#disable .main'), 'Resume basecamp', 'resume: the dialog says what will happen';
    $browser->click('#disable .main');
    is_deeply [map { $_->response->{status} } @held], [(200) x 4], 'resume: all held requests are answered';
    my $verdict = $browser->wait_text(field('note'), qr/^Open again/);
    like $verdict, qr/^Open again: 4 released in [\d.]+\s+s\. During the pause: 1 whose client left\.$/, 'resume: the card has the verdict';
    is $browser->text(field('state')), 'Open', 'resume: the card says Open';
    $browser->script('document.querySelector("details").open = true');
    my $totals = $t->status->{totals};
    is $totals->{released}, 4, 'the status counts four released';
    is_deeply {map { $_ => $browser->text("[data-total=$_]") } keys %$totals}, $totals, "the card's totals are those of the status";
    like $browser->text(field('drain')), qr/^Last drain, [\d:]{8}: 4 released in/, 'the card has the last drain';
    like $browser->text('#events'), qr/\Q$verdict\E.*Resumed\..*Paused\./s, 'the list of events has all that happened';
    picture('resumed');
};

subtest 'an operator who waits for a quiet app sees what is in flight, and can cancel: then nothing stays paused' => sub {
    visit();
    my $slow = $t->send('/slow?delay=6000');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    $browser->click($button{enable});
    $browser->type('#enable-wait', '900ms');
    $browser->click('#enable .main');
    $browser->wait_text('#enable .progress', qr/at most 900ms/);
    is $browser->text('#enable .cancel'), 'Cancel and roll back', 'waiting: the dialog says what cancelling does';
    $browser->wait_text('#enable .problem', qr/^504: 1 request is still in flight: this call was rolled back/);
    $t->wait_state('open');
    $browser->type('#enable-wait', '1m');
    $browser->click('#enable .main');
    $browser->wait_text('#enable .elapsed', qr/1 in flight/);
    my $held = $t->send('/held');
    $browser->wait_text(field('held'), qr/^1$/);
    picture('waiting');
    $browser->click('#enable .cancel');
    is $held->response->{status}, 200, 'cancelled: the held request goes on';
    $t->wait_state('open');
    is $slow->response->{status}, 200, 'cancelled: the request in flight is not cut off';
    my $left = $t->send('/left?delay=9000');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one request in flight');
    $left->close;
    $browser->wait_text(field('abandoned'), qr/^\+ 1 given up in the last minute$/);
    $browser->wait_text(field('note'), qr/^Open again/);
    $browser->click($button{enable});
    $browser->type('#enable-wait', '30s');
    $browser->click('#enable .main');
    $browser->wait_text(field('note'), qr/^Paused\. The app is quiet\.$/);
    $t->control('disable');
};

subtest 'stop asks twice' => sub {
    $t->control('enable');
    visit();
    $browser->wait_text(field('state'), qr/^Paused$/);
    my @held = map { $t->send("/$_") } 1 .. 2;
    $browser->wait_text(field('held'), qr/^2$/);
    $browser->click($button{stop});
    wait_dialog('stop');
    is $browser->text('#stop .main'), 'Stop basecamp', 'stop: the first question';
    $browser->type('#stop-reason', 'too long');
    $browser->click('#stop .main');
    $browser->wait_text('#stop .effect', qr/^Are you sure\? This answers 2 held requests with 503, and every new request too\.$/);
    is $t->status->{state}, 'paused', 'stop: nothing has happened after the first question';
    picture('stop');
    is $browser->text('#stop .main'), 'Yes, stop basecamp', 'stop: the second question';
    $browser->click('#stop .main');
    wait_no_dialog();
    is_deeply [map { $_->response->{status} } @held], [503, 503], 'stop: held requests are answered with 503';
    is_deeply [@{$t->status}{qw(state reason)}], ['stopped', 'too long'], 'stop: the app is stopped, with the reason';
    $browser->wait_text(field('state'), qr/^Stopped$/);
    is $browser->text(field('note')), 'Stopped.', 'stop: the page says Stopped';
    ok !$browser->script("return document.querySelector('article [data-field=stop]').checkVisibility()"), 'a stopped app cannot be stopped again';
    $t->control('enable');
    $browser->wait_text(field('state'), qr/^Paused$/);
    $browser->click($button{stop});
    wait_dialog('stop');
    is $browser->text('#stop .effect'), 'Held requests and new ones are answered with 503 at once.', 'the next stop begins with the first question';
    $browser->press('Escape');
    wait_no_dialog();
    $t->control('disable');
};

subtest 'a page that is not up to date does not end another pause' => sub {
    $t->control('enable?reason=first');
    visit();
    $browser->wait_text(field('reason'), qr/first/);
    $browser->click($button{disable});
    wait_dialog('disable');
    $t->control($_) for 'disable', 'enable?reason=second';
    $browser->click('#disable .main');
    $browser->wait_text('#disable .problem', qr/^409: the pause with this "id" is not active/);
    is $t->status->{state}, 'paused', 'another pause goes on although the page wanted to end the one before';
    $browser->press('Escape');
    $browser->wait_text(field('reason'), qr/second/);
    $t->control('disable');
};

subtest 'a refusal of nginx is shown in its own words' => sub {
    visit();
    $browser->click($button{enable});
    $browser->type('#enable-for', 'soon');
    $browser->click('#enable .main');
    ok $browser->script('return document.querySelector("#enable-for").matches(":user-invalid")'), 'the page does not send a lease that is no time';
    $browser->type('#enable-for', '5s');
    $browser->type('#enable-wait', '5s');
    $browser->click('#enable .main');
    $browser->wait_text('#enable .problem', qr/^400: parameter "wait" must be shorter than the pause's lease$/);
    is $t->status->{state}, 'open', 'a refused enable has changed nothing';
    $browser->press('Escape');
    wait_no_dialog();
};

subtest 'a stopped app can be paused again' => sub {
    $t->control('stop?reason=too%20long');
    visit();
    $browser->wait_text(field('state'), qr/^Stopped$/);
    like $browser->text(field('cause')), qr/^Requests are answered with 503/, 'the card of a stopped app says that requests are answered with 503';
    $browser->click($button{enable});
    $browser->click('#enable .main');
    $browser->wait_text(field('state'), qr/^Paused$/);
    $browser->click($button{disable});
    $browser->click('#disable .main');
    $t->wait_state('open');
    $browser->wait_text(field('state'), qr/^Open$/);
};

subtest 'the verdict tells of released requests that failed' => sub {
    visit();
    $t->control('enable');
    $browser->wait_text(field('state'), qr/^Paused$/);
    my @held = map { $t->send($_) } '/down/1', '/down/2', '/late/1?delay=9000';
    $t->wait_held(3);
    $t->control('disable');
    my $verdict = $browser->wait_text(field('note'), qr/^Open again/);
    like $verdict, qr/^Open again: 3 released in .*; nginx answered 2 of them with 502, 503 or 504\. .*: 2 failed\.$/, 'the verdict counts the failed requests';
    is $held[2]->response->{status}, 504, 'a released request fails when the app has long been open';
    $browser->wait_text(field('note'), qr/nginx answered 3 of them.*: 3 failed\.$/);
    pass 'a late failure changes the verdict';
    $browser->script('document.querySelector("details").open = true');
    is $browser->text('[data-total=failed]'), 3, 'the totals count the failed requests';
    like $browser->text(field('drain')), qr/3 released in .*; nginx answered 3 of them with 502/, 'the last drain counts the failed requests';
};

finish();
done_testing;
