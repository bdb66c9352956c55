package Intermission::Dashboard;

# What the tests of the dashboard share: an nginx, $t, and its dashboard in a real browser, $browser.
# DASHBOARD_SHOTS=folder keeps pictures there.

use strict;
use warnings;
use utf8;
use Exporter 'import';
use Intermission;
use Intermission::Browser;
use Test::More;

our @EXPORT = qw($t $browser $origin $locations $control $site_policy $card %button
    start field visit wait_dialog wait_no_dialog picture encoded finish);
our ($t, $browser, $origin);

our $locations = <<'END';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /short/ { set $intermission_max_time 0.2; intermission on; proxy_pass http://backend; }
location /down/ { intermission on; proxy_pass http://unix:@DIR@/none.sock:; }
location /late/ { intermission on; proxy_read_timeout 3s; proxy_pass http://backend; }
location /campfire { set $app_name campfire; intermission on; proxy_pass http://backend; }
END
our $control = "location /_intermission { intermission_control apps=*; }\nlocation /ops/pause { intermission_control apps=*; }\n";
# A policy such as sites have.
our $site_policy = "default-src 'self'";

our $card = 'article:nth-of-type(1)';    # apps that are not open come first
our %button = map { $_ => "$card [data-field=$_]" } qw(enable disable stop);

# Starts nginx and the browser. Skips the test if there is no browser.
sub start {
    plan skip_all => "no @{[Intermission::Browser::missing()]}" if Intermission::Browser::missing();
    binmode $_, ':utf8' for Test::More->builder->output, Test::More->builder->failure_output;
    $t = Intermission->new(
        workers => 2, locations => $locations . $control,
        http => qq{add_header Content-Security-Policy "$site_policy" always;},
    );
    $origin = 'http://127.0.0.1:' . $t->port;
    $browser = Intermission::Browser->new;
}

sub field { return "$card [data-field=$_[0]]" }

# Loads the page.
sub visit {
    $browser->open("$origin/_intermission");
    $browser->wait_text('#pulse', qr/^Live$/);
}

# Waits until this dialog is open and has the focus.
sub wait_dialog {
    my ($id) = @_;
    return $t->wait_for(sub { $browser->script('return document.activeElement.closest("dialog[open]")?.id') // '' eq $id }, "the dialog $id to be open");
}

sub wait_no_dialog {
    return $t->wait_for(sub { !$browser->script('return document.querySelector("dialog[open]") !== null') }, 'no dialog to be open');
}

sub picture {
    my ($name) = @_;
    $browser->screenshot("$ENV{DASHBOARD_SHOTS}/$name.png") if $ENV{DASHBOARD_SHOTS};
}

sub encoded { return $_[0] =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/egr }

# The last assertions of a test: the page's requests, the browser's console, and clean_ok.
sub finish {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @asked = grep { /^https?:/ } map { $_->{url} } $browser->requests;
    my @elsewhere = grep { !m{^http://127\.0\.0\.1:\d+/(?:_intermission|ops/pause)(?:[/?]|$)} } @asked;
    is_deeply \@elsewhere, [], 'the page asks no other origin for anything';
    my $refused = qr/Failed to load resource: (?:the server responded with a status of (?:400|403|409|504)|net::ERR)/;
    my @said = grep { $_->{message} !~ $refused } $browser->console;
    is_deeply \@said, [], "the browser's console has no message";
    $browser->close;
    $t->clean_ok(allow => [qr/access forbidden by rule/, qr/connect\(\) to unix:.*none\.sock failed/, qr/upstream timed out/]);
}

1;
