# stop, for a pause that takes too long: every request is answered at once.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $locations = <<'END';
set $app_name basecamp;
error_page 503 /sorry;
location / {
    set $intermission_privileged_user_agent "Pingdom";
    intermission on;
    proxy_pass http://backend;
}
location /checked {
    set $intermission_health_check_path /checked/up;
    intermission on; intermission_health_check 200; proxy_pass http://backend;
}
location /sick/ {
    set $intermission_health_check_path /sick/up;
    intermission on; intermission_health_check 503; proxy_pass http://backend;
}
location = /sorry { internal; return 503 "we are sorry\n"; }
location /_intermission { intermission_control; }
END

subtest 'a stop answers all requests at once' => sub {
    my $t = Intermission->new(workers => 4, locations => $locations);
    is $t->control('stop')->{body}, "Stopped.\n", 'stop answers Stopped';
    is $t->control('stop')->{status}, 304, 'stop of a stopped app: 304';
    is $t->control('status')->{body}, "Stopped.\n", 'status of a stopped app: Stopped';
    my $answer = $t->get('/');
    is $answer->{status}, 503, 'a stopped app: a request is answered with 503';
    is $answer->{body}, "we are sorry\n", "a stopped app: the 503 has the site's own page";
    is $answer->{headers}{'retry-after'}, 10, 'a stopped app: the 503 has Retry-After';
    is $t->logged('/')->{intermission}, 'STOPPED', 'a stopped app: the access log says STOPPED';
    is $t->get('/up')->{status}, 200, 'a stopped app: a health check passes';
    is $t->get('/', headers => {'User-Agent' => 'Pingdom'})->{status}, 200, 'a stopped app: a privileged client passes';

    is $t->control('enable')->{status}, 200, 'enable of a stopped app: paused';
    my $crowd = $t->crowd('--count', 1000, '--expect', 503);
    $t->wait_held(1000, seconds => 20);
    my $pause = $t->status->{pause};
    is $t->control('stop?for=30s&reason=rollback')->{status}, 200, 'stop of a paused app: 200';
    is $t->status->{pause}, $pause, "stop of a paused app keeps the pause's number";
    my $done = $crowd->done;
    is $done->{statuses}{503}, 1000, 'stop of a paused app: all held requests are answered with 503';
    is $t->status->{totals}{stopped}, 1001, 'all stopped requests are counted';
    $t->wait_log(qr/app "basecamp": stopped by 127\.0\.0\.1, pause \d+, until \S+Z, reason "rollback"/);
    is $t->control('disable')->{status}, 200, 'disable of a stopped app: 200';
    is $t->get('/')->{status}, 200, 'a request after the stop is answered';
    is $t->backend_log, 3, 'no stopped request came to the app';

    is $t->control('stop?for=500ms')->{status}, 200, 'stop with a lease: 200';
    my $after = $t->get('/')->{headers}{'retry-after'};
    cmp_ok $after, '<=', 1, 'stop with a lease: Retry-After is what is left of it';
    $t->wait_state('open');
    pass 'stop with a lease ends by itself';
    $t->clean_ok;
};

subtest 'the module answers health checks while the app is not open' => sub {
    my $t = Intermission->new(workers => 2, locations => $locations);
    my $check = sub { $t->get($_[0]) };
    is $check->('/checked/up')->{body}, "seq=1\n", 'an open app: a health check goes to it';
    $t->control('enable');
    my $answer = $check->('/checked/up');
    is $answer->{status}, 200, 'a stopped app: the module answers its health check 200';
    is $answer->{body}, '', "a stopped app: the health check's answer is empty";
    is $t->get('/checked/up', method => 'GET', body => 'x' x 5000)->{status}, 200, 'a stopped app: a health check with a body is answered with 200';
    is $check->('/sick/up')->{status}, 503, 'a stopped app: the health check of a sick place is 503';
    is $check->('/sick/up')->{headers}{'retry-after'}, 10, 'a stopped app: the 503 to a health check has Retry-After';
    my $twice = $t->send('/checked/up', keepalive => 1);
    is $twice->response->{status}, 200, 'a stopped app: the first health check on a connection is answered';
    is $twice->request('/checked/up')->response->{status}, 200, 'a stopped app: the second health check on a connection is answered';
    is $t->backend_log, 1, 'a stopped app: no health check came to the app';
    is $t->logged('/checked/up')->{intermission}, 'BYPASSED', 'a stopped app: the access log of a health check says BYPASSED';
    $t->control('disable');
    $t->clean_ok;
};

done_testing;
