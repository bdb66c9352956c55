# Event methods other than epoll are refused with a clear error: by nginx -t, at the start and in a reload.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $nginx = $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx';
my %others = map { $_ => 1 } `$nginx -V 2>&1` =~ /--with-(poll|select)_module/g;
plan skip_all => 'this nginx knows no event method but epoll' if !%others;

sub message {
    my ($method) = @_;
    return qr/\[emerg\].*intermission needs the event method "epoll", but "use $method" is configured/;
}

for my $method (sort keys %others) {
    subtest "use $method is refused, and the message says why" => sub {
        my ($exit, $output) = Intermission::nginx_t(events => "use $method;");
        is $exit, 1, "use $method: nginx -t fails";
        like $output, message($method), "use $method: nginx -t says why it fails";
        is eval { Intermission->new(events => "use $method;"); 1 }, undef, "use $method: nginx does not start";
        like $@, message($method), "use $method: nginx says why it does not start";
        return if Intermission::is_linked();
        ($exit, $output) = Intermission::nginx_t(events => "use $method;", with_module => 0);
        is $exit, 0, "use $method without the module: nginx -t passes" or diag $output;
    };
}

subtest 'use epoll passes nginx -t' => sub {
    my ($exit, $output) = Intermission::nginx_t(events => 'use epoll;');
    is $exit, 0, 'use epoll: nginx -t passes' or diag $output;
};

subtest 'a reload to another event method is refused, and the held request stays' => sub {
    my $t = Intermission->new(events => 'use epoll;');
    $t->control('enable');
    my $held = $t->send('/held');
    $t->wait_held(1);
    my ($method) = sort keys %others;
    $t->hup(events => "use $method;");
    $t->wait_log(message($method));
    is $t->status->{held}, 1, "a reload to $method is refused: the held request stays held";
    $t->control('disable');
    is $held->response->{status}, 200, 'after a refused reload the held request is released';
    $t->clean_ok(allow => [message($method)]);
};

done_testing;
