# Access handlers of other modules run before the gate. Debian's lua module moves its own handler to the end of the access phase.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $modules = '/usr/lib/nginx/modules';
my @load = ("$modules/ndk_http_module.so", "$modules/ngx_http_lua_module.so");
plan skip_all => 'this nginx cannot load Debian\'s lua module'
    if !-e "$modules/ngx_http_lua_module.so" || ($ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx') ne '/usr/sbin/nginx';

my $locations = <<'END';
set $app_name s;
location / {
    access_by_lua_block { if not ngx.var.cookie_sid then return ngx.exit(401) end }
    intermission on;
    proxy_pass http://backend;
}
location /any {
    satisfy any; deny all;
    access_by_lua_block { if ngx.var.cookie_sid then return ngx.exit(ngx.OK) end return ngx.exit(403) }
    intermission on;
    proxy_pass http://backend;
}
location /page {
    error_page 401 /login;
    access_by_lua_block { if not ngx.var.cookie_sid then return ngx.exit(401) end }
    intermission on;
    proxy_pass http://backend;
}
location /slow {
    access_by_lua_block { ngx.sleep(0.1) if not ngx.var.cookie_sid then return ngx.exit(401) end }
    intermission on;
    proxy_pass http://backend;
}
location /says { access_by_lua_block { ngx.say("lua") } intermission on; proxy_pass http://backend; }
location = /login { intermission on; proxy_pass http://backend; }
location /content { intermission on; content_by_lua_block { ngx.say("content") } }
location /_intermission { intermission_control; }
END

my %order = (
    'loaded after ours' => [main => join '', map { "load_module $_;\n" } @load],
    'loaded before ours' => [module => join '; load_module ', @load, Intermission::module_path()],
);
for my $order (sort keys %order) {
    subtest "the lua module, $order: its access handler comes before the gate" => sub {
        my $t = Intermission->new(workers => 2, locations => $locations, @{$order{$order}});
            # The lua module moves its handler at its first request: this one is held then.
        $t->control('enable');
        my $content = $t->send('/content');
        $t->wait_held(1);
        is $t->get($_)->{status}, 401, "$order: $_, without the cookie, is turned away at once" for '/', '/slow', '/';
        is $t->get('/any')->{status}, 403, "$order: satisfy any: /any, without the cookie, is turned away at once";
        is $t->get('/says')->{body}, "lua\n", "$order: a request that lua answers is answered at once";
        is $t->status->{totals}{held}, 1, "$order: no request that lua answers took a ticket";
        my @held = ($t->send('/page'), map { $t->send($_, headers => {Cookie => 'sid=1'}) } '/', '/any', '/page', '/slow');
        $t->wait_held(6);
        $t->control('disable');
        is_deeply [map { $_->response->{status} } @held], [401, (200) x 4], "$order: requests that lua lets in, or that see the app's login page, are held and go on";
        is $content->response->{body}, "content\n", "$order: a request to lua's own content is held and goes on";
        is scalar($t->backend_log), 5, "$order: each released request comes to the app once";
        $t->clean_ok(allow => [qr/access forbidden by rule/, qr/resty/]);
    };
}
done_testing;
