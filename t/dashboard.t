# The dashboard as a page: its files, odd names, the keyboard, a telephone, forty apps.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use Intermission;
use Intermission::Browser;
use Intermission::Dashboard;
use Test::More;
use Time::HiRes 'time';

start();

my $odd_name = q{<img src=x onerror=document.title='hit'> "q" & 'q'};
my $odd_reason = q{"><script>document.title='hit'</script><b>&amp;};

subtest 'the page has a policy that lets nothing of other origins in' => sub {
    for my $path ('/_intermission', '/_intermission/') {
        my $answer = $t->get($path);
        is $answer->{status}, 200, "$path: answered with 200";
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
        is $answer->{status}, 200, "$file: answered with 200";
        is $answer->{headers}{'content-type'}, $type{$file}, "$file: its type";
        is $answer->{headers}{'x-content-type-options'}, 'nosniff', "$file: nosniff";
        is $answer->{headers}{'cache-control'}, 'no-store', "$file: not stored";
        is $t->control($file, method => 'HEAD')->{status}, 200, "$file: HEAD is answered with 200";
        is $t->control($file, method => 'POST')->{status}, 405, "$file: POST is answered with 405";
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
    $t->wait_for(sub { $browser->press('Tab'); $focused->() =~ /^Pause/ }, 'a Pause button to have the focus by Tab');
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
    is $focused->(), $pressed, 'keyboard: when the button is gone the next one has the focus';
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
        disable => 'Spread over; Limit of unfinished requests; Cancel; Resume basecamp',
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

subtest 'forty apps stay easy to find' => sub {
    for my $number (1 .. 40) {
        $t->control("enable?app=app-$number");
        $t->control("disable?app=app-$number") if $number != 17;
    }
    visit();
    $browser->wait_text(field('name'), qr/^app-17$/);
    like $browser->text('#summary'), qr/^1 paused, \d+ open$/, 'forty apps: the summary says how many are in which state';
    like $browser->script('return document.title'), qr/^1 paused/, 'forty apps: the title says how many are paused';
    my $names = 'return [...document.querySelectorAll("article:not([hidden]) h2")].map((name) => name.innerText).join(" ")';
    like $browser->script($names), qr/^app-17 .*app-2 .*app-10 .*app-40/, 'forty apps: apps that are not open come first, the others by name';
    picture('forty');
    $browser->type('#sought', 'app-2');
    is $browser->text('#filter output'), '11 of ' . $browser->script('return document.querySelectorAll("article").length'), 'forty apps: the filter finds names';
    $browser->type('#sought', 'paused');
    is $browser->script($names), 'app-17', 'forty apps: the filter finds states';
    $t->control('disable?app=app-17');
};

# Takes the pictures of two apps with traffic, one of which is docs/dashboard.png.
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

finish();
done_testing;
