package Intermission::Bench::Others;

# What an open app pays for the pauses of other apps.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::Bench;
use Intermission::Bench::Held qw(clients);
use Intermission::Bench::Rates qw(rates by_wrk one_worker);

my $APPS = 100;
my $LOCATIONS = <<'END';
set $app_name $arg_app;
location / { intermission on; proxy_pass http://backend; }
location /gif { intermission on; access_log off; empty_gif; }
location /_intermission { intermission_control apps=*; }
END

sub run {
    my ($pairs, $held) = trial([1, 100], [15, 8000])->@*;
    my ($none, $one, $many) = map {
        Intermission->new(one_worker(), events => "worker_connections 16384;\n", http => 'keepalive_requests 10000000;', locations => $LOCATIONS)
    } 1 .. 3;
    $one->control('enable?app=other');
    my $clients = clients($one, $held, '--path', '/r/{i}?app=other');
    $one->wait_held($held, app => 'other', seconds => 60);
    $many->control("enable?app=other$_") for 1 .. $APPS;
    heading("An open app while others are paused: empty_gif, 1 worker, 32 connections, $pairs pairs");
    rates($pairs, 0.97, map { by_wrk(@$_, '/gif?app=own') } ['no app paused', $none],
        ['another app paused, ' . grouped($held) . ' held', $one], ["$APPS apps paused", $many]);
    $one->control('disable?app=other');
    none(say_of('held requests that were not answered with 200', $held - ($clients->done->{statuses}{200} // 0)));
    finish('no app paused', $none);
    finish('another app paused', $one);
    finish("$APPS apps paused", $many);
}

1;
