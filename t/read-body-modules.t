# intermission_read_body together with modules that read the body themselves, in the access phase.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $folder = '/usr/lib/nginx/modules';
my %module = (lua => "$folder/ngx_http_lua_module.so", ndk => "$folder/ndk_http_module.so", modsecurity => "$folder/ngx_http_modsecurity_module.so");
plan skip_all => 'these modules are for the nginx of the system' if $ENV{TEST_NGINX_BINARY};
my $ours = Intermission::module_path();

# Starts an nginx with these modules, loaded before or after ours.
sub instance {
    my ($where, $names, %conf) = @_;
    my @modules = map { $module{$_} } @$names;
    @modules = $where eq 'before' ? (@modules, $ours) : ($ours, @modules);
    no warnings 'redefine';
    my $text = \&Intermission::Conf::text;
    local *Intermission::Conf::text = sub {
        my $whole = $text->(@_);
        my $load = join '', map { "load_module $_;\n" } @modules;
        return $whole =~ s/^load_module .*\n/$load/mr;
    };
    return Intermission->new(workers => 2, http2 => 1, %conf);
}

sub arrived { return {map { $_->{target} => "$_->{length} " . ($_->{id} // '-') } $_[0]->backend_log} }

# Sends a request with a part of its body.
sub begun {
    my ($t, $target, $length, $part) = @_;
    my $client = $t->send('', raw => "POST $target HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: $length\r\n\r\n");
    $client->write($part);
    return $client;
}

*answer = \&Intermission::Client::last_response;

for my $where ('before', 'after') {
    subtest "lua loaded $where: it has the bodies, and each request comes when its body is whole" => sub {
        plan skip_all => 'no lua module' if !-e $module{lua};
        my $t = instance($where, ['ndk', 'lua'], locations => <<'END_OF_PLACES');
intermission on;
intermission_read_body on;
location /reads { access_by_lua_block { ngx.req.read_body() ngx.req.set_header('X-Id', #(ngx.req.get_body_data() or '')) } proxy_set_header X-Id $http_x_id; proxy_pass http://backend; }
location /needs { lua_need_request_body on; access_by_lua_block { ngx.req.set_header('X-Id', #ngx.var.request_body) } proxy_set_header X-Id $http_x_id; proxy_pass http://backend; }
location /later { intermission_read_body off; lua_need_request_body on; access_by_lua_block { local x = 1 } proxy_pass http://backend; }
location /_intermission { intermission_read_body off; intermission_control; }
END_OF_PLACES
        $t->control('enable');
        my %begun = map { $_ => begun($t, $_, 10, '1234') } '/reads', '/needs', '/later';
        my $whole = $t->send('/reads/whole', body => 'x' x 3000);
        $t->wait_for(sub { $t->status->{held} >= 1 }, 'a request to be held');
        $begun{$_}->write('567890') for sort keys %begun;
        $t->wait_held(4);
        $t->control('disable');
        is answer($_)->{status}, 200, "lua loaded $where: all requests are answered" for values %begun, $whole;
        is_deeply arrived($t), {'/reads' => '10 10', '/needs' => '10 10', '/reads/whole' => '3000 3000', '/later' => '10 -'}, "lua loaded $where: lua has the bodies, and they arrive whole";
        $t->clean_ok;
    };
    subtest "ModSecurity loaded $where: it checks the bodies, and each request comes when its body is whole" => sub {
        plan skip_all => 'no ModSecurity' if !-e $module{modsecurity};
        my $t = instance($where, ['modsecurity'], locations => <<'END_OF_PLACES');
intermission on;
intermission_read_body on;
modsecurity on;
modsecurity_rules 'SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_BODY "@contains evil" "id:1,phase:2,deny,status:403"';
location / { proxy_pass http://backend; }
location /spills { client_body_buffer_size 1k; proxy_pass http://backend; }
location /_intermission { modsecurity off; intermission_control; }
END_OF_PLACES
        $t->control('enable');
        my $begun = begun($t, '/begun', 10, '1234');
        my $spills = begun($t, '/spills', 5000, 'x' x 4000);
        my $whole = $t->send('/whole', body => 'x' x 3000);
        $t->wait_held(1);
        $begun->write('567890');
        $spills->write('y' x 1000);
        $t->wait_held(3);
        my $evil = $t->send('/evil', body => 'be evil', headers => {'Content-Type' => 'application/x-www-form-urlencoded'});
        $t->wait_for(sub { $evil->answered || $t->status->{held} == 4 }, 'the request with evil in its body to be answered or held');
        $t->control('disable');
        is answer($_)->{status}, 200, "ModSecurity loaded $where: all allowed requests are answered" for $begun, $spills, $whole;
        is answer($evil)->{status}, 403, "ModSecurity loaded $where: an upload that its rules deny is answered with 403";
        is_deeply arrived($t), {'/begun' => '10 -', '/spills' => '5000 -', '/whole' => '3000 -'}, "ModSecurity loaded $where: bodies arrive whole";
        $t->clean_ok(allow => [qr/ModSecurity: /]);
    };
}

done_testing;
