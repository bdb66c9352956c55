# A page of another site changes nothing, even in the browser of an operator who may use the control endpoint.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Browser;
use JSON::PP;
use Test::More;

my $t = Intermission->new(
    http2 => 1,
    server => 'server_name app.example a.example *.wild.example ~^(?<who>[a-z]+)\.regex\.example$;',
    locations => <<'END',
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { error_page 403 /page; intermission_control apps=*; }
location /posted { intermission_control post; }
location = /page { return 200 "an error page\n"; }
END
);
my $host = 'app.example:8080';
my %state = (enable => 'paused', disable => 'open', stop => 'stopped');
my %before = (enable => 'open', disable => 'paused', stop => 'open');

# Brings the app into a state that the verb would change.
sub prepare {
    my ($verb) = @_;
    $t->control($before{$verb} eq 'paused' ? 'enable' : 'disable');
}

sub named { return join ', ', map { "$_: $_[0]{$_}" } sort keys %{$_[0]} }

my @foreign = (
    {'Sec-Fetch-Site' => 'cross-site'},
    {'Sec-Fetch-Site' => 'same-site'},
    {'Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'navigate', 'Sec-Fetch-User' => '?1'},
    {'Sec-Purpose' => 'prefetch'},
    {'Sec-Purpose' => 'prefetch;prerender', 'Sec-Fetch-Site' => 'same-origin'},
    {'Sec-Purpose' => 'prerender'},
    {Purpose => 'prefetch'},
    {'X-Purpose' => 'preview'},
    {'X-Moz' => 'prefetch'},
    {Purpose => 'prefetch', 'Sec-Fetch-Site' => 'same-origin', Origin => "http://$host"},
    {Origin => 'null'},
    {Origin => 'http://evil.example'},
    {Origin => 'http://app.example'},
    {Origin => 'http://app.example:8081'},
    {Origin => "http://$host.evil.example"},
    {Origin => 'http://evil.example', 'Sec-Fetch-Site' => 'same-origin'},
    {Referer => 'http://evil.example/'},
    {Referer => "http://evil.example/http://$host/_intermission/"},
    {Referer => "http://$host\@evil.example/"},
    {Referer => 'http://evil.example/', Origin => "http://$host"},
);

my @own = (
    {},
    {'Sec-Fetch-Site' => 'same-origin'},
    {'Sec-Fetch-Site' => 'none'},
    {Origin => "http://$host"},
    {Origin => 'http://APP.example:8080'},
    {Referer => "http://$host/_intermission/?a=http://evil.example"},
    {'Sec-Fetch-Site' => 'same-origin', Origin => "http://$host", Referer => "http://$host/_intermission"},
);

subtest "a browser's request from another site's page, or before the user asks, is refused" => sub {
    for my $verb (sort keys %state) {
        prepare($verb);
        for my $headers (@foreign) {
            my @statuses = map { $t->control($verb, method => $_, host => $host, headers => $headers)->{status} } 'GET', 'POST';
            is_deeply \@statuses, [403, 403], "$verb, " . named($headers);
        }
        is $t->status->{state}, $before{$verb}, "$verb: nothing has changed";
    }
    $t->control('disable');
};

subtest 'the refusal says what is wrong' => sub {
    my $answer = $t->control('enable?format=json', method => 'POST', headers => {Origin => 'null'});
    like eval { decode_json($answer->{body})->{error} } // '', qr/Origin/, 'the refusal as JSON names the header Origin';
    is $answer->{headers}{'cache-control'}, 'no-store', 'the refusal is not stored';
    unlike $t->control('enable', headers => {Origin => 'null'})->{body}, qr/an error page/, 'the refusal does not go through error_page';
};

subtest "the endpoint's own pages, and clients that are no browsers, may act" => sub {
    for my $verb (sort keys %state) {
        for my $headers (@own) {
            for my $method ('GET', 'POST') {
                prepare($verb);
                my $answer = $t->control($verb, method => $method, host => $host, headers => $headers);
                is "$answer->{status} " . $t->status->{state}, "200 $state{$verb}", "$method $verb, " . (named($headers) || 'no headers');
            }
        }
    }
    for my $pair (['app.example', 'http://app.example:80'], ['app.example:80', 'http://app.example'], ['a.example', 'https://a.example'], ['[::1]:81', 'http://[::1]:81']) {
        my ($host, $origin) = @$pair;
        prepare('enable');
        is $t->control('enable', host => $host, headers => {Origin => $origin})->{status}, 200, "Host $host, Origin $origin";
    }
    $t->control('disable');
};

my $chromium = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36';

subtest "a browser's GET without an origin changes nothing" => sub {
    my %browser = ('User-Agent' => $chromium);
    my $answer = $t->control('enable', host => $host, headers => \%browser);
    is $answer->{status}, 403, "a browser's GET without Sec-Fetch-Site, Origin or Referer: 403";
    like $answer->{body}, qr/dashboard.*curl/, "a browser's GET without origin: the answer says what to do instead";
    is $t->status->{state}, 'open', "a browser's GET without origin has changed nothing";
    is $t->control('status', host => $host, headers => \%browser)->{status}, 200, 'a browser may read the status without an origin';
    is $t->control('enable', host => $host, method => 'POST', headers => \%browser)->{status}, 200, "a browser's POST without origin: 200, because a POST of a foreign page would have an Origin";
    is $t->control('disable', host => $host, headers => {%browser, 'Sec-Fetch-Site' => 'none'})->{status}, 200, 'a URL that was typed, over https: 200';
    is $t->control('enable', host => $host, headers => {%browser, Referer => "http://$host/_intermission/"})->{status}, 200, "the endpoint's own page: 200";
    $t->control('disable');
};

subtest "a browser's request under a foreign name changes nothing" => sub {
    for my $evil ('evil.example', 'evil.example:8080', 'app.example.evil.example', 'wild.example', '1.regex.example', '127.0.0.1.evil.example', 'localhost.evil.example') {
        my %browser = (Origin => "http://$evil");
        my $answer = $t->control('stop', method => 'POST', host => $evil, headers => \%browser);
        is $answer->{status}, 403, "a browser's POST under the name $evil: 403";
        like $answer->{body}, qr/server_name/, "a browser's POST under the name $evil: the answer says what to do instead";
        is $t->get('/posted/stop', method => 'POST', host => $evil, headers => \%browser)->{status}, 403, "with post, a browser's POST under the name $evil: 403";
        is $t->control('stop', method => 'POST', host => $evil, headers => {'User-Agent' => $chromium})->{status}, 403, "a POST under the name $evil that only its User-Agent shows to be a browser's: 403";
        is $t->control('stop', host => $evil, headers => {'User-Agent' => $chromium, 'Sec-Fetch-Site' => 'same-origin'})->{status}, 403, "a browser's GET under the name $evil: 403";
        is $t->control('status', host => $evil, headers => \%browser)->{status}, 200, "a browser may read the status under the name $evil";
    }
    is $t->status->{state}, 'open', 'no request under a foreign name has changed anything';
    for my $own ('app.example', 'APP.example.', 'b.wild.example:81', 'ops.regex.example', '127.0.0.1', '10.1.2.3:99', '[::1]:8080', 'localhost:8080') {
        my %browser = ('User-Agent' => $chromium, Origin => "http://$own");
        is $t->control('enable', method => 'POST', host => $own, headers => \%browser)->{status}, 200, "a browser's POST under the server's own name $own: 200";
        $t->control('disable');
    }
    is $t->control('enable', host => 'evil.example', headers => {'User-Agent' => 'curl/8.5.0'})->{status}, 200, 'curl may use any name';
    $t->control('disable');
};

subtest 'over HTTP/2 an origin is compared with the :authority' => sub {
    my $curl = "curl -s -o /dev/null -w '%{http_version} %{http_code}' --http2-prior-knowledge --unix-socket " . $t->dir . '/http2.sock';
    my $enable = sub { return `$curl -X POST -H 'Origin: $_[0]' http://$host/_intermission/enable` };
    is $enable->('http://evil.example'), '2 403', 'HTTP/2: an enable from another origin: 403';
    is $enable->("http://$host"), '2 200', 'HTTP/2: an enable from its own origin: 200';
    $t->control('disable');
};

subtest 'reading is allowed from any origin' => sub {
    for my $verb ('status', 'apps', 'metrics') {
        my @statuses = map { $t->control($verb, host => $host, headers => $_)->{status} } @foreign;
        is_deeply \@statuses, [(200) x @foreign], "$verb from any origin: 200";
    }
};

# JavaScript that runs in another site's page; its argument is the URL to request.
my $add = 'const add = (tag, more) => document.body.appendChild(Object.assign(document.createElement(tag), more)); const url = arguments[0];';
my %attack = (
    image => 'add("img", {src: url})',
    script => 'add("script", {src: url})',
    frame => 'add("iframe", {src: url})',
    prefetch => 'add("link", {rel: "prefetch", href: url})',
    fetch => 'fetch(url, {mode: "no-cors", credentials: "include"}).catch(() => {})',
    post => 'fetch(url, {method: "POST", mode: "no-cors", credentials: "include"}).catch(() => {})',
    beacon => 'navigator.sendBeacon(url)',
    link => 'add("a", {href: url}).click()',
    hidden_link => 'add("a", {href: url, rel: "noreferrer"}).click()',
    form => 'add("form", {action: url, method: "post"}).submit()',
);

SKIP: {
    skip "no @{[Intermission::Browser::missing()]}", 1 if Intermission::Browser::missing();
    my $evil = Intermission->new(with_module => 0, locations => 'location / { default_type text/html; return 200 "<!doctype html><title>evil</title><body>"; }');
    my $browser = Intermission::Browser->new;
    my $origin = 'http://127.0.0.1:' . $t->port;
    my %site = ('another port' => '127.0.0.1', 'another site' => 'localhost');

    for my $where (sort keys %site) {
        subtest "a page of $where changes nothing" => sub {
            for my $attack (sort keys %attack) {
                my $target = "/_intermission/enable?reason=$site{$where}-$attack";
                $browser->open("http://$site{$where}:" . $evil->port . '/');
                $browser->script("$add $attack{$attack}", "$origin$target");
                is $t->logged($target)->{status}, 403, "$attack from another site's page: 403";
            }
            is $t->status->{state}, 'open', "no page of $where has changed the app";
        };
    }

    subtest 'a page that hides its origin changes nothing' => sub {
        my $named = Intermission::Browser->new(hosts => {'app.example' => '127.0.0.1', 'evil.example' => '127.0.0.1'});
        my $endpoint = 'http://app.example:' . $t->port;
        for my $attack ('image', 'hidden_link') {
            my $target = "/_intermission/enable?reason=hidden-$attack";
            $named->open('http://evil.example:' . $evil->port . '/');
            $named->script('document.head.insertAdjacentHTML("beforeend", `<meta name="referrer" content="no-referrer">`);' . "$add $attack{$attack}", "$endpoint$target");
            is $t->logged($target)->{status}, 403, "$attack from another site's page: 403";
        }
        my $rebound = '/_intermission/stop?reason=rebound';
        $named->open('http://evil.example:' . $t->port . '/_intermission/status');
        $named->script('fetch(arguments[0], {method: "POST"})', $rebound);
        is $t->logged($rebound)->{status}, 403, 'a page of a rebound name: 403';
        is $t->status->{state}, 'open', 'no page that hides its origin has changed the app';
        my $own = '/_intermission/enable?reason=own';
        $named->open("$endpoint/_intermission/status");
        $named->script('fetch(arguments[0], {method: "POST"})', $own);
        is $t->logged($own)->{status}, 200, "the endpoint's own page may act: 200";
        $t->control('disable');
        $named->close;
    };

    subtest 'a URL that is typed into the browser works' => sub {
        $browser->open("$origin/_intermission/enable?reason=typed");
        is $t->status->{reason}, 'typed', 'enable typed into the browser pauses';
        $browser->open("$origin/_intermission/disable");
        is $t->status->{state}, 'open', 'disable typed into the browser resumes';
    };
    $browser->close;
    $evil->stop;
}

$t->clean_ok;
done_testing;
