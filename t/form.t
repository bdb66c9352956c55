# Parameters in a form count like parameters in the query.

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

subtest 'the parameters of a form count like those of the query' => sub {
    is_status(post('enable', 'for=60s&reason=db+switch%2B'), 200, 'enable with a form: 200');
    my $status = $t->status;
    is $status->{reason}, 'db switch+', 'in a form a plus is a space';
    ok $status->{until}, 'a lease in a form counts';
    is_status(post('disable', 'id=99999'), 409, "disable with another pause's number in a form: 409");
    is $t->status->{state}, 'paused', "disable with another pause's number in a form: the pause goes on";
    is_status(post('disable', 'app=other'), 200, 'disable of another app in a form: 200');
    is $t->status->{state}, 'paused', 'disable of another app in a form: the own app stays paused';
    is_status(post("disable?id=$status->{pause}", "id=$status->{pause}"), 400, 'a parameter in both query and form is a duplicate: 400');
    like post('disable', 'id=x')->{body}, qr/"id"/, 'a wrong value in a form is named in the answer';
    like post('disable', 'idd=1')->{body}, qr/"idd" is unknown/, 'an unknown parameter in a form is named in the answer';
    is $t->status->{state}, 'paused', 'a refused form has changed nothing';
    is_status(post("disable?id=$status->{pause}", 'format=json'), 200, 'disable with one parameter in the query and one in the form: 200');
    is $t->status->{state}, 'open', 'disable with parameters in query and form ends the pause';
    is eval { decode_json(post('enable', 'format=json')->{body})->{app} }, 'basecamp', 'a form may ask for JSON';
    is_status($t->control('disable', method => 'POST'), 200, 'a POST without a body is a POST without parameters: 200');
};

subtest 'a form is read however it is sent' => sub {
    for my $type ('Application/X-WWW-Form-Urlencoded', "$form; charset=utf-8", "$form;charset=UTF-8") {
        is_status(post('enable', 'reason=typed', type => $type), 200, "a form of type $type: 200");
        is $t->status->{reason}, 'typed', "the reason of a form of type $type is read";
        $t->control('disable');
    }
    for my $place ('filed', 'pieces') {
        is_status(post('enable', 'reason=' . 'a' x 200, at => "/$place"), 200, "a form at /$place: 200");
        is $t->status->{reason}, 'a' x 200, "the reason of a form at /$place is read";
        $t->control('disable');
    }
    my $chunked = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } 'for=60', 's&rea', 'son=chunks';
    my $head = "POST /_intermission/enable HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: $form\r\n";
    my $answer = $t->send('', raw => "${head}Transfer-Encoding: chunked\r\n\r\n${chunked}0\r\n\r\n")->response;
    is_status($answer, 200, 'a form in chunks: 200');
    is $t->status->{reason}, 'chunks', 'the reason of a form in chunks is read';
    $t->control('disable');
    my $expects = $t->send('', raw => "${head}Expect: 100-continue\r\nContent-Length: 13\r\n\r\n");
    ok +IO::Select->new($expects->socket)->can_read(10), "a client that sends Expect is told to send its form";
    $expects->write('reason=expect');
    is_status($expects->response, 200, 'a form after 100 Continue: 200');
    is $t->status->{reason}, 'expect', 'the reason of a form after 100 Continue is read';
    $t->control('disable');
    my $curl = "curl -s -o /dev/null -w '%{http_version} %{http_code}' --http2-prior-knowledge --unix-socket " . $t->dir . '/http2.sock';
    is `$curl -d 'reason=over+2' http://localhost/_intermission/enable`, '2 200', 'a form over HTTP/2: 200';
    is $t->status->{reason}, 'over 2', 'the reason of a form over HTTP/2 is read';
    $t->control('disable');
};

subtest 'a body that is no form, or too long, is refused' => sub {
    for my $type (undef, 'application/json', 'text/plain', 'multipart/form-data; boundary=x', "x$form") {
        my $answer = is_status(post('enable', '{"for":"60s"}', type => $type), 415, 'a body of type ' . ($type // 'none') . ': 415');
        like $answer->{body}, qr/urlencoded/, 'a body that is no form: the answer says what it must be';
        is $answer->{headers}{'cache-control'}, 'no-store', 'a body that is no form: the answer is not stored';
        ok exists $answer->{headers}{"intermission-$_"}, "a body that is no form: the answer names the $_" for 'app', 'pause';
    }
    like eval { decode_json(post('enable?format=json', '{}', type => 'application/json')->{body})->{error} } // '', qr/urlencoded/, 'a body that is no form: the answer may be JSON';
    my $full = sub { my ($length) = @_; my $text = 'reason=long&' ; return $text . '&' x ($length - length $text) };
    is_status(post('enable', $full->(8192)), 200, 'a form of 8192 bytes: 200');
    $t->control('disable');
    is_status(post('enable', $full->(8193)), 413, 'a form of 8193 bytes: 413');
    is_status(post('enable', $full->(300_000), at => '/large'), 413, 'a form of 300000 bytes: 413');
    is_status(post('status', 'x=1', type => 'application/json', method => 'GET'), 415, 'a status with a body that is no form: 415');
    is_status(post('status', 'app=basecamp', method => 'GET'), 200, 'a status with a form: 200');
    is $t->status->{state}, 'open', 'bodies that were refused have changed nothing';
};

subtest 'a form allows no other method' => sub {
    for my $method ('PUT', 'DELETE', 'PATCH') {
        my $answer = is_status(post('enable', 'for=1s', method => $method), 405, "$method with a form: 405");
        is $answer->{headers}{allow}, 'GET, POST', 'a method that is refused: the answer says which are allowed';
    }
    is_status(post('status', ''), 405, 'POST of the status: 405');
};

$t->clean_ok;
done_testing;
