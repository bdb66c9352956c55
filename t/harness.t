# The functions of t/lib, on an nginx without the module.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $t = Intermission->new(with_module => 0, workers => 2, http2 => 1);
my @first = $t->workers;

subtest 'new starts as many workers as it is told to' => sub {
    is(scalar @first, 2, 'two workers are up');
};

subtest 'get waits for the answer, and backend_log has the request' => sub {
    my $answer = $t->get('/a?x=1');
    is($answer->{status}, 200, 'a request is answered');
    is($answer->{body}, "seq=1\n", "get: the answer is the app's");
    is(($t->backend_log)[0]{target}, '/a?x=1', 'backend_log has the request');
    is($t->get('/b', method => 'HEAD')->{headers}{'x-seq'}, 2, 'get: a HEAD is answered');
    is($t->get('/c', body => 'x' x 70_000)->{status}, 200, 'get: a request with a body is answered');
    is(($t->backend_log)[2]{length}, 70_000, 'backend_log has the length of the body');
};

subtest 'send does not wait for the answer' => sub {
    my $slow = $t->send('/slow?delay=300');
    ok(!$slow->answered, 'send: a slow request has no answer yet');
    is($slow->response->{status}, 200, 'send: a slow request is answered later');
    is($t->send('/late?delay=5000')->response(0.05)->{error}, 'timeout', 'response: gives up after its timeout');
};

subtest 'a client can send two requests on one connection' => sub {
    my $kept = $t->send('/k', keepalive => 1);
    is($kept->response->{status}, 200, 'keepalive: the first request on a connection is answered');
    is($kept->request('/k2')->response->{status}, 200, 'keepalive: the second request on a connection is answered');
};

subtest 'crowd sends requests of many clients, and some leave' => sub {
    my $crowd = $t->crowd('--count', 2000, '--start-on-stdin');
    $crowd->wait_event('connected');
    $crowd->say('go');
    my $done = $crowd->done;
    is($done->{statuses}{200}, 2000, 'crowd: 2000 clients are answered');
    is($done->{exit}, 0, 'crowd: the exit status is 0');

    $crowd = $t->crowd('--count', 300, '--path', '/x?delay=2000', '--leave', 0.333);
    $crowd->wait_event('sent');
    $crowd->say('leave');
    $crowd->wait_event('left');
    $done = $crowd->done;
    is_deeply([@$done{qw(left answered failed)}], [100, 200, 0], 'crowd --leave: every third client leaves');
};

subtest 'crowd_http2 sends streams, and resets some' => sub {
    my $crowd = $t->crowd_http2('--count', 200, '--connections', 4);
    is($crowd->done->{statuses}{200}, 200, 'crowd_http2: 200 streams over 4 connections are answered');
    $crowd = $t->crowd_http2('--count', 200, '--connections', 4, '--reset', 0.5, '--path', '/x?delay=1500');
    $crowd->wait_event('sent');
    $crowd->say('leave');
    my $done = $crowd->done;
    is_deeply([@$done{qw(left answered failed)}], [100, 100, 0], 'crowd_http2 --reset: every second stream is reset');
};

subtest 'reload waits for the new workers, and dies on a bad configuration' => sub {
    $t->reload(workers => 3);
    my %old = map { $_ => 1 } @first;
    is(scalar(grep { !$old{$_} } $t->workers), 3, 'reload: three new workers are up');
    ok($t->wait_old_workers_gone, 'wait_old_workers_gone: the old workers are gone');
    ok(!eval { $t->reload(http => 'nonsense;'); 1 }, 'reload: dies on a bad configuration');
    like($@, qr/unknown directive "nonsense"/, 'reload: says why the configuration is bad');
    $t->reload(http => '');
    is($t->logged('/b')->{method}, 'HEAD', 'the access log is read');
};

subtest 'kill_worker kills a worker, and waits for the next one' => sub {
    my ($victim) = $t->workers;
    $t->kill_worker($victim);
    ok(!grep({ $_ == $victim } $t->workers), 'kill_worker: the worker is replaced');
    is($t->get('/after')->{status}, 200, 'kill_worker: nginx goes on answering');
};

subtest 'nginx_t says whether nginx accepts a configuration' => sub {
    my ($exit, $output) = Intermission::nginx_t(with_module => 0);
    is($exit, 0, 'nginx_t: a good configuration passes') or diag $output;
    ($exit, $output) = Intermission::nginx_t(with_module => 0, server => 'nonsense;');
    isnt($exit, 0, 'nginx_t: a bad configuration fails');
    like($output, qr/unknown directive "nonsense"/, 'nginx_t: the output says why');
};

subtest 'clean_ok ends nginx' => sub {
    my $master = $t->master;
    $t->clean_ok(killed_process => 1, allow => [qr/unknown directive "nonsense"/]);
    ok(!Intermission::Process::is_alive($master), 'clean_ok: the master is gone');
};

subtest 'a pid that another nginx uses is not taken for a worker' => sub {
    my ($one, $other) = map { Intermission->new(workers => 1) } 1, 2;
    my ($worker) = $other->workers;
    $one->workers;
    $one->{workers_seen}{$worker} = 1;
    ok $one->stop, 'a process that has the pid of a worker that is gone is not taken for it';
    is_deeply [$other->workers], [$worker], 'stop kills no process of another nginx that has such a pid';
    $other->clean_ok;
};

done_testing;
