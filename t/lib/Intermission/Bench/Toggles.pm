package Intermission::Bench::Toggles;

# What a pause that begins and ends ten times a second costs the requests that are not held.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::Bench;
use Intermission::Bench::Machine qw(pinned);
use Intermission::Bench::Rates qw(rates by_wrk wrk one_worker);
use Intermission::Client;
use POSIX ();
use Time::HiRes qw(sleep time);

# In s: from one pause to the next, and how long one takes.
my ($PERIOD, $PAUSE) = (0.1, 0.01);
my $LOCATIONS = <<'END';
set $app_name $arg_app;
location /gif { intermission on; access_log off; empty_gif; }
location /_intermission { intermission_control apps=*; }
END

sub run {
    my $pairs = trial(1, 15);
    my $t = Intermission->new(one_worker(), http => 'keepalive_requests 10000000;', locations => $LOCATIONS);
    heading("An app that is paused 10 times a second: empty_gif, 1 worker, 32 connections, $pairs pairs");
    rates($pairs, 0.97, by_wrk('not paused', $t, '/gif?app=toggled'),
        {name => 'another app', run => sub { toggled($t, '/gif?app=own') }},
        {name => 'the same app, without the time of its pauses', run => sub { toggled($t, '/gif?app=toggled', 'corrected') }});
    finish('intermission', $t);
}

# Runs wrk while a child toggles the pause. $corrected: as if the pauses had not taken any time.
sub toggled {
    my ($t, $path, $corrected) = @_;
    my ($began, $stop, $hear) = (time, toggle($t));
    my ($rate, $cpu, $requests) = wrk($t, $path);
    kill TERM => $stop;
    my ($paused) = readline($hear) =~ /([\d.]+)/;
    my $took = time - $began;
    waitpid $stop, 0;
    $rate /= 1 - $paused / $took if $corrected;
    return ($rate, $cpu, $requests);
}

# Starts the child. Returns its pid, and where it says at the end how many seconds it was paused.
sub toggle {
    my ($t) = @_;
    pipe my $hear, my $tell or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    return ($pid, $hear) if $pid;
    my ($stop, $paused) = (0, 0);
    $SIG{TERM} = sub { $stop = 1 };
    my ($pin) = (pinned())[2];
    qx(taskset -pc $pin $$) if defined $pin;
    my $operator = Intermission::Client->new(to => '127.0.0.1:' . $t->port);
    until ($stop) {
        my $began = time;
        $operator->request('/_intermission/enable?app=toggled', keepalive => 1)->response;
        my $since = time;
        sleep $PAUSE;
        $operator->request('/_intermission/disable?app=toggled', keepalive => 1)->response;
        $paused += time - $since;
        my $left = $began + $PERIOD - time;
        sleep $left if $left > 0;
    }
    syswrite $tell, "$paused\n";
    POSIX::_exit(0);
}

1;
