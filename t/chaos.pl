# What scripts/chaos runs: random requests, pauses, reloads and crashes on a real nginx. Then it checks what happened.
# The exit status is 0 if nothing went wrong.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission;
use Intermission::Chaos::Checks;
use Intermission::Chaos::Records;
use Intermission::Chaos::Run;
use Intermission::Chaos::Schedule;
use Intermission::Process;
use List::Util qw(max);
use Time::HiRes ();

# AddressSanitizer keeps freed memory: then any growth is allowed.
my $unbounded = $ENV{ASAN_OPTIONS} && 9**9**9;
# By how many kB a fresh process may be larger at the end than at the start.
my $GROWTH = $unbounded || 1024;
# By how many kB a process that has worked may be larger than a fresh one.
my $WORN = $unbounded || 16_384;
# More reloads at the end, so that what each leaves behind adds up.
my $RELOADS = 10;
my $MOST_SHOWN = 10;

my $seconds = $ARGV[0] // 60;
my $seed = $ENV{SEED} // (time ^ $$ << 8) & 0xffffff;
if (@ARGV > 1 || "$seconds $seed" !~ /^[1-9]\d{0,4} \d{1,9}$/) {
    print STDERR "usage: [SEED=number] scripts/chaos [seconds]\n";
    exit 2;
}
my $faulty = $ENV{TEST_NGINX_FAULTY} // Intermission::root() . '/target/faults/ngx_http_intermission_module.so';
my $faults = $ENV{FAULTS} ? $faulty : undef;

$| = 1;
# glibc usually keeps freed memory. Here it gives it back, so that growth is seen.
@ENV{qw(MALLOC_MMAP_THRESHOLD_ MALLOC_TRIM_THRESHOLD_)} = (131_072) x 2;
my $version = qx(@{[$ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx']} -v 2>&1);
print 'chaos for ', $seconds, ' s, SEED=', $seed, ($faults ? ' FAULTS=1' : ''), ', ', $version;

# The whole run takes less time than this, or it hangs.
local $SIG{ALRM} = sub { die "chaos itself hangs\n" };
alarm 2 * $seconds + 240;

my @violations;
my $run = Intermission::Chaos::Run->new(
    module => module(), faults => !!$faults,
    violation => sub { push @violations, $_[0] },
);
my $t = $run->nginx;
my @schedule = Intermission::Chaos::Schedule::make($seed, $seconds);
my (%first, %last, %totals);
my $began = Time::HiRes::time();
eval {
    # After this restart nginx starts in the same way as after later restarts.
    $run->act({what => 'quit', pause => 0});
    reload();
    %first = fresh();
    $run->carry_out(@schedule);
    $run->calm_down;
    at_rest();
    %last = fresh();
    as_before('at first', \%first, $GROWTH);
    my %before = %last;
    reload() for 1 .. $RELOADS;
    %last = fresh();
    as_before("$RELOADS reloads before", \%before, $GROWTH / 4);
    1;
} or push @violations, "chaos itself failed: $@";
$t->end_nginx(signal => 'QUIT', seconds => 10) or push @violations, 'nginx does not quit at the end';
my $took = Time::HiRes::time() - $began;

my $checks = Intermission::Chaos::Checks->new(Intermission::Chaos::Records->new($run), \%totals);
push @violations, $checks->all;
alarm 0;

report($checks->{count});
verdict();

# ---- the module

# Returns a copy: nginx is restarted in the run, and must not load another build that is made meanwhile.
sub module {
    my $dir = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $module = $faults // Intermission::module_path();
    system('cp', $module, "$dir/module.so") == 0 or die "no module $module: scripts/build builds it\n";
    chmod 0755, $dir;
    return "$dir/module.so";
}

# ---- before and after

# The largest worker, and the master, after a reload: (worker => {memory in kB, files}, master => ...).
sub fresh {
    reload();
    return (worker => largest_when_calm($t->workers), master => largest_when_calm($t->master));
}

sub reload {
    my %before = map { $_ => 1 } $t->workers;
    $run->act({what => 'reload'});
    wait_or('new workers to be up', sub { 4 == grep { !$before{$_} } $t->workers });
    wait_or('old workers to be gone', sub { !grep { $before{$_} } Intermission::Process::children($t->master) });
}

sub largest {
    my @pids = @_;
    my @files = map { my @files = glob "/proc/$_/fd/*"; scalar @files } @pids;
    return {memory => max(map { memory($_) } @pids), files => max(@files)};
}

# The same as `largest`, when no file was opened or closed for half a second.
sub largest_when_calm {
    my (@pids) = @_;
    my ($before, $since) = (0, 0);
    my $now;
    wait_or('no files to be opened or closed', sub {
        $now = largest(@pids);
        ($before, $since) = ($now->{files}, Time::HiRes::time()) if $now->{files} != $before;
        return Time::HiRes::time() > $since + 0.5;
    });
    return $now;
}

# The process's own memory in kB, without shared memory.
sub memory {
    my ($pid) = @_;
    my ($memory) = (Intermission::slurp("/proc/$pid/status") =~ /^RssAnon:\s*(\d+) kB/m);
    return $memory // 0;
}

sub wait_or {
    my ($what, $condition) = @_;
    Intermission::Process::wait_until($condition, 15) or push @violations, "not within 15 s: $what";
}

# Checks that everything is as before the run.
sub at_rest {
    for my $app (map { $_->{name} } @Intermission::Chaos::Schedule::APPS) {
        my $status;
        my $rests = Intermission::Process::wait_until(sub {
            $status = $t->status(at => Intermission::Chaos::Run::at($app));
            return $status->{state} eq 'open' && !$status->{held} && !$status->{slots}{used};
        }, 10);
        $totals{$app} = $status->{totals};
        next if $rests;
        push @violations, "app \"$app\" does not rest: $status->{state}, $status->{held} held, $status->{slots}{used} slots used";
    }
    wait_or('old workers to be gone', sub { 4 == grep { Intermission::Process::title($_) =~ /^nginx: worker/ } Intermission::Process::children($t->master) });
    my $worn = largest_when_calm($t->workers);
    push @violations, "connections are left: $worn->{files} files open in a worker, $first{worker}{files} at first"
        if $worn->{files} > $first{worker}{files};
    push @violations, "a worker has grown to $worn->{memory} kB from $first{worker}{memory} kB"
        if $worn->{memory} > $first{worker}{memory} + $WORN;
    $first{worn} = $worn;
}

sub as_before {
    my ($when, $before, $growth) = @_;
    for my $what (qw(worker master)) {
        push @violations, "$what: $last{$what}{memory} kB of memory, $before->{$what}{memory} kB $when"
            if $last{$what}{memory} > $before->{$what}{memory} + $growth;
        push @violations, "$what: $last{$what}{files} files open, $before->{$what}{files} $when"
            if $last{$what}{files} > $before->{$what}{files};
    }
}

# ---- the report

sub report {
    my ($count) = @_;
    my %done = %{$run->{count}};
    my %downs;
    $downs{$_->{what}}++ for @{$run->{downs}};
    printf "took %.1f s; %d pauses, %d verbs (%d cut off), %d reloads, %d workers killed, restarts: %s\n", $took,
        $count->{pauses} // 0, $done{verbs} // 0, $done{verbs_cut} // 0, scalar @{$run->{reloads}},
        ($done{killed} // 0) + ($done{faults} // 0), join(', ', map { "$_ $downs{$_}" } sort keys %downs) || 'none';
    my $killed = grep { $_->{killed} } $run->crowds;
    printf "the app that comes and goes: %d times killed, %d times stopped in order; %d workers killed that had tried it\n",
        (map { $run->outages->count($_) } qw(kill stop)), $run->outages->heads;
    printf "%d crowds (%d skipped, %d killed), %d idle clients, %d helpers killed\n", scalar($run->crowds), $run->{skipped}, $killed,
        $done{idle} // 0, $done{helpers_killed} // 0;
    my %told = (%$count, map { $_ => $done{$_} } grep { /^waited/ } keys %done);
    for my $name (grep { $_ !~ /^(?:pauses|slowest)$/ } sort keys %told) {
        printf "  %-70s %8d\n", $name, $told{$name};
    }
    printf "slowest request, without its hold: %.3f s\n", $count->{slowest} // 0;
    return if !%last;
    printf "fresh worker: %d kB, %d files, at last %d kB, %d; one that has worked: %d kB, %d; master: %d kB, %d files, at last %d kB, %d\n",
        map { @$_{qw(memory files)} } $first{worker}, $last{worker}, $first{worn}, $first{master}, $last{master};
}

sub verdict {
    if (!@violations) {
        print "chaos: nothing went wrong\n";
        exit 0;
    }
    $File::Temp::KEEP_ALL = 1;
    open my $file, '>', $t->dir . '/violations' or die "violations: $!";
    print $file "$_\n" for @violations;
    close $file;
    my @shown = @violations[0 .. ($#violations < $MOST_SHOWN ? $#violations : $MOST_SHOWN)];
    print "VIOLATION: $_\n" for @shown;
    print "chaos: ", scalar @violations, " violations; SEED=$seed scripts/chaos $seconds; all of it is in ", $t->dir, "\n";
    exit 1;
}
