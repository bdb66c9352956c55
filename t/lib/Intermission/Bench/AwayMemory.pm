package Intermission::Bench::AwayMemory;

# The memory of workers that hold requests while their app is away, over a time.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::App;
use Intermission::Bench;
use Intermission::Bench::Machine qw(slurp);
use List::Util qw(max);
use Time::HiRes qw(sleep);

my $TIMES = 10;

# $seconds: for how long; 60 by default.
sub run {
    my $seconds = $_[0] // trial(1, 60);
    my $number = trial(100, 5000);
    my $t = Intermission->new(
        workers => 2, http => 'upstream app { server unix:@DIR@/app.sock; }',
        locations => "location /_intermission { intermission_control; }\n"
            . "location / { set \$intermission_max_time @{[$seconds + 300]}; intermission on; intermission_away @{[$seconds + 60]}s; proxy_pass http://app; }",
    );
    my $crowd = $t->crowd('--count', $number, '--timeout', $seconds + 120, '--path', '/r/{i}');
    $t->wait_held($number, seconds => 60);
    my $larger = sub { max(map { slurp("/proc/$_/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : 0 } $t->workers) };
    sleep trial(0.1, 2);
    my @kB = $larger->();
    for (1 .. $TIMES) {
        sleep $seconds / $TIMES;
        push @kB, $larger->();
    }
    heading(grouped($number) . " held for $seconds s while their app is away");
    say_of('memory of the larger worker at first, kB', $kB[0]);
    say_of('    at last', $kB[-1]);
    at_most(1024, say_of('    more than at first', $kB[-1] - $kB[0]));
    my $app = Intermission::App->new($t)->up;
    my $done = $crowd->done(60);
    none(say_of('answers other than 200 when the app is up', $number - ($done->{statuses}{200} // 0)));
    finish('intermission', $t, qr/connect\(\) to unix:\S+ failed \(2:|: away: nginx cannot reach the app/);
}

1;
