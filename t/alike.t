# Requests that pass like the one before them, and those that only look so: another app, another max_time,
# another location, after a pause, after a reload.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Client;
use Test::More;

my $t = Intermission->new(
    workers => 2,
    http => <<'END_OF_CONF',
map $http_x_tenant $tenant { default basecamp; other other; }
map $http_x_tenant $changing { volatile; default basecamp; other other; }
limit_req_zone $changing zone=changing:1m rate=1000r/s;
server { listen unix:@DIR@/accel.sock; add_header X-Accel-Redirect /first; location / { return 200; } }
END_OF_CONF
    locations => <<'END_OF_CONF',
location / { set $app_name $arg_app; intermission on; proxy_pass http://backend; }
location /tenant { set $app_name $tenant; intermission on; proxy_pass http://backend; }
location /changing { limit_req zone=changing burst=100 nodelay; set $app_name $changing; intermission on; proxy_pass http://backend; }
location /if { set $app_name $arg_app; intermission $arg_hold; proxy_pass http://backend; }
location /times { set $app_name times; set $intermission_max_time $arg_time; intermission on; proxy_pass http://backend; }
location /first { set $app_name first; intermission on; proxy_pass http://backend; }
location /second { set $app_name second; intermission on; proxy_pass http://backend; }
location /elsewhere { set $app_name first; intermission on; proxy_pass http://unix:@DIR@/accel.sock; }
location = /page { set $app_name first; intermission on; }
location /missing { error_page 404 /page; return 404; }
location /hard { set $app_name hard; set $intermission_max_time $arg_time; intermission on; intermission_max_held 1; intermission_expired 504; proxy_pass http://backend; }
location /_intermission { intermission_control apps=*; }
END_OF_CONF
);

# Requests on one connection: so one worker sees them all.
sub connection { return Intermission::Client->new(to => '127.0.0.1:' . $t->port) }

# Three requests of an open app pass, then one of a paused app comes on the same connection.
sub is_told_apart {
    my ($paused, $open_request, $paused_request, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $t->control("enable?app=$paused");
    my $client = connection();
    my @passed = map { $client->request(@$open_request, keepalive => 1)->response->{status} } 1 .. 3;
    $client->request(@$paused_request, keepalive => 1);
    $t->wait_held(1, app => $paused);
    $t->control("disable?app=$paused");
    push @passed, $client->response->{status}, $client->request(@$open_request)->response->{status};
    return is_deeply \@passed, [(200) x 5], "$what: the open app's requests pass, the paused app's is held";
}

for my $length (1, 3, 4, 7, 8, 12, 16, 17, 64) {
    my %places = map { $_ => 1 } 0, int($length / 2), $length - 1;
    for my $at (sort { $a <=> $b } keys %places) {
        my $open = 'n' x $length;
        substr(my $paused = $open, $at, 1) = 'p';
        is_told_apart($paused, ["/x?app=$open"], ["/x?app=$paused"], "names of $length bytes, another one in place $at");
    }
}
is_told_apart('other', ['/tenant'], ['/tenant', headers => {'X-Tenant' => 'other'}], 'a name that a map makes');
is_told_apart('other', ['/changing'], ['/changing', headers => {'X-Tenant' => 'other'}], 'a name that a volatile map makes');
is_told_apart('second', ['/first'], ['/second'], 'two locations');
is_told_apart('same', ['/if?app=same'], ['/if?app=same&hold=1'], 'a location that holds only some');

subtest 'a pause holds the next request of the app, whatever passed before' => sub {
    my @clients = map { connection() } 1 .. 8;
    for my $round (1 .. 3) {
        is_deeply [map { $_->request('/first', keepalive => 1)->response->{status} } @clients, @clients], [(200) x 16], 'requests pass';
        $t->control('enable?app=first');
        $_->request('/first', keepalive => 1) for @clients;
        $t->wait_held(8, app => 'first');
        $t->control('disable?app=first');
        is_deeply [map { $_->response->{status} } @clients], [(200) x 8], 'the same in a pause: they are held, and released';
    }
    my $before = $t->status(app => 'first')->{totals}{passed};
    $_->request('/first', keepalive => 1)->response for @clients, @clients;
    is $t->status(app => 'first')->{totals}{passed} - $before, 16, 'each one that passes is counted';
};

sub count { return $t->status(app => $_[0])->{$_[1]} }

sub passed { return $t->status(app => $_[0])->{totals}{passed} }

# A status asks all workers, and then they find everything out anew.
subtest 'a request that comes to two gates passes once' => sub {
    my ($client, $before) = (connection(), passed('first'));
    is_deeply [map { $client->request($_, keepalive => 1)->response->{status} } ('/first', '/elsewhere') x 3], [(200) x 6], 'X-Accel-Redirect: it passes';
    is passed('first') - $before, 6, 'X-Accel-Redirect: it counts once';
    is count('first', 'in_flight'), 0, 'X-Accel-Redirect: none is left in flight';
};

subtest "a page of nginx's own is no request to the app" => sub {
    my ($client, $before) = (connection(), passed('first'));
    $client->request($_, keepalive => 1)->response for ('/page') x 3, ('/missing') x 3;
    is passed('first') - $before, 3, 'also where requests have passed before';
};

subtest 'a request that passes has nothing of those before it' => sub {
    my %ends = (
        HELD => sub { $t->wait_held(1, app => 'hard'); $t->control('disable?app=hard'); $_[0]->response },
        EXPIRED => sub { $_[0]->response },
        STOPPED => sub { $t->wait_held(1, app => 'hard'); $t->control('stop?app=hard'); $_[0]->response },
        LEFT => sub { $t->wait_held(1, app => 'hard'); $_[0]->close; $t->wait_held(0, app => 'hard') },
    );
    for my $end (sort keys %ends) {
        $t->control('enable?app=hard');
        my $time = $end eq 'EXPIRED' ? 0.1 : 300;
        $ends{$end}->(connection()->request("/hard/$end?time=$time"));
        $t->control('disable?app=hard');
        my @after = map { connection() } 1 .. 8;
        $_->request("/hard/after-$end", keepalive => 1)->response for @after, @after;
        my $log = $t->logged("/hard/after-$end");
        is_deeply [@$log{qw(intermission hold_time position)}], ['PASSED', '-', '-'], "after one that was $end";
        is $t->logged("/hard/$end?time=$time")->{intermission}, $end, "it was $end";
    }
};

subtest 'the shortest max_time is told' => sub {
    my $client = connection();
    $client->request("/times?time=$_", keepalive => 1)->response for 300, 300, 200, 300, 300;
    my $answer = $t->control('enable?app=times&for=10m')->{body};
    like $answer, qr{held for 200 s will be passed on}, 'of requests that are alike but for that' or diag $answer;
    $t->control('disable?app=times');
};

subtest 'a reload' => sub {
    my $client = connection();
    $client->request('/first', keepalive => 1)->response for 1 .. 3;
    $t->control('enable?app=first');
    $t->reload;
    my @held = map { connection()->request('/first') } 1 .. 4;
    $t->wait_held(4, app => 'first');
    $t->control('disable?app=first');
    is_deeply [map { $_->response->{status} } @held], [(200) x 4], 'in a pause: all are held';
    is connection()->request('/first')->response->{status}, 200, 'and one passes again';
};

$t->clean_ok(allow => [qr{open\(\) .*/page}]);
done_testing;
