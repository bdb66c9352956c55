# Only a client's own request changes anything. A request that nginx makes for it (a subrequest) does not.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $t = Intermission->new(
    locations => <<'END',
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
location /denied { deny all; intermission_control; }
location /ssi/ { ssi on; default_type text/html; root @DIR@; }
location = /mirrored { mirror /denied/stop; intermission on; proxy_pass http://backend; }
location = /asked { auth_request /denied/stop; intermission on; proxy_pass http://backend; }
location = /asked-status { auth_request /denied/status; intermission on; proxy_pass http://backend; }
location = /added { add_before_body /denied/stop; add_after_body /denied/status; addition_types text/plain; default_type text/plain; return 200 "page\n"; }
location = /rewritten { rewrite ^ /_intermission/enable last; }
END
);

mkdir $t->dir . '/ssi' or die;
chmod 0755, $t->dir, $t->dir . '/ssi';
for my $verb ('stop', 'enable', 'disable', 'status') {
    open my $page, '>', $t->dir . "/ssi/$verb" or die "page: $!";
    print $page qq(<p><!--# include virtual="/denied/$verb" --></p>);
    close $page;
}

subtest 'a part of a page (SSI) changes nothing' => sub {
    for my $verb ('stop', 'enable') {
        like $t->get("/ssi/$verb")->{body}, qr/a subrequest changes nothing/, "SSI: $verb is refused, and the answer says so";
        is $t->status->{state}, 'open', 'SSI: the app stays open';
    }
    $t->control('enable');
    like $t->get('/ssi/disable')->{body}, qr/a subrequest changes nothing/, 'SSI: disable in a pause is refused';
    is $t->get('/ssi/status')->{body}, "<p>Pause enabled.\n</p>", 'SSI: status is answered';
    is $t->status->{state}, 'paused', 'SSI: the app stays paused';
    $t->control('disable');
};

subtest 'a mirror, an auth_request or an addition changes nothing' => sub {
    is $t->get('/mirrored')->{status}, 200, 'mirror: the request that is mirrored is answered';
    is $t->get('/asked')->{status}, 403, 'auth_request: enable is refused';
    is $t->get('/asked-status')->{status}, 200, 'auth_request: status is answered';
    is $t->get('/mirrored', body => '{"a":1}', headers => {'Content-Type' => 'application/json'})->{status}, 200, "mirror: a request's body is not taken for the mirror's parameters";
    SKIP: {
        my $added = $t->get('/added')->{body};
        skip 'no addition module', 1 if $added eq "page\n";
        like $added, qr/a subrequest changes nothing.*page\nPause disabled/s, 'addition: enable is refused, status is answered';
    }
    is $t->status->{state}, 'open', 'mirror, auth_request, addition: the app stays open';
};

subtest 'a client\'s request that was rewritten is its own' => sub {
    is $t->get('/rewritten')->{body}, "Pause enabled.\n", 'a rewritten request of a client: enable';
    is $t->control('disable')->{status}, 200, 'a rewritten request of a client: the app was paused';
};

$t->clean_ok;
done_testing;
