# One control endpoint for several apps: which apps it controls, how names are written, which methods may
# change something, and what happens if there are too many apps.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Upstream;
use JSON::PP;
use Test::More;

my $t = Intermission->new(
    workers => 2,
    http => 'upstream own { server unix:@DIR@/own.sock; }',
    server => "listen unix:\@DIR\@/site.sock; server_name app.example;",
    locations => <<'END_OF_CONF',
set $app_name basecamp;
error_page 400 403 404 405 409 503 504 /page;
location = /page { return 200 "an error page\n"; }
location / { set $app_name $arg_app; intermission on; proxy_pass http://backend; }
location /own/ { intermission on; proxy_pass http://own; }
location /_intermission { intermission_control; }
location /some { intermission_control apps=alpha,beta; }
location /any { intermission_control apps=*; }
location /posted { intermission_control apps=* post; }
location /blank { set $app_name ""; intermission_control "apps=with blank"; }
location = /exact/status { intermission_control apps=alpha; }
END_OF_CONF
);

# Decodes the answer strictly: it must be UTF-8, with nothing after the value.
sub json {
    my ($answer, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $value = eval { JSON::PP->new->utf8->decode($answer->{body}) };
    ok defined $value, "$what: JSON" or diag "$@: $answer->{status} $answer->{body}";
    like $answer->{headers}{'content-type'}, qr{^application/json}, "$what: the content type is JSON";
    return $value // {};
}

sub encoded { return join '', map { sprintf '%%%02X', ord } split //, $_[0] }

sub decoded { return $_[0] =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger }

sub apps {
    my ($at) = @_;
    my $list = decode_json($t->control('apps', at => $at)->{body});
    return {map { decoded($_->{app_encoded}) => $_ } @{$list->{apps}}};
}

# How often the pattern matches in the error log.
sub said {
    my ($pattern) = @_;
    return scalar(() = $t->error_log =~ /$pattern/g);
}

subtest 'a location controls its own app and those that it names, no others' => sub {
    is $t->control('enable?app=beta', at => '/some')->{status}, 200, 'enable of an app that apps= names: paused';
    like $t->control('status?app=beta', at => '/some')->{body}, qr/^Pause enabled\.\napp "beta": /, 'status of an app that apps= names: it is paused';
    is $t->control('status', at => '/some')->{body}, "Pause disabled.\n", "the location's own app is not paused by the enable of another";
    is $t->control('status?app=basecamp', at => '/some')->{status}, 200, "the location's own app may be named beside apps=";
    is $t->control('status?app=basecamp')->{status}, 200, "the location's own app may be named where there is no apps=";
    for my $case (['gamma', '/some'], ['beta', '/_intermission'], ['', '/some'], ['alpha%2Cbeta', '/some'], ['Beta', '/some'], ['beta%00', '/some']) {
        my ($app, $at) = @$case;
        for my $verb ('status', 'enable', 'disable', 'stop') {
            my $answer = $t->control("$verb?app=$app", at => $at);
            is $answer->{status}, 404, "$verb of $app at $at: 404";
            is $answer->{headers}{'intermission-app'}, 'basecamp', "$verb of $app at $at: the answer is about the location's own app" if $verb eq 'status';
        }
    }
    like $t->control('status?app=beta', at => '/some')->{body}, qr/^Pause enabled\.\napp "beta": /, 'the refused verbs left the paused app paused';
    is $t->get('/x?app=gamma')->{status}, 200, 'the refused verbs paused no other app';
    is $t->control('disable?app=beta', at => '/some')->{headers}{'intermission-app'}, 'beta', 'disable: the answer names the app';
    is $t->get('/exact/status?app=alpha')->{status}, 200, 'a = location may name apps';
    is $t->control('status?app=with%20blank', at => '/blank')->{headers}{'intermission-app'}, 'with%20blank', "the default app's location may name apps with blanks";
    is $t->control('status?app=x&app=y', at => '/any')->{status}, 400, 'two apps: 400';
    is $t->control('status?app=' . 'x' x 129, at => '/any')->{status}, 400, 'a name that is too long: 400';
    is $t->control('status?app=%4', at => '/any')->{status}, 400, 'a name that is not percent-encoded: 400';
    for my $verb ('apps', 'metrics') {
        is $t->control("$verb?app=alpha", at => '/any')->{status}, 400, "$verb?app= is answered with 400: the verb always shows all apps";
    }
};

subtest 'apps lists the apps that this location controls, and no others' => sub {
    $t->control('enable?app=other', at => '/any');
    is_deeply [sort keys %{apps('/_intermission')}], ['basecamp'], 'apps at a location without apps=: only its own app';
    is_deeply [sort keys %{apps('/some')}], ['alpha', 'basecamp', 'beta'], 'apps at a location with apps=: its own app and the named ones, known or not';
    is_deeply [sort keys %{apps('/any')}], ['', 'alpha', 'basecamp', 'beta', 'other', 'with blank'], 'apps at a location with apps=*: its own app and all known ones';
    is_deeply [sort keys %{apps('/blank')}], ['', 'with blank'], 'apps at a location of the default app: the default app and the named one';
    my $one = apps('/any')->{other};
    is_deeply [@$one{qw(state held)}], ['paused', 0], 'apps shows the status of each app';
    my $metrics = $t->control('metrics', at => '/some')->{body};
    is_deeply [sort $metrics =~ /^intermission_paused\{app="([^"]*)"\} 0$/mg], ['alpha', 'basecamp', 'beta'], 'metrics shows the same apps as the list';
    my $list = json($t->control('apps', at => '/some'), 'apps');
    like $list->{now}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'the list of apps has the time';
    $t->control('disable?app=other', at => '/any');
};

my @odd = ('quote"d', 'back\\slash', "line\nfeed", "nul\0bell\a", 'a,b', "caf\xc3\xa9", "bad\xff", "bad\xfe", "\x1b[31m", '%25', '*', ' ', '</script>', 'x' x 128);
subtest 'odd names: valid JSON, one line of log, a header that tells them apart' => sub {
    for my $name (@odd) {
        my ($app, $shown) = (encoded($name), $name =~ s/[^\x20-\x7e]/?/gr);
        my $lines = () = $t->error_log =~ /\n/g;
        my $answer = $t->control("enable?app=$app&format=json", at => '/any');
        is $answer->{status}, 200, "paused: $shown";
        is decoded($answer->{headers}{'intermission-app'}), $name, "the answer's header names the app, byte by byte: $shown";
        like $answer->{headers}{'intermission-app'}, qr/^[\x21-\x7e]+$/, "the answer's header is ASCII without blanks: $shown";
        my $status = json($answer, $shown);
        my $text = $name;
        is $status->{app}, utf8::decode($text) ? $text : "bad\x{fffd}", "the JSON answer has the app's name: $shown";
        my $pause = $answer->{headers}{'intermission-pause'};
        $t->wait_log(qr/paused by 127\.0\.0\.1, pause $pause\b/);
        my @about = grep { /pause $pause\b/ } split /\n/, $t->error_log;
        is scalar @about, 1, "the pause has one line in the log: $shown";
        like $about[0], qr/^\S+ \S+ \[notice\] \d+#\d+: \*\d+ intermission: app "(?:[^"\\]|\\.)*": paused by 127\.0\.0\.1, pause/, "the name does not break the line of the log: $shown";
        unlike $about[0], qr/[^\x20-\x7e]/, "the name brings no control characters into the log: $shown";
        is $t->control("disable?app=$app", at => '/any')->{status}, 200, "resumed: $shown";
    }
    my $apps = apps('/any');
    is_deeply [grep { !$apps->{$_} } @odd], [], 'the list of apps has all odd names';
    json($t->control('apps', at => '/any'), 'the whole list');
};

subtest 'reason, by, since and until are in the answer and in the log' => sub {
    my $answer = json($t->control('enable?reason=%00%FF%22%5C%0A%C3%A9&for=1h&format=json'), 'enable');
    is $answer->{reason}, "\0\x{fffd}\"\\\n\x{e9}", 'a reason of any bytes is valid JSON';
    is $answer->{by}, '127.0.0.1', 'by is the caller';
    my ($since, $until) = @$answer{qw(since until)};
    like $_, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'a time of RFC 3339' for $since, $until;
    is_deeply [map { substr $_, 14 } $since, $until], [(substr $since, 14) x 2], 'until is an hour after since';
    my @lines = grep { /reason/ } split /\n/, $t->error_log;
    like $lines[-1], qr/paused by 127\.0\.0\.1, pause \d+, until \Q$until\E, reason "\\x00\\xff\\"\\\\\\n\\xc3\\xa9"/, 'the log has the caller, the end and the reason, escaped';
    my $over = $t->control('disable?format=json', to => 'unix:' . $t->dir . '/site.sock');
    is_deeply [@{json($over, 'disable')}{qw(reason by until)}], [undef, undef, undef], 'the answer about an open app has no reason, by and until';
    ok $t->wait_log(qr/resumed by unix:, pause \d+, after \d+\.\d{3} s, 0 held/), 'the log has the caller who resumed, and the length of the pause';
    $t->wait_state('open');
};

subtest 'HEAD is allowed where GET only reads' => sub {
    for my $verb ('status', 'apps', 'metrics', 'status?format=json', '') {
        my ($get, $head) = map { $t->control($verb, method => $_) } 'GET', 'HEAD';
        is $head->{status}, 200, "HEAD $verb";
        is $head->{body}, '', "HEAD $verb has no body";
        is $head->{headers}{'content-type'}, $get->{headers}{'content-type'}, "HEAD $verb has the content type of GET";
        ok $head->{headers}{'content-length'}, "HEAD $verb has a length";
    }
    for my $verb ('status', 'apps', 'metrics', '') {
        for my $method ('POST', 'PUT', 'DELETE', 'OPTIONS') {
            my $answer = $t->control($verb, method => $method);
            is_deeply [$answer->{status}, $answer->{headers}{allow}], [405, 'GET, HEAD'], "$method $verb: 405";
        }
    }
    for my $verb ('enable', 'disable', 'stop') {
        my $answer = $t->control($verb, method => 'HEAD');
        is_deeply [$answer->{status}, $answer->{headers}{allow}], [405, 'GET, POST'], "HEAD $verb: 405";
    }
    is $t->status->{state}, 'open', 'no refused method has changed the app';
};

subtest 'with post only a POST changes anything' => sub {
    for my $verb ('enable', 'disable', 'stop') {
        for my $method ('GET', 'HEAD', 'PUT') {
            my $answer = $t->control($verb, at => '/posted', method => $method);
            is_deeply [$answer->{status}, $answer->{headers}{allow}], [405, 'POST'], "$method $verb: 405 with Allow: POST";
        }
    }
    is $t->status->{state}, 'open', 'post: no refused method has changed the app';
    is $t->control('status', at => '/posted')->{status}, 200, 'post: status may be read by GET';
    my $answer = json($t->control('enable?format=json', at => '/posted'), 'the error');
    like $answer->{error}, qr/POST/, 'post: the 405 says that the method must be POST';
    is $t->control($_, at => '/posted', method => 'POST', body => 'by=me', headers => {'Content-Type' => 'application/x-www-form-urlencoded'})->{status}, 200, "post: POST $_ works" for 'enable', 'stop', 'disable';
    $t->wait_state('open');
};

subtest "another site's page changes nothing: 403" => sub {
    my $host = 'app.example:8080';
    my %foreign = (
        'Sec-Fetch-Site: cross-site' => {'Sec-Fetch-Site' => 'cross-site'}, 'Sec-Fetch-Site: same-site' => {'Sec-Fetch-Site' => 'same-site'},
        Origin => {Origin => 'https://evil.example'}, 'Origin: null' => {Origin => 'null'}, Referer => {Referer => "http://evil.example/$host"},
        'Sec-Purpose' => {'Sec-Purpose' => 'prefetch;prerender'},
    );
    for my $what (sort keys %foreign) {
        for my $verb ('enable', 'disable', 'stop') {
            my $answer = $t->control("$verb?format=json", host => $host, headers => $foreign{$what}, method => $verb eq 'stop' ? 'POST' : 'GET');
            is $answer->{status}, 403, "$verb, $what: 403";
            like json($answer, $what)->{error}, qr/another site/, "$verb, $what: the answer says that another site asked";
        }
        is $t->control('status', host => $host, headers => $foreign{$what})->{status}, 200, "$what: reading is allowed";
    }
    is $t->status->{state}, 'open', 'no page of another site has changed the app';
    my %own = ('Sec-Fetch-Site' => 'same-origin', Origin => "http://$host", Referer => "http://$host/_intermission/");
    is $t->control($_, host => $host, headers => \%own)->{status}, 200, "$_ from a page of this host works" for 'enable', 'disable';
};

subtest 'every verb answers JSON, errors too, and none goes through error_page' => sub {
    my $own = Intermission::Upstream->new($t);
    my $client = $t->send('/own/1');
    $own->wait('/own/1');
    my @cases = (
        [200, 'status'], [400, 'status?id=1'], [200, 'apps'], [400, 'apps?x=1'], [400, 'metrics?x=1'], [404, 'nonsense'],
        [504, 'enable?wait=100ms'], [200, 'enable'], [400, 'enable?foo=1'], [409, 'enable?new=1'], [409, 'enable?id=999999'],
        [409, 'disable?id=999999'], [400, 'disable?reason=x'], [404, 'enable?app=alpha'], [409, 'stop?id=999999'], [200, 'stop'],
        [400, 'stop?for=x'], [200, 'disable'],
    );
    for my $case (@cases) {
        my ($status, $verb) = @$case;
        my $answer = $t->control($verb, headers => {Accept => 'text/html;q=0.5, Application/JSON'});
        is $answer->{status}, $status, "$verb: $status";
        my $value = json($answer, $verb);
        is_deeply [keys %$value], ['error'], "$verb: an error has the field error only" if $status >= 400;
        ok length $value->{error}, "$verb: the error is a text" if $status >= 400;
        is $answer->{headers}{'cache-control'}, 'no-store', "$verb: the answer is not stored";
        is $answer->{headers}{'intermission-app'}, 'basecamp', "$verb: the answer names the app";
        like $answer->{headers}{'intermission-pause'}, qr/^\d+$/, "$verb: the answer names the pause";
        unlike $answer->{body}, qr/an error page/, "$verb: the answer did not go through error_page";
        $t->wait_state('open') if $verb eq 'enable?wait=100ms';
    }
    my $answer = $t->control('status', method => 'PUT', headers => {Accept => 'application/json'});
    is $answer->{status}, 405, 'PUT: 405';
    is_deeply [keys %{json($answer, 'PUT')}], ['error'], 'PUT: the error is JSON';
    is $t->control('nonsense')->{body}, "no such verb: use status, enable, disable, stop, apps or metrics\n", 'an error as text is one line';
    like $t->control('status', headers => {Accept => '*/*'})->{headers}{'content-type'}, qr{^text/plain}, 'Accept: */* is answered with text';
    $own->answer('/own/1');
    $client->response;
    $t->wait_state('open');
};

$t->clean_ok(at => ['/any', '/_intermission']);

subtest 'the table of apps is full: 503; entries of idle apps are used again' => sub {
    my $t = Intermission->new(workers => 2, http => 'intermission_zone 128k;', locations => <<'END_OF_CONF');
set $app_name app0;
error_page 503 /page;
location = /page { return 200 "an error page\n"; }
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control apps=*; }
END_OF_CONF
    my $verb = sub { return $t->control("$_[0]?format=json&app=app$_[1]") };
    my $pauses = 0;
    my $full;
    for my $number (0 .. 200) {
        my $answer = $verb->('enable', $number);
        if ($answer->{status} != 200) { $full = $answer; last }
        $pauses++;
    }
    cmp_ok $pauses, '>=', 4, "the smallest zone takes $pauses apps";
    is $full->{status}, 503, 'one app more than the table takes: 503';
    like json($full, 'the answer')->{error}, qr/table of apps is full/, 'the 503 says that the table of apps is full';
    is $full->{headers}{'retry-after'}, 10, 'the 503 says when to ask again';
    $t->wait_log(qr/\[error\].*app "app$pauses": not paused: the table of apps is full, /);
    is $verb->($_, $pauses)->{status}, 503, "the table of apps is full: 503 to $_" for 'stop';
    is $t->control("enable?wait=1s&app=app$pauses")->{status}, 503, 'the table of apps is full: 503 to enable?wait=';
    is $verb->('status', $pauses)->{status}, 200, 'the table of apps is full: the status of an unknown app is answered';
    is $verb->('disable', $pauses)->{status}, 200, 'the table of apps is full: disable of an unknown app finds it open';
    my $held = $t->send('/held');
    $t->wait_held(1, app => 'app0');

    $verb->('disable', 2);
    my $since = $t->status(app => 'app2')->{since};
    $t->wait_for(sub { decode_json($t->control('apps')->{body})->{now} gt $since }, 'the time of the list to be later than that of the disable');
    $verb->('disable', 1);
    is $verb->('enable', $pauses)->{status}, 200, 'an app is open again: another one can be paused';
    my %known = map { $_->{app} => $_ } @{decode_json($t->control('apps')->{body})->{apps}};
    ok !$known{app2}, 'the new app took the entry of the app that was idle longest';
    is $known{app1}{state}, 'open', 'the other idle app kept its entry';
    is json($verb->('status', 2), 'status')->{pause}, 0, 'the app that lost its entry starts anew';
    is $verb->('enable', 2)->{status}, 200, 'the app that lost its entry can be paused anew';
    is $verb->('enable', 1)->{status}, 503, 'all entries are in use again: 503';
    is $t->status(app => 'app0')->{held}, 1, 'a held request of another app is still held';
    $verb->('disable', $_) for 0, 2 .. $pauses;
    is $held->response->{status}, 200, 'the held request of another app is served';
    $t->clean_ok(allow => [qr/table of apps is full/]);
};

subtest 'bad values of intermission_control are refused' => sub {
    my $refused = sub {
        my ($arguments, @says) = @_;
        my ($exit, $output) = Intermission::nginx_t(locations => "location /c { intermission_control $arguments; }");
        my ($message) = $output =~ /\[emerg\]([^\n]*)/;
        my @missing = grep { ($message // '') !~ $_ } qr/"intermission_control"/, @says;
        ok $exit eq '1' && !@missing, "refused: intermission_control $arguments" or diag "exit $exit, missing (@missing):\n$output";
    };
    my $allowed = qr/"post", "apps=\*" or "apps=" with names/;
    $refused->($_, qr/"\Q$_\E"/, $allowed)
        for 'apps=', 'apps=a,', 'apps=,a', 'apps=a,,b', 'posts', 'POST', 'apps', 'app=a', 'Apps=a', 'post=1', 'apps=' . 'x' x 129;
    $refused->('post posts', qr/"posts"/, $allowed);
    $refused->($_, qr/duplicate/) for 'post post', 'apps=a apps=b', 'apps=* apps=*', 'apps=a post apps=a';
    for my $good ('', 'post', 'apps=a', 'apps=*', 'apps=a,b post', 'post apps=*', '"apps=a b,c\"d"', 'apps=' . 'x' x 128) {
        my ($exit, $output) = Intermission::nginx_t(locations => "location /c { intermission_control $good; }");
        is $exit, 0, "accepted: intermission_control $good" or diag $output;
    }
};

done_testing;
