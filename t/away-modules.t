# intermission_away beside other modules: one that passes requests on in a way that is not known, and those that Debian has.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission;
use Intermission::App;
use Intermission::Away;
use Intermission::Http2;
use Test::More;
use Time::HiRes 'sleep';

# Builds a module for the nginx that is tested. Returns the path.
my $folder = File::Temp->newdir;
sub build_module {
    my ($name, %part) = @_;
    my $file = "$folder/" . @{[glob "$folder/*.c"]} . $name;
    Intermission::write_file("$file.c", <<"C");
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

$part{before}
static ngx_command_t commands[] = { { $part{command} }, ngx_null_command };
static ngx_http_module_t context = { NULL, NULL, NULL, NULL, NULL, NULL, $part{create}, NULL };

ngx_module_t ngx_http_${name}_module = {
    NGX_MODULE_V1, &context, commands, NGX_HTTP_MODULE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};

ngx_module_t *ngx_modules[] = { &ngx_http_${name}_module, NULL };
char *ngx_module_names[] = { "ngx_http_${name}_module", NULL };
char *ngx_module_order[] = { NULL };
C
    my $includes = join ' ', map { "-I\$NGINX_SOURCE_DIR/src/$_" } qw(core event event/modules event/quic os/unix http http/modules http/v2 http/v3);
    system('bash', '-c', "eval \"\$(scripts/nginx-sources)\" && gcc -shared -fPIC -w $includes -I\$NGINX_BUILD_DIR -o $file.so $file.c") == 0
        or die "$file.c is not built";
    return "$file.so";
}

# A module of this name whose bind, NAME_bind, lies so many bytes behind where nginx's modules have theirs.
sub foreign_module {
    my ($name, $behind) = @_;
    return build_module($name, before => <<"C", command => <<"C2", create => 'create');
typedef struct { u_char behind[$behind]; ngx_http_upstream_conf_t upstream; } conf_t;
static void *create(ngx_conf_t *cf) { return ngx_pcalloc(cf->pool, sizeof(conf_t)); }
C
ngx_string("${name}_bind"), NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1, ngx_http_upstream_bind_set_slot, NGX_HTTP_LOC_CONF_OFFSET, offsetof(conf_t, upstream.local), NULL
C2
}

# The name of one that this nginx does not have.
my ($unknown) = grep { !Intermission::knows("${_}_bind", "location / { ${_}_bind off; }") } qw(tunnel memcached scgi uwsgi grpc);

SKIP: {
    skip 'this nginx has all modules of these names', 1 if !$unknown;
    subtest "an nginx whose $unknown module has its bind elsewhere" => sub {
        my $place = 'location / { intermission on; %s proxy_pass http://backend; } location /_intermission { intermission_control; }';
        my $foreign = foreign_module($unknown, 8);
        my ($exit, $output) = Intermission::nginx_t(main => "load_module $foreign;", locations => sprintf $place, 'intermission_away 5s;');
        isnt $exit, '0', 'the bind is elsewhere: nginx -t refuses intermission_away';
        like $output, qr/"intermission_away" does not know the ngx_http_${unknown}_module of this nginx: remove the directive in \S+:\d+/,
            'the bind is elsewhere: it says why, and what to do';
        ($exit, $output) = Intermission::nginx_t(main => 'load_module ' . foreign_module($unknown, 0) . ';', locations => sprintf $place, 'intermission_away 5s;');
        is $exit, '0', "the bind is where nginx has it: nginx -t accepts intermission_away: $output";
        my $t = Intermission->new(main => "load_module $foreign;", locations => sprintf $place, '');
        $t->control('enable');
        my $client = $t->send('/held');
        $t->wait_held(1);
        $t->control('disable');
        is $client->response->{status}, 200, 'the bind is elsewhere: without intermission_away all else works';
        $t->clean_ok;
    };
}

subtest 'a balancer of another module that keeps one byte' => sub {
    my $balancer = build_module('lonely', create => 'NULL', before => <<'C', command => 'ngx_string("lonely"), NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS, set, 0, 0, NULL');
static ngx_int_t get(ngx_peer_connection_t *pc, void *data) {
    ngx_addr_t *address = data;
    pc->sockaddr = address->sockaddr;
    pc->socklen = address->socklen;
    pc->name = &address->name;
    return NGX_OK;
}
static void done(ngx_peer_connection_t *pc, void *data, ngx_uint_t state) { pc->tries = 0; }
static ngx_int_t init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us) {
    ngx_http_upstream_server_t *server = us->servers->elts;
    r->upstream->peer.get = get;
    r->upstream->peer.free = done;
    r->upstream->peer.tries = 1;
    r->upstream->peer.data = server->addrs;
    return NGX_OK;
}
static ngx_int_t init(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us) {
    us->peer.init = init_peer;
    us->peer.data = ngx_palloc(cf->pool, 1);
    return us->peer.data ? NGX_OK : NGX_ERROR;
}
static char *set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) {
    ngx_http_upstream_srv_conf_t *us = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);
    us->peer.init_upstream = init;
    return NGX_CONF_OK;
}
C
    my $t = nginx('proxy_pass http://app;', main => "load_module $balancer;", http => 'upstream app { lonely; server unix:@DIR@/app.sock; }');
    my $app = Intermission::App->new($t);
    held_until($t, 'one byte', sub { $app->up });
    is_deeply $app->came, {'/held' => 1}, 'one byte: the request comes once';
    $t->clean_ok(allow => \@gone);
};

my $modules = '/usr/lib/nginx/modules';
my %files = (lua => [map { "$modules/$_.so" } 'ndk_http_module', 'ngx_http_lua_module'], modsecurity => ["$modules/ngx_http_modsecurity_module.so"]);
my $app = 'upstream app { server unix:@DIR@/app.sock; }';
my $filters = 'header_filter_by_lua_block { ngx.header["X-Lua"] = "header" } body_filter_by_lua_block { ngx.arg[1] = ngx.arg[1] } log_by_lua_block { local x = ngx.var.upstream_status }';
my $rules = q{modsecurity on; modsecurity_rules 'SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecRule ARGS "@contains attack" "id:1,phase:2,deny,status:403"';};

for my $way (
    ['access_by_lua', lua => "access_by_lua_block { if ngx.var.arg_key == 'no' then return ngx.exit(403) end } proxy_pass http://app;", $app],
    ['access_by_lua that sleeps and reads the body', lua => 'access_by_lua_block { ngx.req.read_body() ngx.sleep(0.01) if ngx.var.arg_key == "no" then return ngx.exit(403) end } proxy_pass http://app;', $app],
    ['filters by lua', lua => "access_by_lua_block { if ngx.var.arg_key == 'no' then return ngx.exit(403) end } $filters proxy_pass http://app;", $app],
    ['balancer_by_lua', lua => "access_by_lua_block { if ngx.var.arg_key == 'no' then return ngx.exit(403) end } proxy_pass http://app;", <<'END'],
upstream app {
    server 0.0.0.1;
    balancer_by_lua_block { local ok, err = require("ngx.balancer").set_current_peer("unix:@DIR@/app.sock") if not ok then ngx.log(ngx.ERR, err) end }
    keepalive 8;
}
END
    ['rewrite_by_lua with ngx.exec', lua => "rewrite_by_lua_block { if ngx.var.arg_key == 'no' then return ngx.exit(403) end return ngx.exec('\@there') }", $app],
    ['ModSecurity', modsecurity => "$rules proxy_pass http://app;", $app],
) {
    my ($what, $which, $location, $http) = @$way;
    for my $order ('after', 'before') {
        subtest "$what, loaded $order ours" => sub {
            plan skip_all => 'this nginx cannot load Debian\'s modules' if $ENV{TEST_NGINX_BINARY} || grep { !-e } @{$files{$which}};
            my @load = $order eq 'after' ? (main => join '', map { "load_module $_;\n" } @{$files{$which}})
                : (module => join '; load_module ', @{$files{$which}}, Intermission::module_path());
            my $off = $which eq 'modsecurity' ? 'modsecurity off; ' : '';
            my $t = nginx($location, http => $http, workers => 2, http2 => 1, @load,
                locations => 'location @there { intermission on; intermission_away 20s; proxy_pass http://app; }');
            my $app = Intermission::App->new($t);
            is $t->get($_)->{status}, 403, "$what: $_ is turned away while the app is away" for '/no?key=no&x=attack';
            my %client = map { $_ => $t->send($_, keepalive => 1, m{post/(\d+)} ? (body => 'x' x $1) : ()) } '/get/1', '/get/2', '/post/5000', '/post/100000';
            my $http2 = Intermission::Http2->new(to => 'unix:' . $t->dir . '/http2.sock');
            my %stream = map { $_ => $http2->request($_) } '/2/get';
            $stream{'/2/post'} = $http2->request('/2/post', body => 'x' x 100_000);
            $t->wait_for(sub { $http2->ping; $t->status->{held} == 6 }, '6 requests to be held');
            sleep 0.7;
            ok !(grep { $_->begun } values %client), "$what: held while the app is away";
            $app->up;
            is $client{$_}->response->{status}, 200, "$what: 200 for $_" for sort keys %client;
            is $http2->answer($stream{$_})->{status}, 200, "$what: 200 for the stream $_" for sort keys %stream;
            my @all = sort keys %client, keys %stream;
            is_deeply $app->came, {map { $_ => 1 } @all}, "$what: each request comes to the app once";
            is_deeply [map { $app->bodies->{$_} } '/post/5000', '/post/100000', '/2/post'], ['5000 whole', '100000 whole', '100000 whole'], "$what: bodies come whole";
            $t->logged($_) for @all;
            my %lines;
            $lines{$_->{target}}++ for $t->access_log;
            is_deeply [map { $lines{$_} } @all], [(1) x @all], "$what: each request has one line in the access log";
            is $client{$_}->request("/again$_")->response->{status}, 200, "$what: the client of $_ keeps its connection" for sort keys %client;
            $_->close for values(%client), $http2;
            $app->down;
            $t->clean_ok(allow => [@gone, qr/ModSecurity: Access denied/]);
        };
    }
}

done_testing;
