package Intermission::Bench::Away;

# intermission_away: a release that is faster than its app, and what the directive costs while the app is up.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::Answerer;
use Intermission::Bench;
use Intermission::Bench::Rates qw(rates by_wrk one_worker);
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes qw(sleep time);

# The slow app: its listen queue, and for how long it is at a request, in s.
my ($BACKLOG, $DELAY) = (16, 0.0005);
my $CLIENTS = 8;

sub run {
    outrun(trial(160, 8000));
    cost($_) for 'new connections', 'kept connections';
}

# A pause's requests are released to an app with a short listen queue that takes one connection at a time.
sub outrun {
    my ($released) = @_;
    my $t = Intermission->new(
        workers => 4, http => 'upstream app { server unix:@DIR@/app.sock; }',
        locations => "location /_intermission { intermission_control; }\n"
            . 'location / { intermission on; intermission_away 60s; proxy_http_version 1.0; proxy_set_header Connection close; proxy_pass http://app; }',
    );
    my ($path, $log) = map { $t->dir . "/app.$_" } 'sock', 'log';
    open my $came, '>>', $log or die "$log: $!";
    $came->autoflush(1);
    my $app = Intermission::Answerer->new(listen => "unix:$path", backlog => $BACKLOG, until => qr/\r\n\r\n/, answer => sub {
        my ($target) = $_[1] =~ m{^\S+ (\S+)};
        print $came "$target\n";
        sleep $DELAY;
        return "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
    });
    my $own = own_time($path, $released);
    truncate $came, 0;
    $t->control('enable');
    my $crowd = $t->crowd('--count', $released, '--timeout', 120, '--path', '/late/{i}');
    $t->wait_held($released, seconds => 60);
    my $began = time;
    $t->control('disable');
    my $done = $crowd->done(120);
    my $took = time - $began;
    $t->wait_state('open');
    my %position = map { $_->{target} => $_->{position} } $t->access_log;
    my @order = map { $position{$_} } grep { m{/late/} } split /\n/, Intermission::slurp($log);
    my $inversions = grep { $order[$_] < $order[ $_ - 1 ] } 1 .. $#order;
    heading(grouped($released) . " released to an app with a listen queue of $BACKLOG, intermission_away");
    say_of('the app, asked by eight clients without nginx, s', $own, 2);
    say_of('from disable to the last answer, s', $took, 2);
    at_most(1.3, say_of('    compared with that', $took / $own, 2), 'times');
    none(say_of('answers other than 200', $released - ($done->{statuses}{200} // 0)));
    none(say_of('requests that came to the app twice, or not at all', abs(@order - $released)));
    none(say_of('out of order at the app', $inversions));
    say_of('held again because the queue was full', $t->status->{totals}{away});
    finish('intermission', $t, qr/connect\(\) to unix:\S+ failed \(11:|: away: nginx cannot reach the app/);
}

# How long the app takes for as many requests by eight clients, each on a connection of its own, in s.
sub own_time {
    my ($path, $requests) = @_;
    my $began = time;
    my @clients = map {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            for (1 .. $requests / $CLIENTS) {
                my $socket = IO::Socket::UNIX->new(Peer => $path) // redo;
                print $socket "GET /own HTTP/1.0\r\n\r\n";
                1 while <$socket>;
            }
            POSIX::_exit(0);
        }
        $pid;
    } 1 .. $CLIENTS;
    waitpid $_, 0 for @clients;
    return time - $began;
}

# What the directive costs while the app is up. $kind: how nginx connects to the app.
sub cost {
    my ($kind) = @_;
    my $pairs = trial(1, 15);
    my $app = Intermission->new(workers => 1, with_module => 0, locations => 'location / { access_log off; return 200 ok; }', http => 'keepalive_requests 10000000;');
    my ($keep, $headers) = $kind =~ /kept/ ? ('keepalive 64;', 'proxy_http_version 1.1; proxy_set_header Connection "";') : ('', '');
    my ($plain, $with) = map {
        Intermission->new(
            one_worker(), http => "upstream app { server 127.0.0.1:@{[$app->port]}; $keep }",
            locations => "location /_intermission { intermission_control; }\nlocation / { intermission on; $_ access_log off; $headers proxy_pass http://app; }",
        )
    } '', 'intermission_away 30s;';
    heading("The app is up: proxy_pass with $kind, 1 worker, $pairs pairs");
    my @requests = rates($pairs, 0.99, by_wrk('without intermission_away', $plain), by_wrk('with', $with));
    say_of('requests with intermission_away', $requests[1]);
    finish('without intermission_away', $plain);
    finish('with intermission_away', $with);
    $app->stop;
}

1;
