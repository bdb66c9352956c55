package Intermission::Conf;

# The configuration of a test's nginx.

use strict;
use warnings;

our $LOCATIONS = <<'END';
set $app_name basecamp;
location / {
    set $intermission_max_time 300;
    set $intermission_health_check_path /up/database;
    set $intermission_privileged_user_agent "Pingdom";
    intermission on;
    proxy_pass http://backend;
}
location /_intermission {
    allow 127.0.0.1; deny all;
    intermission_control;
}
END

# Needs dir and listen. Further keys: module (a path, or '' for none), workers, main, events, http, server,
# locations, upstream (more lines for the backend's), http2 (true: HTTP/2 on a unix socket, for crowd_http2), single (true: one
# process without a master), daemon (true: nginx leaves its parent). A default is left out if the extra text has the directive.
sub text {
    my (%conf) = @_;
    my $dir = $conf{dir};
    my %extra = map { $_ => $conf{$_} // '' } qw(main events http server);
    my $locations = $conf{locations} // ($conf{module} ? $LOCATIONS : 'location / { proxy_pass http://backend; }');
    my $default = sub {
        my ($level, $name, $value) = @_;
        return $extra{$level} =~ /^\s*\Q$name\E\s/m ? '' : "$name $value;";
    };
    my $module = $conf{module} ? "load_module $conf{module};" : '';
    my $user = $> == 0 ? $default->(main => user => 'nobody nogroup') : '';
    my $position = $conf{module} ? 'proxy_set_header X-Position $intermission_position;' : '';
    my $ours = $conf{module} ? '$intermission_status $intermission_hold_time $intermission_position' : '- - -';
    my $daemon = $conf{daemon} ? 'on' : 'off';
    my $master = $conf{single} ? 'off' : 'on';
    my $workers = $default->(main => worker_processes => $conf{workers} // 2);
    my $connections = $default->(events => worker_connections => 8192);
    my $http2 = $conf{http2} ? "listen unix:$dir/http2.sock http2;" : '';
    # nginx formats all its debug lines, but they are not kept.
    my $debug = $ENV{TEST_NGINX_DEBUG} ? 'error_log memory:1m debug;' : '';
    # This is nginx's default from 1.29.7 on.
    my ($kept, $http11) = $ENV{TEST_NGINX_KEEPALIVE}
        ? ('keepalive 32;', 'proxy_http_version 1.1; proxy_set_header Connection "";') : ('', '');
    my $upstream = $conf{upstream} // '';
    my $paths = join "\n    ", map { "${_}_temp_path $dir/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
    return <<"END";
$module
$user
$workers
daemon $daemon;
master_process $master;
error_log $dir/error.log info;
$debug
pid $dir/nginx.pid;
$extra{main}
events {
    $connections
    $extra{events}
}
http {
    $paths
    log_format test '\$request_method \$request_uri \$status \$request_time $ours';
    access_log $dir/access.log test;
    upstream backend { server unix:$dir/backend.sock; $kept $upstream }
    $http11
    $position
    $extra{http}
    server {
        listen $conf{listen};
        $http2
        $extra{server}
        $locations
    }
}
END
}

1;
