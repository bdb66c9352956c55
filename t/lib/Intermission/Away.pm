package Intermission::Away;

# Whether a request is held while its app is away, and goes on when it is up.

use strict;
use warnings;
use Exporter 'import';
use Intermission;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(@gone nginx held_until);

# What nginx logs of an app that is away.
our @gone = (
    qr/connect\(\) (?:to \S+ )?failed/, qr/no live upstreams/,
    qr/could not be resolved/, qr/wrong ident .* in DNS response/,
);

# Starts nginx. $location: what is in the place whose requests are held. Keys: those of Intermission::new.
sub nginx {
    my ($location, %more) = @_;
    return Intermission->new(
        workers => 1, %more,
        locations => "location /_intermission { intermission_control; }\n"
            . "location / { intermission on; intermission_away 20s; $location }\n" . ($more{locations} // ''),
    );
}

# A request comes while its app is away. Then $up is called, and the request is answered 200, soon. Returns the answer, and what $up
# returned. Options: those of Intermission::send, target => of the request, log => what nginx logs when it comes.
sub held_until {
    my ($t, $what, $up, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $client = $t->send($opt{target} // '/held', %opt);
    $t->wait_log($opt{log} // qr/$gone[0]|$gone[1]|$gone[2]/);
    sleep 0.3;
    ok !$client->begun, "$what: held while the app is away";
    my $began = time;
    my $server = $up->();
    my $answer = $client->response;
    is $answer->{status}, 200, "$what: 200 when the app is up";
    cmp_ok time - $began, '<', 3, "$what: soon";
    return ($answer, $server);
}

1;
