# A large zone costs only the memory that is used, at the start and in a repair.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $faulty = $ENV{TEST_NGINX_FAULTY} // Intermission::root() . '/target/faults/ngx_http_intermission_module.so';
my $http = 'intermission_zone 512m;';

# How much shared memory a process has touched, in MB.
sub touched {
    my ($pid) = @_;
    my ($kb) = (Intermission::Process::slurp("/proc/$pid/status") // '') =~ /^RssShmem:\s+(\d+) kB/m;
    return defined $kb ? $kb / 1024 : die "no RssShmem of $pid";
}

sub touches_little {
    my ($what, @pids) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($most) = sort { $b <=> $a } map { touched($_) } @pids;
    return cmp_ok $most, '<', 64, sprintf "$what: %.1f MB of 512", $most;
}

subtest 'a large zone costs only what is used of it' => sub {
    my $t = Intermission->new(workers => 2, http => $http);
    touches_little('the master that makes it', $t->master);
    cmp_ok $t->status->{slots}{total}, '>', 5_000_000, 'a large zone has all of its slots';
    $t->control('enable');
    my @held = map { $t->send("/$_") } 1 .. 20;
    $t->wait_held(20);
    $t->control('disable');
    is scalar(grep { $_->response->{status} == 200 } @held), 20, 'a large zone holds and releases';
    touches_little('workers that use some of it', $t->workers);
    $t->reload;
    touches_little('workers after a reload', $t->workers);
    $t->clean_ok;
};

subtest 'a repair costs only what is used of a large zone' => sub {
    plan skip_all => 'no module with faults: scripts/test builds it' if !-e $faulty;
    my $t = Intermission->new(workers => 2, http => $http, module => $faulty);
    chmod 0777, $t->dir;
    $t->control('enable');
    my @held = map { $t->send("/$_") } 1 .. 20;
    $t->wait_held(20);
    Intermission::write_file($t->dir . '/fault', 3);
    $t->wait_for(sub { ($t->control('disable')->{status} // '') =~ /^(?:200|304)$/ }, 'an answer to disable');
    $t->wait_log(qr/died while it held the lock: the tables were repaired/);
    $_->response for @held;
    $t->wait_for(sub { $t->workers == 2 }, 'two workers to be up');
    touches_little('a repair', $t->workers);
    $t->wait_state('open');
    $t->clean_ok(killed_process => 1);
};

done_testing;
