package Intermission::Bench::Passed;

# What a request costs while its app is open: requests per second, and CPU.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::Bench;
use Intermission::Bench::Rates qw(rates one_worker);

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
    my @others = map {
        ($_->[0] => $server->($_->[1], 'set $app_name basecamp; location /_intermission { intermission_control; }', "$SETS intermission on;"))
    } modules();
    heading("No pause: empty_gif, 1 worker, 32 connections, $pairs pairs, with the sample configuration");
    rates($pairs, 0.99, 'nginx alone' => $plain, @others);
    finish('nginx alone', $plain);
    my %others = @others;
    finish($_, $others{$_}) for map { $_->[0] } modules();
}

1;
