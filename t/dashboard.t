# The dashboard, in a real browser. DASHBOARD_SHOTS=folder keeps pictures of it.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Intermission;
use Intermission::Browser;
use Test::More;
use Time::HiRes 'time';

plan skip_all => "no @{[Intermission::Browser::missing()]}" if Intermission::Browser::missing();

binmode $_, ':utf8' for Test::More->builder->output, Test::More->builder->failure_output;

my $odd_name = q{<img src=x onerror=document.title='hit'> "q" & 'q'};
my $odd_reason = q{"><script>document.title='hit'</script><b>&amp;};
my $locations = <<'END';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /short/ { set $intermission_max_time 0.2; intermission on; proxy_pass http://backend; }
location /down/ { intermission on; proxy_pass http://unix:@DIR@/none.sock:; }
location /late/ { intermission on; proxy_read_timeout 3s; proxy_pass http://backend; }
location /campfire { set $app_name campfire; intermission on; proxy_pass http://backend; }
END
my $control = "location /_intermission { intermission_control apps=*; }\nlocation /ops/pause { intermission_control apps=*; }\n";
# As sites have it.
my $site_policy = "default-src 'self'";
my $t = Intermission->new(
    workers => 2, locations => $locations . $control,
    http => qq{add_header Content-Security-Policy "$site_policy" always;},
);
my $origin = 'http://127.0.0.1:' . $t->port;
my $browser = Intermission::Browser->new;

my $card = 'article:nth-of-type(1)';    # those that are not open are first
my %button = map { $_ => "$card [data-field=$_]" } qw(enable disable stop);

sub field { return "$card [data-field=$_[0]]" }

# Shows the page anew.
sub visit {
    $browser->open("$origin/_intermission");
    $browser->wait_text('#pulse', qr/^Live$/);
}

# The dialog that is open has the focus inside of it.
sub wait_dialog {
    my ($id) = @_;
    return $t->wait_for(sub { $browser->script('return document.activeElement.closest("dialog[open]")?.id') // '' eq $id }, "dialog $id");
}

sub wait_no_dialog {
    return $t->wait_for(sub { !$browser->script('return document.querySelector("dialog[open]") !== null') }, 'no dialog');
}

sub picture {
    my ($name) = @_;
    $browser->screenshot("$ENV{DASHBOARD_SHOTS}/$name.png") if $ENV{DASHBOARD_SHOTS};
}

sub encoded { return $_[0] =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/egr }

subtest 'the page has a policy that lets nothing of other origins in' => sub {
    for my $path ('/_intermission', '/_intermission/') {
        my $answer = $t->get($path);
        is $answer->{status}, 200, "$path: answered 200";
        like $answer->{headers}{'content-type'}, qr{^text/html; charset=utf-8$}i, "$path: HTML";
        is $answer->{headers}{'cache-control'}, 'no-store', "$path: not stored";
        my $sources = qr{default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'};
        my $policy = qr{$sources; base-uri 'none'; form-action 'none'; frame-ancestors 'none'};
        my @policies = split /, /, $answer->{headers}{'content-security-policy'};
        is scalar(grep { /^$policy$/ } @policies), 1, "$path: the policy is there once";
        is scalar(grep { $_ eq $site_policy } @policies), 1, "$path: the site's own policy is there once";
    }
};

subtest 'script and style are files of the endpoint' => sub {
    my %type = ('dashboard.js' => 'text/javascript; charset=utf-8', 'dashboard.css' => 'text/css; charset=utf-8');
    for my $file (sort keys %type) {
        my $answer = $t->control($file);
        is $answer->{status}, 200, "$file: answered 200";
        is $answer->{headers}{'content-type'}, $type{$file}, "$file: its type";
        is $answer->{headers}{'x-content-type-options'}, 'nosniff', "$file: nosniff";
        is $answer->{headers}{'cache-control'}, 'no-store', "$file: not stored";
        is $t->control($file, method => 'HEAD')->{status}, 200, "$file: HEAD is answered 200";
        is $t->control($file, method => 'POST')->{status}, 405, "$file: POST is answered 405";
    }
    is $t->control('dashboard.html')->{status}, 404, 'dashboard.html: 404';
};

subtest 'the page works with a slash behind its name, without one, and in a folder' => sub {
    for my $path ('/_intermission/', '/ops/pause', '/ops/pause/') {
        $browser->open("$origin$path");
        $browser->wait_text('#pulse', qr/^Live$/);
        pass "$path: the page works";
    }
};

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
    like $browser->text(field('cause')), qr/^Requests are held · since [\d:]{8} \(\d+\s+s\) · by 127\.0\.0\.1$/, 'pause: the card says who did it, and when';
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
    like $verdict, qr/^Open again: 4 released in [\d.]+\s+s\. During the pause: 1 left\.$/, 'resume: the card has the verdict';
    is $browser->text(field('state')), 'Open', 'resume: the card says Open';
    $browser->script('document.querySelector("details").open = true');
    my $totals = $t->status->{totals};
    is $totals->{released}, 4, 'the status counts four released';
    is_deeply {map { $_ => $browser->text("[data-total=$_]") } keys %$totals}, $totals, "the card's totals are those of the status";
    like $browser->text(field('drain')), qr/^Last drain, [\d:]{8}: 4 released in/, 'the card has the last drain';
    like $browser->text('#events'), qr/\Q$verdict\E.*Resumed\..*Paused\./s, 'the list of events has all that happened';
    picture('resumed');
};

subtest 'a caller who waits for a quiet app is told, may cancel, and nothing stays paused' => sub {
    visit();
    my $slow = $t->send('/slow?delay=6000');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    $browser->click($button{enable});
    $browser->type('#enable-wait', '900ms');
    $browser->click('#enable .main');
    $browser->wait_text('#enable .progress', qr/at most 900ms/);
    is $browser->text('#enable .cancel'), 'Cancel and roll back', 'waiting: the dialog says what cancelling does';
    $browser->wait_text('#enable .problem', qr/^504: 1 request is still in flight: rolled back/);
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
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
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
    $browser->wait_text('#stop .effect', qr/^Are you sure\? 2 requests that are held are answered 503 now, and everybody who comes\.$/);
    is $t->status->{state}, 'paused', 'stop: nothing has happened after the first question';
    picture('stop');
    is $browser->text('#stop .main'), 'Yes, stop basecamp', 'stop: the second question';
    $browser->click('#stop .main');
    wait_no_dialog();
    is_deeply [map { $_->response->{status} } @held], [503, 503], 'stop: held requests are answered 503';
    is_deeply [@{$t->status}{qw(state reason)}], ['stopped', 'too long'], 'stop: the app is stopped, with the reason';
    $browser->wait_text(field('state'), qr/^Stopped$/);
    is $browser->text(field('note')), 'Stopped.', 'stop: the page says Stopped';
    ok !$browser->script("return document.querySelector('article [data-field=stop]').checkVisibility()"), 'a stopped app cannot be stopped again';
    $t->control('enable');
    $browser->wait_text(field('state'), qr/^Paused$/);
    $browser->click($button{stop});
    wait_dialog('stop');
    is $browser->text('#stop .effect'), 'Those held and all who come are answered 503 at once.', 'the next stop begins with the first question';
    $browser->press('Escape');
    wait_no_dialog();
    $t->control('disable');
};

subtest 'what somebody else changes is seen' => sub {
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

subtest 'a pause that may be taken back is not shown like a firm one' => sub {
    visit();
    my $slow = $t->send('/slow?delay=4000');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    my $waiting = $t->send('/_intermission/enable?wait=20s');
    $browser->wait_text(field('cause'), qr/somebody waits for quiet: may be taken back until [\d:]{8} \(1?\d\ss\)/);
    $browser->wait_text(field('flying'), qr{GET /slow\?delay=4000 · of 127\.0\.0\.1 · \d\.\d\ss · waits for the app});
    picture('may-be-taken-back');
    is $waiting->response->{status}, 200, 'the app is quiet: the caller is answered 200';
    $browser->wait_text('#events', qr/it stays, nobody takes it back any more/);
    unlike $browser->text(field('cause')), qr/taken back/, 'a pause whose caller was answered is not said to be taken back';
    $slow->response;
    $t->control('disable');
};

subtest 'the page does not say that requests are held while they go on to the app' => sub {
    $t->control('enable');
    visit();
    $browser->wait_text(field('cause'), qr/^Requests are held/);
    is $t->get('/short/1')->{status}, 200, 'a request that expires passes';
    is $t->status->{expired_to_app}, 1, 'the status counts the expired request';
    $browser->wait_text(field('cause'), qr/^Requests that expire go on to the app although it is paused, 1 up to now/);
    $t->control('disable');
    $t->control('enable');
    $browser->wait_text(field('cause'), qr/^Requests are held/);
    $t->control('disable');
};

subtest 'after the counters began anew the page does not say what a pause cost' => sub {
    my $t = Intermission->new(workers => 2, locations => $locations . $control);
    $t->control('enable');
    my $held = $t->send('/held');
    $t->wait_held(1);
    $browser->open('http://127.0.0.1:' . $t->port . '/_intermission');
    $browser->wait_text(field('state'), qr/^Paused$/);
    # Without a state file.
    $t->end_nginx;
    is $held->response->{status}, 503, 'the held request is answered 503 at the restart';
    $t->start_nginx(port => $t->port);
    my $note = $browser->wait_text(field('note'), qr/^Open/, 20);
    is $note, 'Open. What the pause cost is not known: the counters began anew.', 'after the counters began anew there is no verdict';
    $t->clean_ok;
};

subtest 'a page that is not up to date does not end another pause' => sub {
    $t->control('enable?reason=first');
    visit();
    $browser->wait_text(field('reason'), qr/first/);
    $browser->click($button{disable});
    wait_dialog('disable');
    $t->control($_) for 'disable', 'enable?reason=second';
    $browser->click('#disable .main');
    $browser->wait_text('#disable .problem', qr/^409: that pause is not the one under way/);
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
    ok $browser->script('return document.querySelector("#enable-for").matches(":user-invalid")'), 'the page does not send what is no time';
    $browser->type('#enable-for', '5s');
    $browser->type('#enable-wait', '5s');
    $browser->click('#enable .main');
    $browser->wait_text('#enable .problem', qr/^400: parameter "wait" is not below the pause's lease$/);
    is $t->status->{state}, 'open', 'a refused enable has changed nothing';
    $browser->press('Escape');
    wait_no_dialog();
};

subtest 'a stopped app can be paused again' => sub {
    $t->control('stop?reason=too%20long');
    visit();
    $browser->wait_text(field('state'), qr/^Stopped$/);
    like $browser->text(field('cause')), qr/^Requests are answered 503/, 'the card of a stopped app says that requests are answered 503';
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
    like $verdict, qr/^Open again: 3 released, 2 of them answered 502, 503 or 504 by nginx, in .*: 2 failed\.$/, 'the verdict counts the failed requests';
    is $held[2]->response->{status}, 504, 'a released request fails when the app has long been open';
    $browser->wait_text(field('note'), qr/3 of them answered.*: 3 failed\.$/);
    pass 'a late failure changes the verdict';
    $browser->script('document.querySelector("details").open = true');
    is $browser->text('[data-total=failed]'), 3, 'the totals count the failed requests';
    like $browser->text(field('drain')), qr/3 released, 3 of them answered 502/, 'the last drain counts the failed requests';
};

subtest 'markup in names and reasons stays text' => sub {
    my $app = encoded($odd_name);
    $t->control("enable?app=$app&reason=" . encoded($odd_reason));
    visit();
    $browser->wait_text(field('reason'), qr/script/);
    is $browser->text(field('name')), $odd_name, 'the card has the odd name as it is';
    is $browser->text(field('reason')), $odd_reason, 'the card has the odd reason as it is';
    $browser->click($button{disable});
    is $browser->text('#disable h2'), "Resume $odd_name", 'the dialog has the odd name as it is';
    $browser->click('#disable .main');
    $t->wait_state('open', app => $app);
    $browser->wait_text(field('note'), qr/^Open again/);
    is $browser->script('return document.querySelectorAll("img, b, main script").length'), 0, 'no odd text became an element';
    is $browser->script('return document.title'), 'intermission', 'no odd text was run as script';
    $t->control('enable?app=%FF%3D%26');
    $browser->wait_text(field('name'), qr/^\x{FFFD}=&$/);
    $browser->click($button{disable});
    $browser->click('#disable .main');
    $t->wait_state('open', app => '%FF%3D%26');
};

subtest 'the keyboard is enough' => sub {
    visit();
    my $focused = sub { return $browser->script('return document.activeElement.ariaLabel || document.activeElement.id') };
    $t->wait_for(sub { $browser->press('Tab'); $focused->() =~ /^Pause/ }, 'a Pause button by Tab');
    my $pressed = $focused->();
    $browser->press('Enter');
    wait_dialog('enable');
    is $focused->(), 'enable-for', 'keyboard: the first field of the dialog has the focus';
    $browser->press('Escape');
    wait_no_dialog();
    is $focused->(), $pressed, 'keyboard: the button has the focus again after Escape';
    $browser->press('Enter');
    wait_dialog('enable');
    $browser->press('Tab', 'Tab', split(//, 'by keyboard'), 'Enter');
    wait_no_dialog();
    $browser->wait_text(field('reason'), qr/^by keyboard$/);
    is $focused->(), $pressed =~ s/^Pause (.*)/Extend $1’s pause/r, 'keyboard: the button keeps the focus when its card moves';
    $browser->press('Tab', 'Enter');
    wait_dialog('disable');
    $browser->press('Enter');
    wait_no_dialog();
    $browser->wait_text('#summary', qr/^\d+ open$/);
    is $focused->(), $pressed, 'keyboard: where the button is gone the next one has the focus';
};

subtest 'every control has a name, and the page fits a telephone' => sub {
    $t->control('enable');
    $browser->size(360, 740);
    visit();
    $browser->wait_text(field('state'), qr/^Paused$/);
    my $width = sub { return $browser->script('return document.documentElement.scrollWidth') };
    my $controls = sub { return join '; ', $browser->labels("$_[0] :is(button, input, summary):not([hidden])") };
    cmp_ok $width->(), '<=', 360, 'telephone: the page does not scroll to the side';
    is $controls->($card), 'Stop basecamp; Extend basecamp’s pause; Resume basecamp; Totals', 'telephone: each control of a card has a name';
    picture('telephone');
    $browser->dark(1);
    picture('telephone-dark');
    $browser->dark(0);
    my %names = (
        enable => 'Lease; Wait until the app is quiet; Reason; Cancel; Extend basecamp’s pause',
        stop => 'Lease; Reason; Cancel; Stop basecamp',
        disable => 'Spread over; Unfinished at a time; Cancel; Resume basecamp',
    );
    for my $verb (sort keys %names) {
        $browser->click($button{$verb});
        wait_dialog($verb);
        is $controls->("#$verb"), $names{$verb}, "telephone: each control in the dialog of $verb has a name";
        cmp_ok $width->(), '<=', 360, "telephone: the dialog of $verb does not scroll to the side";
        picture("telephone-$verb");
        $browser->press('Escape');
        wait_no_dialog();
    }
    $t->control('disable');
    $browser->size(1200, 900);
};

subtest 'the page says when nginx is silent or refuses, and recovers' => sub {
    visit();
    my @workers = $t->workers;
    $t->freeze(@workers);
    $browser->wait_text('#trouble', qr/^nginx cannot be reached, since [\d:]{8}\. What is shown is old, of [\d:]{8}\./, 15);
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

subtest 'forty apps can be surveyed' => sub {
    for my $number (1 .. 40) {
        $t->control("enable?app=app-$number");
        $t->control("disable?app=app-$number") if $number != 17;
    }
    visit();
    $browser->wait_text(field('name'), qr/^app-17$/);
    like $browser->text('#summary'), qr/^1 paused, \d+ open$/, 'forty apps: the summary says how many are in which state';
    like $browser->script('return document.title'), qr/^1 paused/, 'forty apps: the title says how many are paused';
    my $names = 'return [...document.querySelectorAll("article:not([hidden]) h2")].map((name) => name.innerText).join(" ")';
    like $browser->script($names), qr/^app-17 .*app-2 .*app-10 .*app-40/, 'forty apps: those not open come first, then by name';
    picture('forty');
    $browser->type('#sought', 'app-2');
    is $browser->text('#filter output'), '11 of ' . $browser->script('return document.querySelectorAll("article").length'), 'forty apps: the filter finds names';
    $browser->type('#sought', 'paused');
    is $browser->script($names), 'app-17', 'forty apps: the filter finds states';
    $t->control('disable?app=app-17');
};

my @asked = grep { /^https?:/ } map { $_->{url} } $browser->requests;
my @elsewhere = grep { !m{^http://127\.0\.0\.1:\d+/(?:_intermission|ops/pause)(?:[/?]|$)} } @asked;
is_deeply \@elsewhere, [], 'the page asks no other origin for anything';
my $refused = qr/Failed to load resource: (?:the server responded with a status of (?:400|403|409|504)|net::ERR)/;
my @said = grep { $_->{message} !~ $refused } $browser->console;
is_deeply \@said, [], "the browser's console has no message";
$browser->close;

# Two apps with traffic, as docs/dashboard.png shows them.
sub readme_picture {
    my $t = Intermission->new(workers => 2, locations => $locations . $control);
    my $browser = Intermission::Browser->new(height => 800);
    my @clients;
    my $traffic = sub {
        my ($seconds) = @_;
        my $end = time + $seconds;
        $t->wait_for(sub {
            push @clients, $t->send((rand() < 0.7 ? '/' : '/campfire') . '?delay=' . int rand 1500) if rand() < 0.08;
            return time > $end;
        }, 'the end of the traffic', $seconds + 10);
    };
    my @both = ('app=basecamp', 'app=campfire');
    $t->control("enable?$_") for @both;
    $traffic->(2);
    $t->control("disable?$_") for @both;
    $browser->open('http://127.0.0.1:' . $t->port . '/_intermission');
    $browser->wait_text('#summary', qr/^2 open$/);
    $browser->click('article:nth-of-type(2) summary');
    $traffic->(16);
    $t->control('enable?for=2m&reason=switch%20to%20the%20new%20database');
    $traffic->(15);
    $_->close for splice @clients, -3;
    $traffic->(7);
    $browser->screenshot("$ENV{DASHBOARD_SHOTS}/dashboard.png");
    $browser->dark(1);
    $browser->screenshot("$ENV{DASHBOARD_SHOTS}/dashboard-dark.png");
    $t->control('disable?spread=4s');
    $traffic->(9);
    $browser->screenshot("$ENV{DASHBOARD_SHOTS}/dashboard-drained-dark.png");
    $browser->close;
}
readme_picture() if $ENV{DASHBOARD_SHOTS};

$t->clean_ok(allow => [qr/access forbidden by rule/, qr/connect\(\) to unix:.*none\.sock failed/, qr/upstream timed out/]);
done_testing;
