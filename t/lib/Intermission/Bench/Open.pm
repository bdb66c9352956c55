package Intermission::Bench::Open;

# What a request costs while its app is open: instructions of nginx per request, counted by callgrind. They are the difference between
# two runs on a kept connection, so that the start does not count. The kernel's are not counted, nor the allocator's.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::Bench;
use Intermission::Bench::Callgrind qw(counted minus);
use Intermission::Client;
use List::Util qw(min);

my $LIMIT = 100;
my $APP = 'set $app_name basecamp;';
my $CONTROL = 'location /_intermission { intermission_control; }';
# nginx finds one of two locations in both.
my $OTHER = 'location /_intermission { return 204; }';
my $SETS = <<'END';
set $intermission_max_time 300;
set $intermission_health_check_path /up/database;
set $intermission_privileged_user_agent "Pingdom";
END
# With a header of its own a location does not send X-Position, which would count only with the module.
my @KINDS = (['empty_gif', 'empty_gif;'], ['proxy_pass', 'proxy_set_header Accept *; proxy_pass http://backend;']);

# $functions: of so many functions to say by how much they differ.
sub run {
    my ($functions) = @_;
    for my $kind (trial([$KINDS[0]], \@KINDS)->@*) {
        my ($name, $handler) = @$kind;
        heading("No pause, $name: instructions per request, without the kernel's and the allocator's");
        my $cost = sub {
            my ($what, $conf, $server, $location) = @_;
            my $cost = cost(%$conf, locations => join ' ', $server, 'location / {', $location, "access_log off; $handler }");
            say_of($what, $cost->{total});
            return $cost;
        };
        my $plain = $cost->('nginx without the module', {with_module => 0}, $OTHER, '');
        my $set = $cost->('the same with the four `set` of the sample', {with_module => 0}, "$APP $OTHER", $SETS);
        for my $module (modules()) {
            my ($who, $conf) = @$module;
            for (
                ['loaded', $plain, $OTHER, ''],
                ['the four `set`', $set, "$APP $CONTROL", $SETS],
                ['`intermission on`', $plain, $CONTROL, 'intermission on;'],
                ['the sample configuration', $set, "$APP $CONTROL", "$SETS intermission on;"],
            ) {
                my ($what, $base, @parts) = @$_;
                my $cost = $cost->("$who: $what", $conf, @parts);
                my $than = $base == $set ? 'the same with nginx alone' : 'nginx alone';
                my $more = say_of("    above $than", $cost->{total} - $base->{total});
                at_most($LIMIT, $more) if $name eq 'empty_gif';
                my $blocks = say_of("    the allocator is asked for a block, above $than", $cost->{blocks} - $base->{blocks}, 2);
                at_most(0.01, $blocks) if $name eq 'empty_gif';
                differences($functions, $cost, $base) if $functions;
            }
        }
        say_of('nginx alone: the allocator itself takes, some', $plain->{allocator});
    }
}

sub cost {
    my (%conf) = @_;
    my @runs = trial([50, 250], [200, 1200])->@*;
    my ($few, $many) = map { instructions($_, %conf) } @runs;
    return minus($many, $few, $runs[1] - $runs[0]);
}

# The instructions of an nginx that answers this many requests.
sub instructions {
    my ($requests, %conf) = @_;
    my $t = Intermission->new(
        single => 1, workers => 1, http => 'keepalive_requests 100000;',
        under => ['valgrind', '--tool=callgrind', '--callgrind-out-file=/tmp/callgrind.%p'], %conf,
    );
    my $client = Intermission::Client->new(to => '127.0.0.1:' . $t->port);
    for (1 .. $requests) {
        my $status = $client->request('/gif', keepalive => 1)->response(60)->{status};
        die "nginx under callgrind answers $status\n" if $status != 200;
    }
    $client->close;
    my $file = "/tmp/callgrind." . $t->master;
    # A signal that comes just before epoll_wait is noticed only with the next one.
    $t->stop(seconds => 2);
    my $counted = counted($file);
    unlink $file;
    return $counted;
}

sub differences {
    my ($number, $cost, $base) = @_;
    my %more = map { $_ => ($cost->{functions}{$_} // 0) - ($base->{functions}{$_} // 0) } keys %{$cost->{functions}};
    my @names = grep { abs $more{$_} >= 0.5 } sort { abs $more{$b} <=> abs $more{$a} } keys %more;
    for my $name (@names[0 .. min($number, scalar @names) - 1]) {
        say_of('        ' . substr($name =~ s/^ngx_http_intermission_module\.so/module/r, 0, 56), $more{$name});
    }
}

1;
