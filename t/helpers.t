# nginx's cache manager and cache loader are no workers: enable?wait= and a quit do not wait for them.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

# The loader reads one file at a time, and sleeps in between without handling events.
my $http = 'proxy_cache_path @DIR@/cache keys_zone=cache:1m loader_files=1 loader_sleep=1s;';

sub helpers {
    my ($t) = @_;
    return grep { Intermission::Process::title($_) =~ /^nginx: cache/ } Intermission::Process::children($t->master);
}

subtest "nginx's cache helpers are no workers" => sub {
    my $t = Intermission->new(workers => 2, http => $http);
    my @helpers = $t->wait_for(sub { my @now = helpers($t); @now == 2 ? \@now : undef }, 'the cache manager and the cache loader to be up')->@*;
    # A frozen helper handles no events, like a loader at work.
    $t->freeze(@helpers);
    is $t->control('enable?wait=2s')->{status}, 200, "enable?wait= does not wait for the cache's helpers";
    my @held = map { $t->send("/$_") } 1 .. 3;
    $t->wait_held(3);
    kill KILL => $helpers[0];
    $t->wait_for(sub { !Intermission::Process::is_alive($helpers[0]) }, 'the killed helper to be gone');
    is $t->status->{held}, 3, 'a helper dies: the held requests stay held';
    $t->freeze(grep { $_ != $helpers[1] } helpers($t));
    kill QUIT => $t->master;
    is $_->response->{status}, 503, 'nginx quits: held requests are answered with 503 although helpers stand still' for @held;
    kill CONT => @helpers, helpers($t);
    $t->stop;
};

done_testing;
