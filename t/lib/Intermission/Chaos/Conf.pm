package Intermission::Chaos::Conf;

# The configuration of an nginx in a run of scripts/chaos.

use strict;
use warnings;

# The lines in http.
sub http {
    my ($state_folder, $cache_folder) = @_;
    return <<"END";
http2_max_concurrent_streams 1024;
proxy_cache_path $cache_folder keys_zone=answers:1m max_size=512k inactive=1s manager_sleep=20ms loader_files=1 use_temp_path=off;
intermission_zone 2m;
intermission_state_file $state_folder/state;
upstream kept { server unix:\@DIR\@/backend.sock; keepalive 16; keepalive_timeout 200ms; }
upstream going { server unix:\@DIR\@/going.sock; keepalive_timeout 200ms; }
upstream going_kept { server unix:\@DIR\@/going.sock; keepalive 16; keepalive_timeout 200ms; }
log_format chaos '\$pid \$status \$msec \$request_time \$intermission_status \$intermission_hold_time \$request_uri '
    '\$upstream_status | \$upstream_bytes_sent';
END
}

# The locations of an app of the schedule: for its requests, and its control endpoint.
sub locations {
    my ($app) = @_;
    my $name = $app->{name} || 'default';
    my $set = $app->{name} ? "set \$app_name $app->{name};" : '';
    my %optional = map { $_ => defined $app->{$_} ? "intermission_$_ $app->{$_};" : '' } qw(away expired max_held overflow read_body lease release);
    s/;/s;/ for @optional{qw(away lease)};
    # A proxy_set_header in a location replaces all that are set above it.
    my $kept = $ENV{TEST_NGINX_KEEPALIVE} ? 'proxy_set_header Connection "";' : '';
    my ($plain, $keeping) = $app->{away} ? qw(going going_kept) : qw(backend kept);
    my $upstream = $app->{kept}
        ? "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_pass http://$keeping;"
        : "$kept proxy_pass http://$plain;";
    my $cache = $app->{cached} ? 'proxy_cache answers; proxy_cache_valid 200 1s; proxy_cache_lock on;' : '';
    return <<"END";
location /$name/ {
    $set
    set \$intermission_max_time $app->{max_time};
    set \$intermission_health_check_path /$name/up;
    set \$intermission_privileged_user_agent Robot;
    intermission on;
    $optional{away} $optional{expired} $optional{max_held} $optional{overflow} $optional{read_body}
    proxy_set_header X-Position \$pid;
    $cache
    $upstream
}
location /ctl/$name {
    $set
    intermission_control;
    $optional{lease} $optional{release}
}
END
}

1;
