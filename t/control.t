# The control endpoint's answers, word for word.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use JSON::PP;
use Test::More;

my $t = Intermission->new(
    server => 'set $app_name basecamp;',
    locations => <<'END',
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
location /slash/ { intermission_control; }
location = /pause/enable { intermission_control; }
location = /pause/disable { intermission_control; }
location = /pause/status { intermission_control; }
location /guarded {
    limit_except GET { allow 127.0.0.1; deny all; }
    intermission_control;
}
location /conditional {
    if ($http_x_if) { set $seen 1; }
    intermission_control;
}
location /other { set $app_name other; intermission_control; }
location /nameless { set $app_name ""; intermission_control; }
location /shown { error_page 400 404 405 409 /page; intermission_control; }
location /included/ { ssi on; default_type text/html; root @DIR@; }
location = /page { return 200 "an error page\n"; }
END
);

my %text = (enabled => "Pause enabled.\n", disabled => "Pause disabled.\n", stopped => "Stopped.\n");

sub answers {
    my ($request, $status, $body, $what, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $answer = $t->get($request, %opt);
    is($answer->{status}, $status, $what);
    # The answer to a call with parameters has further lines.
    my $text = $request =~ /[?&](?!format=)\w/ ? $answer->{body} =~ s/\n\K.*//sr : $answer->{body};
    is($text, $body, "$what: the text") if defined $body;
    is($answer->{headers}{'cache-control'}, 'no-store', "$what: the answer is not stored");
    ok(exists $answer->{headers}{'intermission-app'}, "$what: the answer names the app");
    like($answer->{headers}{'intermission-pause'} // 'none', qr/^\d*$/, "$what: the answer names the pause");
    return $answer;
}

sub state_is {
    my ($state, $what, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($t->status(%opt)->{state}, $state, $what);
}

subtest 'conditional headers change no answer' => sub {
    for my $header ('If-Match', 'If-None-Match', 'If-Unmodified-Since') {
        my $value = $header =~ /Since/ ? 'Thu, 01 Jan 1970 00:00:01 GMT' : $header =~ /None/ ? '*' : '"x"';
        answers('/_intermission/status', 200, $text{disabled}, "status with $header", headers => {$header => $value});
        answers('/_intermission/enable', 200, $text{enabled}, "enable with $header", headers => {$header => $value});
        $t->control('disable');
    }
};

subtest 'an answer can be part of a page' => sub {
    mkdir $t->dir . '/included';
    open my $page, '>', $t->dir . '/included/page' or die "page: $!";
    print $page '<p><!--# include virtual="/_intermission/status" --></p>';
    close $page;
    chmod 0755, $t->dir, $t->dir . '/included';
    is $t->get('/included/page')->{body}, "<p>$text{disabled}</p>", 'the included answer does not end the page';
};

subtest 'each verb answers in the words of the Lua original' => sub {
    my $status = answers('/_intermission/status', 200, $text{disabled}, 'status while open');
    like($status->{headers}{'content-type'}, qr{^text/plain}, 'status: plain text');
    is($status->{headers}{'intermission-app'}, 'basecamp', 'status names the app in a header');
    answers('/_intermission/disable', 304, '', 'disable while open');
    answers('/_intermission/enable', 200, $text{enabled}, 'enable');
    answers('/_intermission/status', 200, $text{enabled}, 'status while paused');
    answers('/_intermission/enable', 304, '', 'enable while paused');
    answers('/_intermission/disable', 200, $text{disabled}, 'disable');
    answers('/_intermission/status', 200, $text{disabled}, 'status after a pause');
};

subtest "other methods than a verb's own: 405" => sub {
    answers('/_intermission/enable', 200, $text{enabled}, 'POST enable', method => 'POST');
    answers('/_intermission/disable', 200, $text{disabled}, 'POST disable', method => 'POST');
    answers('/_intermission/status', 200, '', 'HEAD status', method => 'HEAD');
    my %allow = (status => 'GET, HEAD', enable => 'GET, POST', disable => 'GET, POST');
    my %wrong = (status => [qw(POST PUT DELETE)], enable => [qw(HEAD PUT DELETE)], disable => [qw(HEAD PUT DELETE)]);
    for my $verb (sort keys %wrong) {
        for my $method (@{$wrong{$verb}}) {
            my $answer = answers("/_intermission/$verb", 405, undef, "$method $verb", method => $method);
            is($answer->{headers}{allow}, $allow{$verb}, "$method $verb: the header Allow");
        }
    }
    state_is('open', 'wrong methods have changed nothing');
};

subtest "the verb is what follows the location's prefix" => sub {
    for my $place (qw(/slash /pause /guarded /conditional)) {
        answers("$place/enable", 200, $text{enabled}, "$place/enable");
        answers("$place/status", 200, $text{enabled}, "$place/status");
        answers("$place/disable", 200, $text{disabled}, "$place/disable");
    }
    answers('/guarded/enable', 200, $text{enabled}, 'enable in limit_except', method => 'POST');
    answers('/guarded/disable', 200, $text{disabled}, 'disable in limit_except', method => 'POST');
    my %if = (headers => {'X-If' => 1});
    answers('/conditional/enable', 200, $text{enabled}, 'a verb in a location with an if', %if);
    answers('/conditional/disable', 200, $text{disabled}, 'a verb in a location with an if', %if);
    for my $verb (qw(nonsense Enable enable/ enabled statu /status enable/x _intermission/enable)) {
        answers("/_intermission/$verb", 404, undef, "$verb is no verb") if $verb ne '/status';
    }
    answers('/_intermissionx', 404, undef, 'a verb must not follow the prefix without a slash');
    answers('/slash/enable/', 404, undef, 'enable/ is no verb');
    state_is('open', 'wrong verbs have changed nothing');
};

subtest 'wrong parameters: 400, and nothing has changed' => sub {
    my $long = 'x' x 257;
    my %wrong = (
        'foo=1' => 'foo', 'foo' => 'foo', 'Reason=x' => 'Reason', '=x' => '',
        'reason=a&reason=b' => 'reason', 'reason=a&reason=a' => 'reason', 'reason=%zz' => 'reason',
        'reason=%4' => 'reason', "reason=$long" => 'reason', 'reason=a&foo=b' => 'foo',
        'id=x' => 'id', 'id=' => 'id', 'id=-1' => 'id', 'id=1&id=1' => 'id',
        'id=99999999999999999999999' => 'id', 'new=2' => 'new', 'new=' => 'new', 'new=1&new=1' => 'new',
        'format=xml' => 'format', 'format=json&format=json' => 'format',
    );
    for my $query (sort keys %wrong) {
        my $answer = answers("/_intermission/enable?$query", 400, undef, 'enable?' . substr $query, 0, 40);
        like($answer->{body}, qr/\Q$wrong{$query}\E/, "$query: the answer says $wrong{$query}");
    }
    for my $query ('reason=x', 'new=1', 'foo=1') {
        my $name = $query =~ s/=.*//r;
        like(answers("/_intermission/status?$query", 400, undef, "status?$query")->{body}, qr/$name/, "status?$query: the answer says $name");
    }
    state_is('open', 'wrong parameters of enable and status have changed nothing');
    $t->control('enable');
    for my $query ('reason=x', 'new=1', 'foo=1', 'id=x') {
        my $name = $query =~ s/=.*//r;
        like(answers("/_intermission/disable?$query", 400, undef, "disable?$query")->{body}, qr/$name/, "disable?$query: the answer says $name");
    }
    state_is('paused', 'wrong parameters of disable have changed nothing');
    $t->control('disable');
};

subtest 'a reason is shown, can be changed, and has 256 bytes at most' => sub {
    answers('/_intermission/enable?reason=Move%20to%20%22db2%22%0A', 200, $text{enabled}, 'enable with a reason');
    is($t->status->{reason}, "Move to \"db2\"\n", 'the reason is decoded');
    unlike($t->error_log, qr/^\S*"db2/m, 'the reason cannot break the log line');
    answers('/_intermission/enable', 304, '', 'enable without a reason in a pause changes nothing: 304');
    answers('/_intermission/enable?reason=Other', 200, $text{enabled}, 'enable with another reason: 200');
    is($t->status->{reason}, 'Other', 'the status has the new reason');
    is($t->status->{by}, '127.0.0.1', 'the status has who changed the reason');
    my $full = 'r' x 256;
    answers("/_intermission/enable?reason=$full", 200, $text{enabled}, 'a reason of 256 bytes fits');
    $t->control('disable');
};

subtest 'a pause has a number, and a verb with another changes nothing' => sub {
    my $first = answers('/_intermission/enable?new=1', 200, $text{enabled}, 'enable?new=1 of an open app');
    my $id = $first->{headers}{'intermission-pause'};
    like($id, qr/^[1-9]\d*$/, "enable answers with the pause's number");
    is($t->status->{pause}, $id, "the status has the pause's number");
    answers('/_intermission/enable?new=1', 409, undef, 'enable?new=1 in a pause: 409');
    answers('/_intermission/enable?id=' . ($id + 1), 409, undef, "enable with the id of another pause: 409");
    answers('/_intermission/disable?id=' . ($id + 1), 409, undef, "disable with the id of another pause: 409");
    state_is('paused', 'a refused verb leaves the app paused');
    answers("/_intermission/enable?id=$id&reason=mine", 200, $text{enabled}, "enable with the pause's id changes it");
    answers("/_intermission/disable?id=$id", 200, $text{disabled}, "disable with the pause's id ends it");
    answers("/_intermission/enable?id=$id", 409, undef, 'enable with the id of a pause that has ended: 409');
    state_is('open', 'enable with the id of a pause that has ended: the app stays open');
    my $second = answers('/_intermission/enable', 200, $text{enabled}, 'enable begins the next pause');
    cmp_ok($second->{headers}{'intermission-pause'}, '>', $id, 'the next pause has a greater number');
    answers("/_intermission/disable?id=$id", 409, undef, 'disable with the number of the pause before: 409');
    answers("/_intermission/enable?id=$id&reason=late", 409, undef, 'enable with the number of the pause before: 409');
    is($t->status->{reason}, undef, "a late enable has not changed the next pause's reason");
    state_is('paused', 'a late disable has not ended the next pause');
    $t->control('disable');
};

subtest 'a pause of one app changes no other' => sub {
    answers('/other/enable', 200, $text{enabled}, 'enable of one app');
    is(answers('/other/status', 200, $text{enabled}, 'status of the app that was paused')->{headers}{'intermission-app'}, 'other', "the paused app's status is enabled, under its name");
    answers('/_intermission/status', 200, $text{disabled}, 'the other app is not paused');
    is($t->get('/a')->{status}, 200, 'a request of the other app passes');
    answers('/other/disable', 200, $text{disabled}, 'disable of one app');
    answers('/nameless/enable', 200, $text{enabled}, 'the default app can be paused');
    is($t->status(at => '/nameless')->{app}, '', 'the default app has no name');
    state_is('open', 'a pause of the default app pauses no other');
    answers('/nameless/disable', 200, $text{disabled}, 'the default app can be resumed');
};

subtest 'the status and errors in JSON' => sub {
    $t->control('enable?reason=upgrade');
    my $status = $t->status;
    is_deeply([@$status{qw(app state reason held)}], ['basecamp', 'paused', 'upgrade', 0], 'the JSON status has app, state, reason and held');
    like($status->{since}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'times are RFC 3339');
    cmp_ok($status->{slots}{total}, '>', 1000, 'the status has the slots of the zone');
    for my $way (['/_intermission/disable?format=json'], ['/_intermission/enable', headers => {Accept => 'application/json'}]) {
        my ($request, %opt) = @$way;
        my $answer = answers($request, 200, undef, $request, %opt);
        like($answer->{headers}{'content-type'}, qr{^application/json}, 'an answer in JSON has its content type');
        is(eval { decode_json($answer->{body})->{app} }, 'basecamp', 'the JSON answer names the app');
    }
    for my $request ('/_intermission/enable?format=json&foo=1', '/_intermission/nonsense?format=json', '/_intermission/enable?format=json&new=1') {
        my $answer = $t->get($request);
        ok(length(eval { decode_json($answer->{body})->{error} } // ''), "$request: an error is JSON");
        like($answer->{headers}{'content-type'}, qr{^application/json}, "$request: the content type of an error is JSON");
    }
    $t->control('disable');
    state_is('open', 'JSON: the app is open in the end');
};

subtest 'the answer is JSON where Accept prefers it' => sub {
    my $type = sub {
        my ($verb, @accept) = @_;
        my $answer = $t->control($verb, headers => {Accept => \@accept});
        return $answer->{headers}{'content-type'} =~ /json/ ? 'JSON' : 'text';
    };
    my @cases = (
        [JSON => 'application/json'], [JSON => 'text/plain;q=0.5, application/json'], [JSON => 'text/plain;q=0.5', 'application/json'],
        [JSON => 'application/json, */*;q=0.5'], [text => 'application/jsonl'], [text => '*/*'], [text => 'application/json;q=0'],
        [text => 'text/plain;version=0.0.4, application/json;q=0'], [text => 'application/json;q=0.5', 'text/*'],
        [text => 'application/json, text/plain, */*'], [text => 'application/*'],
    );
    for my $case (@cases) {
        my ($expected, @accept) = @$case;
        is $type->('status', @accept), $expected, join ' | ', @accept;
    }
    is $type->('status?format=text', 'application/json'), 'text', 'format=text overrides';
    is $type->('status?format=json', 'text/plain'), 'JSON', 'format=json overrides Accept';
    is $type->($_, 'application/json'), 'text', "$_ answers as text, whatever Accept says" for 'metrics', '';
    is $type->($_, 'application/json'), 'JSON', "$_ answers as Accept says" for 'enable', 'enable', 'disable', 'nonsense', 'enable?foo=1';
};

subtest 'a verb that changes nothing: 304, or 200 with changed false' => sub {
    for my $pair (['disable', 'enable', 'enabled'], ['enable', 'disable', 'disabled'], ['disable', 'stop', 'stopped']) {
        my ($before, $verb, $said) = @$pair;
        $t->control($before);
        my $first = answers("/_intermission/$verb?format=json", 200, undef, "$verb, JSON");
        is eval { decode_json($first->{body})->{changed} }, JSON::PP::true, "$verb as JSON: changed is true";
        my $json = answers("/_intermission/$verb?format=json", 200, undef, "$verb again");
        is eval { decode_json($json->{body})->{changed} }, JSON::PP::false, "$verb again as JSON: changed is false";
        answers("/_intermission/$verb", 200, $text{$said}, "$verb again by POST", method => 'POST');
        answers("/_intermission/$verb", 304, '', "$verb again by GET");
    }
    $t->control('disable');
    ok !exists $t->status->{changed}, 'a status has no field changed';
};

subtest 'errors never go through error_page' => sub {
    unlike($t->get('/shown/nonsense')->{body}, qr/an error page/, 'a 404 does not go through error_page');
    unlike($t->get('/shown/enable?foo=1')->{body}, qr/an error page/, 'a 400 does not go through error_page');
    unlike($t->get('/shown/status', method => 'PUT')->{body}, qr/an error page/, 'a 405 does not go through error_page');
};

$t->clean_ok(at => [qw(/_intermission /other /nameless)]);
done_testing;
