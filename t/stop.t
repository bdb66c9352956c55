# A pause that takes too long: everybody is answered at once.

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

{
    my $t = Intermission->new(workers => 4, locations => $locations);
    is $t->control('stop')->{body}, "Stopped.\n", 'stop says so';
    is $t->control('stop')->{status}, 304, 'twice: nothing to do';
    is $t->control('status')->{body}, "Stopped.\n", 'so does the status';
    my $answer = $t->get('/');
    is $answer->{status}, 503, 'who comes is answered at once';
    is $answer->{body}, "we are sorry\n", "with the site's own page";
    is $answer->{headers}{'retry-after'}, 10, 'and told when to come again';
    is $t->logged('/')->{intermission}, 'STOPPED', 'the access log says why';
    is $t->get('/up')->{status}, 200, 'health checks pass';
    is $t->get('/', headers => {'User-Agent' => 'Pingdom'})->{status}, 200, 'and the privileged';

    is $t->control('enable')->{status}, 200, 'enable turns it back into a pause';
    my $crowd = $t->crowd('--count', 1000, '--expect', 503);
    $t->wait_held(1000, seconds => 20);
    my $pause = $t->status->{pause};
    is $t->control('stop?for=30s&reason=rollback')->{status}, 200, 'stop from a pause';
    is $t->status->{pause}, $pause, 'it is the same pause';
    my $done = $crowd->done;
    is $done->{statuses}{503}, 1000, 'everybody held is answered 503';
    is $t->status->{totals}{stopped}, 1001, 'and counted';
    $t->wait_log(qr/app "basecamp": stopped by 127\.0\.0\.1, pause \d+, until \S+Z, reason "rollback"/);
    is $t->control('disable')->{status}, 200, 'disable opens';
    is $t->get('/')->{status}, 200, 'and all is well';
    is $t->backend_log, 3, 'nobody whom the stop answered came to the backend';

    is $t->control('stop?for=500ms')->{status}, 200, 'a stop with a lease';
    my $after = $t->get('/')->{headers}{'retry-after'};
    cmp_ok $after, '<=', 1, 'Retry-After is the end of the lease';
    $t->wait_state('open');
    pass 'it ends by itself';
    $t->clean_ok;
}

{
    my $t = Intermission->new(workers => 2, locations => $locations);
    my $check = sub { $t->get($_[0]) };
    is $check->('/checked/up')->{body}, "seq=1\n", 'while the app is open a health check goes to it';
    $t->control('enable');
    my $answer = $check->('/checked/up');
    is $answer->{status}, 200, 'while it is not, the module answers';
    is $answer->{body}, '', 'by itself';
    is $t->get('/checked/up', method => 'GET', body => 'x' x 5000)->{status}, 200, 'one with a body too';
    is $check->('/sick/up')->{status}, 503, 'a bad health check';
    is $check->('/sick/up')->{headers}{'retry-after'}, 10, 'with Retry-After';
    my $twice = $t->send('/checked/up', keepalive => 1);
    is $twice->response->{status}, 200, 'the connection';
    is $twice->request('/checked/up')->response->{status}, 200, 'is kept';
    is $t->backend_log, 1, 'none came to the backend';
    is $t->logged('/checked/up')->{intermission}, 'BYPASSED', 'the access log says so';
    $t->control('disable');
    $t->clean_ok;
}

done_testing;
