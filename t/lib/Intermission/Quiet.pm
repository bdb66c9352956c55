package Intermission::Quiet;

# What the tests of enable?wait= share: an nginx, $t, an app, $own, that answers when it is told to, and callers
# that wait for the app to be quiet.

use strict;
use warnings;
use Exporter 'import';
use Intermission;
use Intermission::Upstream;
use Test::More;

our @EXPORT = qw($t $own $locations instance connections unfinished waiter too_late said reopen);
our ($t, $own);

our $locations = <<'END_OF_CONF';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /own/ { set $intermission_health_check_path /own/health; set $intermission_privileged_user_agent Pingdom;
    intermission on; proxy_pass http://own; }
location /own/downloads/ { limit_rate 20k; intermission on; proxy_pass http://own; }
location /own/off/ { intermission off; proxy_pass http://own; }
location /own/fresh/ { set $app_name fresh; intermission on; proxy_pass http://own; }
location /files/ { root @DIR@; limit_rate 2k; intermission on; }
location /echo/ { intermission on; try_files /none @echo; }
location @echo { limit_rate 10; return 200 "ECHO"; }
location /own/copied/ { mirror /copy; intermission on; proxy_pass http://backend; }
location /copy { internal; proxy_pass http://own/own/copy; }
location /own/stubborn/ { proxy_ignore_client_abort on; intermission on; proxy_pass http://own; }
location /own/streamed/ { proxy_request_buffering off; proxy_http_version 1.1; intermission on; proxy_pass http://own; }
location /sockets/ { intermission on; proxy_pass http://backend; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
location = /pid { return 200 $pid; }
location /_intermission { intermission_control; }
location /leased { intermission_control; intermission_lease 5s; }
location /fresh { set $app_name fresh; intermission_control; }
END_OF_CONF

$locations =~ s/ECHO/'echo ' x 200/e;

# Starts an nginx with these locations.
sub instance {
    my (%conf) = @_;
    $t = Intermission->new(
        workers => 4, http2 => 1, locations => $locations,
        http => 'upstream own { server unix:@DIR@/own.sock; }',
        server => 'listen 127.0.0.2:@PORT@ reuseport;', %conf,
    );
    $own = Intermission::Upstream->new($t);
}

# A kept connection to each worker: pid => client.
sub connections {
    my %to;
    my @workers = $t->workers;
    $t->wait_for(sub {
        my $client = $t->send('/pid', to => '127.0.0.2:' . $t->port, keepalive => 1);
        $to{$client->response->{body}} //= $client;
        return @workers == grep { $to{$_} } @workers;
    }, 'a connection to each worker');
    return map { $_ => $to{$_} } @workers;
}

# Sends a request, and waits until the backend has it. It is not answered yet.
sub unfinished {
    my ($target, %opt) = @_;
    my $client = $t->send($target, %opt);
    $own->wait($target);
    return $client;
}

# Calls a verb with wait=. Returns when the app is paused, so that the caller waits.
sub waiter {
    my ($verb, %opt) = @_;
    my $client = $t->send("/_intermission/$verb", %opt);
    $t->wait_state('paused');
    return $client;
}

# Checks the answer to a caller that was too late: 504, with how many requests are left.
sub too_late {
    my ($answer, $left, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $answer->{status}, 504, $what;
    my $is = $left == 1 ? 'request is' : 'requests are';
    like $answer->{body}, qr/^$left $is still in flight/, "$what: the answer tells how many are left";
    like $answer->{headers}{'retry-after'}, qr/^[1-9]\d*$/, "$what: the answer says when to ask again";
}

# How often the pattern matches in the error log.
sub said {
    my ($pattern) = @_;
    return scalar(() = $t->error_log =~ /$pattern/g);
}

# Lets the app answer everything, and ends the pause.
sub reopen {
    $own->answer_all;
    $t->control('disable?spread=0&concurrency=0');
    $t->wait_state('open');
}

1;
