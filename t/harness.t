# The harness itself, on a plain nginx.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $t = Intermission->new(with_module => 0, workers => 2, http2 => 1);
my @first = $t->workers;
is(scalar @first, 2, 'two workers are up');

my $answer = $t->get('/a?x=1');
is($answer->{status}, 200, 'a request is answered');
is($answer->{body}, "seq=1\n", 'by the backend');
is(($t->backend_log)[0]{target}, '/a?x=1', 'which has seen it');
is($t->get('/b', method => 'HEAD')->{headers}{'x-seq'}, 2, 'a HEAD too');
is($t->get('/c', body => 'x' x 70_000)->{status}, 200, 'a body arrives');
is(($t->backend_log)[2]{length}, 70_000, 'whole');

my $slow = $t->send('/slow?delay=300');
ok(!$slow->answered, 'a slow request has no answer yet');
is($slow->response->{status}, 200, 'and later has');
is($t->send('/late?delay=5000')->response(0.05)->{error}, 'timeout', 'nobody waits for ever');

my $kept = $t->send('/k', keepalive => 1);
is($kept->response->{status}, 200, 'a first request on a connection');
is($kept->request('/k2')->response->{status}, 200, 'a second one on it');

my $crowd = $t->crowd('--count', 2000, '--start-on-stdin');
$crowd->wait_event('connected');
$crowd->say('go');
my $done = $crowd->done;
is($done->{statuses}{200}, 2000, '2000 clients are answered');
is($done->{exit}, 0, 'and crowd is content');

$crowd = $t->crowd('--count', 300, '--path', '/x?delay=2000', '--leave', 0.333);
$crowd->wait_event('sent');
$crowd->say('leave');
$crowd->wait_event('left');
$done = $crowd->done;
is_deeply([@$done{qw(left answered failed)}], [100, 200, 0], 'every third leaves');

$crowd = $t->crowd_http2('--count', 200, '--connections', 4);
is($crowd->done->{statuses}{200}, 200, '200 streams over 4 HTTP/2 connections');
$crowd = $t->crowd_http2('--count', 200, '--connections', 4, '--reset', 0.5, '--path', '/x?delay=1500');
$crowd->wait_event('sent');
$crowd->say('leave');
$done = $crowd->done;
is_deeply([@$done{qw(left answered failed)}], [100, 100, 0], 'every second stream is reset');

$t->reload(workers => 3);
my %old = map { $_ => 1 } @first;
is(scalar(grep { !$old{$_} } $t->workers), 3, 'a reload brings three new workers');
ok($t->wait_old_workers_gone, 'and the old ones leave');
ok(!eval { $t->reload(http => 'nonsense;'); 1 }, 'a bad configuration is refused');
like($@, qr/unknown directive "nonsense"/, 'saying why');
$t->reload(http => '');
is($t->logged('/b')->{method}, 'HEAD', 'the access log is read');

my ($victim) = $t->workers;
$t->kill_worker($victim);
ok(!grep({ $_ == $victim } $t->workers), 'a killed worker is replaced');
is($t->get('/after')->{status}, 200, 'and requests go on');

my ($exit, $output) = Intermission::nginx_t(with_module => 0);
is($exit, 0, 'nginx -t passes') or diag $output;
($exit, $output) = Intermission::nginx_t(with_module => 0, server => 'nonsense;');
isnt($exit, 0, 'and fails');
like($output, qr/unknown directive "nonsense"/, 'saying why');

my $master = $t->master;
$t->clean_ok(killed_process => 1, allow => [qr/unknown directive "nonsense"/]);
ok(!Intermission::Process::is_alive($master), 'nothing is left');
{
    my ($one, $other) = map { Intermission->new(workers => 1) } 1, 2;
    my ($worker) = $other->workers;
    $one->workers;
    $one->{workers_seen}{$worker} = 1;
    ok $one->stop, 'a process that has the pid of a worker that is gone is not taken for it';
    is_deeply [$other->workers], [$worker], 'nor killed';
    $other->clean_ok;
}

done_testing;
