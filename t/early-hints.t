# Early hints: the hint of an app reaches the client of a released request, and does not count as its answer.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Upstream;
use IO::Select;
use Test::More;
use Time::HiRes 'time';

plan skip_all => 'this nginx passes on no early hints' if !Intermission::knows('early_hints', 'early_hints 1;');

my $t = Intermission->new(
    workers => 2,
    http => 'upstream own { server unix:@DIR@/own.sock; }',
    locations => 'location / { intermission on; early_hints 1; proxy_pass http://own; } location /_intermission { intermission_control; }',
);
my $own = Intermission::Upstream->new($t);

sub header {
    my ($client) = @_;
    my ($input, $end) = ('', time + 10);
    until ($input =~ /\r\n\r\n/) {
        my $left = $end - time;
        last if $left <= 0 || !IO::Select->new($client->socket)->can_read($left);
        sysread $client->socket, $input, 1, length $input or last;
    }
    return $input;
}

subtest "an app's hint reaches the client of a released request, and is no answer" => sub {
    $t->control('enable');
    my @held;
    for my $number (1 .. 3) {
        push @held, $t->send("/$number");
        $t->wait_held($number);
    }
    ok !IO::Select->new(map { $_->socket } @held)->can_read(0), 'a held client is sent nothing';
    $t->control('disable');
    $own->wait("/$_") for 1 .. 3;
    $own->hint("/$_", 'Link: </style.css>; rel=preload') for 1 .. 3;
    like header($_), qr{^HTTP/1\.1 103 .*^Link: </style\.css>}ms, "the client of a released request gets the app's hint" for @held;
    my $early = $t->control('enable?wait=200ms');
    is $early->{status}, 504, 'a hint is no answer: the requests are in flight';
    like $early->{body}, qr/^3 requests are still in flight/, 'the 504 says that three requests are in flight';
    $own->answer("/$_") for 1 .. 3;
    is $_->response->{status}, 200, 'after the hint the client gets the answer' for @held;
    is $t->logged("/$_")->{intermission}, 'HELD', 'a request with a hint is logged as HELD' for 1 .. 3;
    is $t->control('enable?wait=2s')->{status}, 200, 'all answered: the app is quiet';
};

subtest 'a stop gives no hints' => sub {
    $t->control('stop');
    my $stopped = $t->get('/stopped');
    is_deeply [$stopped->{status}, $stopped->{headers}{'retry-after'}], [503, 10], 'a stop gives no hints';
    $t->control('disable');
};

$t->clean_ok;

done_testing;
