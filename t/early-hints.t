# Early hints: what an app says before it answers goes to those who were held, too, and is no answer.

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

$t->control('enable');
my @held;
for my $number (1 .. 3) {
    push @held, $t->send("/$number");
    $t->wait_held($number);
}
ok !IO::Select->new(map { $_->socket } @held)->can_read(0), 'nobody who is held is told anything';
$t->control('disable');
$own->wait("/$_") for 1 .. 3;
$own->hint("/$_", 'Link: </style.css>; rel=preload') for 1 .. 3;
like header($_), qr{^HTTP/1\.1 103 .*^Link: </style\.css>}ms, 'who was held gets the hint' for @held;
my $early = $t->control('enable?wait=200ms');
is $early->{status}, 504, 'that is no answer: they are in flight';
like $early->{body}, qr/^3 requests are still in flight/, 'all three';
$own->answer("/$_") for 1 .. 3;
is $_->response->{status}, 200, 'then comes the answer' for @held;
is $t->logged("/$_")->{intermission}, 'HELD', 'the access log says HELD' for 1 .. 3;
is $t->control('enable?wait=2s')->{status}, 200, 'and the app is quiet';
$t->control('stop');
my $stopped = $t->get('/stopped');
is_deeply [$stopped->{status}, $stopped->{headers}{'retry-after'}], [503, 10], 'a stop gives no hints';
$t->control('disable');
$t->clean_ok;

done_testing;
