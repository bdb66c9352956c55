# A request is held once, whatever internal redirects nginx makes, and comes to the right place.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission;
use IO::Select;
use IO::Socket::UNIX;
use Test::More;

# An upstream that answers when the test tells it to.
my $own = File::Temp::tempdir('intermission-redirects-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $own;
my $upstream = IO::Socket::UNIX->new(Local => "$own/upstream.sock", Listen => 64) or die "upstream.sock: $!";
chmod 0777, "$own/upstream.sock";
mkdir $_ or die "$_: $!" for "$own/html", "$own/html/here";
for my $page (['index.html', 'index'], ['here/page.html', 'page'], ['ssi.html', 'a<!--#include virtual="/included" -->b']) {
    open my $file, '>', "$own/html/$page->[0]" or die "$page->[0]: $!";
    print {$file} $page->[1];
}

# Accepts a connection of nginx and reads the request. Returns the connection.
sub accepted {
    IO::Select->new($upstream)->can_read(10) or die 'nothing comes to the upstream';
    my $peer = $upstream->accept or die "accept: $!";
    my $request = '';
    while ($request !~ /\r\n\r\n/) {
        sysread $peer, $request, 65536, length $request or die 'nginx sends no request';
    }
    return $peer;
}

sub answer {
    my ($peer, $status, @headers) = @_;
    my $lines = join '', map { "$_\r\n" } @headers, 'Content-Length: 0', 'Connection: close';
    syswrite $peer, "HTTP/1.1 $status Status\r\n$lines\r\n";
    close $peer;
}

# @FIRST@ and @LAST@ stand for the directives at the first and the last location of a redirect.
my %redirect = (
    'try_files to a named location' => <<'END',
location = /a { @FIRST@ root @OWN@/html; try_files /none @there; }
location @there { @LAST@ proxy_pass http://backend; }
END
    'try_files to a URI' => <<'END',
location = /a { @FIRST@ root @OWN@/html; try_files /none /b?from=$uri; }
location = /b { @LAST@ proxy_pass http://backend; }
END
    'try_files over two locations' => <<'END',
location = /a { @FIRST@ root @OWN@/html; try_files /none /middle; }
location = /middle { @FIRST@ root @OWN@/html; try_files /none @there; }
location @there { @LAST@ proxy_pass http://backend; }
END
    'an index' => <<'END',
location / { @FIRST@ root @OWN@/html; index none.html index.html; }
location = /index.html { @LAST@ proxy_pass http://backend; }
END
    'error_page of a dead upstream to a named location' => <<'END',
location = /a { @FIRST@ proxy_pass http://unix:@OWN@/nobody.sock; error_page 502 = @there; }
location @there { @LAST@ proxy_pass http://backend; }
END
    'error_page of a 404 to a URI' => <<'END',
location = /a { @FIRST@ root @OWN@/html; log_not_found off; error_page 404 =200 /b; }
location = /b { @LAST@ proxy_pass http://backend; }
END
    'error_page of a backend\'s 404 to a named location' => <<'END',
location = /a { @FIRST@ proxy_pass http://backend/first?status=404; proxy_intercept_errors on; error_page 404 = @there; }
location @there { @LAST@ proxy_pass http://backend; }
END
    'rewrite ... last' => <<'END',
location = /a { @FIRST@ rewrite ^ /b last; }
location = /b { @LAST@ proxy_pass http://backend; }
END
    'rewrite ... last in a try_files\' location' => <<'END',
location = /a { @FIRST@ root @OWN@/html; try_files /none @middle; }
location @middle { @FIRST@ rewrite ^ /b last; }
location = /b { @LAST@ proxy_pass http://backend; }
END
    'X-Accel-Redirect' => <<'END',
location = /a { @FIRST@ proxy_pass http://unix:@DIR@/accel.sock; }
location = /b { internal; @LAST@ proxy_pass http://backend; }
END
    'X-Accel-Redirect to a named location' => <<'END',
location = /a { @FIRST@ proxy_pass http://unix:@DIR@/accel.sock:/named; }
location @there { @LAST@ proxy_pass http://backend; }
END
);
my %asked = ('an index' => '/');
my %arrives = (
    'try_files to a URI' => '/b?from=/a', 'try_files over two locations' => '/middle', 'an index' => '/index.html',
    map { $_ => '/b' } 'error_page of a 404 to a URI', 'rewrite ... last', 'rewrite ... last in a try_files\' location',
    'X-Accel-Redirect',
);
my @where = (
    ['at its first place', 'intermission on;', 'intermission off;'],
    ['at its last place', 'intermission off;', 'intermission on;'],
    ['at every place', 'intermission on;', 'intermission on;'],
    ['at every place, satisfy any', 'intermission on; satisfy any; allow all;', 'intermission on; satisfy any; allow all;'],
    ['at its first place, satisfy any last', 'intermission on;', 'intermission on; satisfy any; allow all;'],
);

my $accel = <<'END';
server {
    listen unix:@DIR@/accel.sock;
    location / { add_header X-Accel-Redirect /b; return 200; }
    location /named { add_header X-Accel-Redirect @there; return 200; }
}
END
my $control = "location /_intermission { intermission_control; }\n";

for my $name (sort keys %redirect) {
    subtest "$name: each request is held once, and comes to the right place" => sub {
        # Each choice of directives has a server. A rewrite comes before the gate, so only its last location counts.
        my @choices = grep { $name ne 'rewrite ... last' || $_->[2] !~ /off/ } @where;
        my $servers = join '', map {
            my (undef, $first, $last) = @{$choices[$_]};
            my $locations = $redirect{$name} =~ s/\@FIRST\@/$first/gr =~ s/\@LAST\@/$last/gr;
            "server { listen unix:\@DIR\@/http.sock; server_name w$_; $locations }\n";
        } 0 .. $#choices;
        my $t = Intermission->new(workers => 2, http => ($accel . $servers) =~ s/\@OWN\@/$own/gr, locations => $control);
        my $asked = $asked{$name} // '/a';
        my @held;
        $t->control('enable');
        for my $index (0 .. $#choices) {
            push @held, $t->send($asked, to => 'unix:' . $t->dir . '/http.sock', host => "w$index");
            $t->wait_held(scalar @held);
        }
        $t->control('disable');
        is $held[$_]->response->{status}, 200, "$name: held $choices[$_][0], then answered" for 0 .. $#choices;
        is $t->status->{totals}{held}, @choices, "$name: each request is held once";
        my @arrived = grep { $_ !~ /^.first/ } map { $_->{target} } $t->backend_log;
        is_deeply \@arrived, [($arrives{$name} // $asked) x @choices], "$name: all requests come to the right place";
        $t->clean_ok(allow => [qr/nobody\.sock/]);
    };
}

subtest 'try_files holds a request once' => sub {
    my $t = Intermission->new(
        workers => 2,
        server => "root $own/html; intermission on;",
        locations => "$control location / { try_files \$uri \$uri/page.html =404; }",
    );
    $t->control('enable');
    my %asked = ('/index.html' => [200, 'index'], '/here' => [200, 'page'], '/none' => [404]);
    my %held = map { $_ => $t->send($_) } keys %asked;
    $t->wait_held(3);
    $t->control('disable');
    for my $target (sort keys %asked) {
        my ($answer, $want) = ($held{$target}->response, $asked{$target});
        is_deeply [$answer->{status}, @$want > 1 ? $answer->{body} : ()], $want, "try_files: $target is held, then $want->[0]";
    }
    is $t->status->{totals}{held}, 3, 'try_files: each request is held once';
    $t->clean_ok;
};

subtest 'a request in flight is not held by a pause that begins' => sub {
    # A redirect in the pause leads the passed request to a gate once more.
    my $t = Intermission->new(
        workers => 2,
        server => "intermission on; proxy_intercept_errors on; proxy_next_upstream off;",
        locations => $control . <<"END",
location /accel { proxy_pass http://unix:$own/upstream.sock; }
location /error { proxy_pass http://unix:$own/upstream.sock; error_page 404 = /b; }
location /named { proxy_pass http://unix:$own/upstream.sock; error_page 404 = \@there; }
location /any { satisfy any; allow all; proxy_pass http://unix:$own/upstream.sock; error_page 404 = \@any; }
location /expired { set \$intermission_max_time 0.2; proxy_pass http://unix:$own/upstream.sock; error_page 404 = /b; }
location /off { intermission off; proxy_pass http://unix:$own/upstream.sock; error_page 404 = /b; }
location = /b { proxy_pass http://backend; }
location \@there { proxy_pass http://backend; }
location \@any { satisfy any; allow all; proxy_pass http://backend; }
END
    );
    my %answer = ('/accel' => [200, 'X-Accel-Redirect: /b'], map { $_ => [404] } '/error', '/named', '/any');
    my %open = map { my $client = $t->send($_); $_ => [$client, accepted()] } sort keys %answer;
    my $off = [$t->send('/off'), accepted()];
    $t->control('enable');
    answer($open{$_}[1], @{$answer{$_}}) for keys %open;
    is $open{$_}[0]->response->{status}, 200, "$_: a request that was in flight is not held by a later redirect" for sort keys %open;
    is $t->status->{totals}{held}, 0, 'a request that was in flight is not held by a redirect: no ticket';
    is $t->logged('/accel')->{intermission}, 'PASSED', 'access log: a request that was in flight is PASSED';

    my $expired = [$t->send('/expired'), accepted()];
    answer($expired->[1], 404);
    is $expired->[0]->response->{status}, 200, 'a request that expired is not held again by a redirect';
    is $t->logged('/expired')->{intermission}, 'EXPIRED', 'access log: a request that expired and was redirected is EXPIRED';

    answer($off->[1], 404);
    $t->wait_held(1);
    is $t->status->{totals}{held}, 2, 'a redirect from a place with intermission off to one with it on: held';
    $t->control('disable');
    is $off->[0]->response->{status}, 200, 'a request that was held after a redirect is answered when the pause ends';

    # The same for a request that was held by a first pause, while a second pause begins.
    $t->wait_state('open');
    $t->control('enable');
    my $held = $t->send('/error');
    $t->wait_held(1);
    $t->control('disable');
    my $peer = accepted();
    $t->wait_state('open');
    $t->control('enable');
    answer($peer, 404);
    is $held->response->{status}, 200, 'a request of the first pause is not held by the next one';
    is $t->status->{totals}{held}, 3, 'no request is held twice';
    $t->control('disable');
    $t->clean_ok;
};

subtest 'subrequests are never held' => sub {
    my $t = Intermission->new(
        workers => 2,
        server => 'intermission on;',
        locations => $control . <<"END" . <<'END',
location = /ssi.html { root $own/html; ssi on; }
location = /off/ssi.html { intermission off; alias $own/html/ssi.html; ssi on; }
END
location = /included { proxy_pass http://backend; }
location /added { proxy_pass http://backend; add_after_body /included; addition_types *; }
location /off/added { intermission off; proxy_pass http://backend; add_after_body /included; addition_types *; }
location /mirrored { mirror /mirror; proxy_pass http://backend; }
location /any/mirrored { satisfy any; allow all; mirror /mirror; proxy_pass http://backend; }
location /off/mirrored { intermission off; mirror /mirror; proxy_pass http://backend; }
location = /mirror { internal; proxy_pass http://backend/copy$request_uri; }
location /checked { auth_request /check; proxy_pass http://backend; }
location /off/checked { intermission off; auth_request /check; proxy_pass http://backend; }
location = /check { internal; proxy_pass http://backend/check$request_uri; }
location /any/check { satisfy any; deny all; auth_request /anycheck; proxy_pass http://backend; }
location = /anycheck { internal; satisfy any; allow all; proxy_pass http://backend/check$request_uri; }
END
    );
    $t->control('enable');
    my %off = map { $_ => $t->get("/off$_") } '/ssi.html', '/added', '/mirrored', '/checked';
    is $off{$_}{status}, 200, "$_: where intermission is off, a subrequest to where it is on is not held" for sort keys %off;
    $t->wait_for(sub { grep { $_->{target} eq '/copy/off/mirrored' } $t->backend_log }, 'the mirror of the request at the app');
    like $off{'/ssi.html'}{body}, qr/^aseq=\d+\nb$/, 'SSI where intermission is off: the page is whole';
    is $t->status->{totals}{held}, 0, 'subrequests where intermission is off took no ticket';

    my $before = $t->backend_log;
    my @targets = ('/added', '/any/check', '/any/mirrored', '/checked', '/mirrored', '/ssi.html');
    my %held = map { $_ => $t->send($_) } @targets;
    $t->wait_held(6);
    my @meanwhile = grep { $_->{seq} > $before } $t->backend_log;
    @meanwhile = sort map { $_->{target} } @meanwhile;
    is_deeply \@meanwhile, ['/check/any/check', '/check/checked'], 'only access checks are made while their requests are held';
    $t->control('disable');
    is $held{$_}->response->{status}, 200, "$_: held, then answered" for @targets;
    like $held{'/ssi.html'}->response->{body}, qr/^aseq=\d+\nb$/, 'SSI of a held request: the page is whole';
    is $t->status->{totals}{held}, 6, 'requests with subrequests are held once each';
    $t->wait_for(sub { 2 == grep { $_->{target} =~ /^.copy/ && $_->{seq} > $before } $t->backend_log }, 'the mirrors of both requests at the app');
    my @came = grep { $_->{seq} > $before } $t->backend_log;
    is scalar @came, 11, 'every request and subrequest comes to the app once';
    $t->clean_ok;
};

done_testing;
