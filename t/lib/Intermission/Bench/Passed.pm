package Intermission::Bench::Passed;

# What a request costs while its app is open: requests per second, and CPU.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::Bench;
use Intermission::Bench::Rates qw(rates by_wrk one_worker);

my $SETS = <<'END';
set $intermission_max_time 300;
set $intermission_health_check_path /up/database;
set $intermission_privileged_user_agent "Pingdom";
END

sub run {
    my $pairs = trial(1, 21);
    my $server = sub {
        my ($conf, $control, $location) = @_;
        return Intermission->new(one_worker(), %$conf, http => 'keepalive_requests 10000000;',
            locations => "$control location / { $location access_log off; empty_gif; }");
    };
    my $plain = $server->({with_module => 0}, '', '');
    my %server = map {
        $_->[0] => $server->($_->[1], 'set $app_name basecamp; location /_intermission { intermission_control; }', "$SETS intermission on;")
    } modules();
    my @who = map { $_->[0] } modules();
    heading("No pause: empty_gif, 1 worker, 32 connections, $pairs pairs, with the sample configuration");
    rates($pairs, 0.99, by_wrk('nginx alone', $plain), map { by_wrk($_, $server{$_}) } @who);
    finish('nginx alone', $plain);
    finish($_, $server{$_}) for @who;
}

1;
