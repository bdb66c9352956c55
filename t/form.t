# What a form says to the control endpoint counts as what the query says.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use IO::Select;
use JSON::PP;
use Test::More;

my $t = Intermission->new(
    http2 => 1,
    locations => <<'END',
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control apps=*; }
location /filed { client_body_in_file_only on; intermission_control; }
location /pieces { client_body_buffer_size 16; intermission_control; }
location /large { client_max_body_size 0; client_body_buffer_size 1k; intermission_control; }
END
);
my $form = 'application/x-www-form-urlencoded';

sub post {
    my ($verb, $body, %opt) = @_;
    my $type = exists $opt{type} ? $opt{type} : $form;
    return $t->control($verb, method => 'POST', body => $body, %opt, headers => {'Content-Type' => $type, %{$opt{headers} // {}}});
}

sub is_status {
    my ($answer, $status, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $answer->{status}, $status, $what or diag $answer->{body};
    return $answer;
}

subtest 'its parameters' => sub {
    is_status(post('enable', 'for=60s&reason=db+switch%2B'), 200, 'enable');
    my $status = $t->status;
    is $status->{reason}, 'db switch+', 'a plus is a space';
    ok $status->{until}, 'the lease is heard';
    is_status(post('disable', 'id=99999'), 409, "another pause's number");
    is $t->status->{state}, 'paused', 'ends nothing';
    is_status(post('disable', 'app=other'), 200, 'another app');
    is $t->status->{state}, 'paused', 'leaves the own one alone';
    is_status(post("disable?id=$status->{pause}", "id=$status->{pause}"), 400, 'what stands in both is repeated');
    like post('disable', 'id=x')->{body}, qr/"id"/, 'a wrong one is named';
    like post('disable', 'idd=1')->{body}, qr/"idd" is unknown/, 'as is an unknown one';
    is $t->status->{state}, 'paused', 'nothing was changed';
    is_status(post("disable?id=$status->{pause}", 'format=json'), 200, 'one in each');
    is $t->status->{state}, 'open', 'ends it';
    is eval { decode_json(post('enable', 'format=json')->{body})->{app} }, 'basecamp', 'JSON is asked for in a form, too';
    is_status($t->control('disable', method => 'POST'), 200, 'no body at all');
};

subtest 'how it is sent' => sub {
    for my $type ('Application/X-WWW-Form-Urlencoded', "$form; charset=utf-8", "$form;charset=UTF-8") {
        is_status(post('enable', 'reason=typed', type => $type), 200, $type);
        is $t->status->{reason}, 'typed', 'is heard';
        $t->control('disable');
    }
    for my $place ('filed', 'pieces') {
        is_status(post('enable', 'reason=' . 'a' x 200, at => "/$place"), 200, $place);
        is $t->status->{reason}, 'a' x 200, 'is heard';
        $t->control('disable');
    }
    my $chunked = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } 'for=60', 's&rea', 'son=chunks';
    my $head = "POST /_intermission/enable HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: $form\r\n";
    my $answer = $t->send('', raw => "${head}Transfer-Encoding: chunked\r\n\r\n${chunked}0\r\n\r\n")->response;
    is_status($answer, 200, 'in chunks');
    is $t->status->{reason}, 'chunks', 'is heard';
    $t->control('disable');
    my $expects = $t->send('', raw => "${head}Expect: 100-continue\r\nContent-Length: 13\r\n\r\n");
    ok +IO::Select->new($expects->socket)->can_read(10), "the client is told to go on";
    $expects->write('reason=expect');
    is_status($expects->response, 200, 'after 100 Continue');
    is $t->status->{reason}, 'expect', 'is heard';
    $t->control('disable');
    my $curl = "curl -s -o /dev/null -w '%{http_version} %{http_code}' --http2-prior-knowledge --unix-socket " . $t->dir . '/http2.sock';
    is `$curl -d 'reason=over+2' http://localhost/_intermission/enable`, '2 200', 'over HTTP/2';
    is $t->status->{reason}, 'over 2', 'is heard';
    $t->control('disable');
};

subtest 'what is no form, and what is too long' => sub {
    for my $type (undef, 'application/json', 'text/plain', 'multipart/form-data; boundary=x', "x$form") {
        my $answer = is_status(post('enable', '{"for":"60s"}', type => $type), 415, $type // 'none');
        like $answer->{body}, qr/urlencoded/, 'says what it must be';
        is $answer->{headers}{'cache-control'}, 'no-store', 'and has the headers';
        ok exists $answer->{headers}{"intermission-$_"}, "and names the \u$_" for 'app', 'pause';
    }
    like eval { decode_json(post('enable?format=json', '{}', type => 'application/json')->{body})->{error} } // '', qr/urlencoded/, 'as JSON';
    my $full = sub { my ($length) = @_; my $text = 'reason=long&' ; return $text . '&' x ($length - length $text) };
    is_status(post('enable', $full->(8192)), 200, '8192 bytes');
    $t->control('disable');
    is_status(post('enable', $full->(8193)), 413, 'one more');
    is_status(post('enable', $full->(300_000), at => '/large'), 413, 'many more');
    is_status(post('status', 'x=1', type => 'application/json', method => 'GET'), 415, 'of a status, too');
    is_status(post('status', 'app=basecamp', method => 'GET'), 200, 'which may come by a form');
    is $t->status->{state}, 'open', 'nothing was changed';
};

subtest 'a form changes nothing of the methods' => sub {
    for my $method ('PUT', 'DELETE', 'PATCH') {
        my $answer = is_status(post('enable', 'for=1s', method => $method), 405, $method);
        is $answer->{headers}{allow}, 'GET, POST', 'says which are';
    }
    is_status(post('status', ''), 405, 'no POST of the status');
};

$t->clean_ok;
done_testing;
