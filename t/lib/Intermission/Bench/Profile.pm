package Intermission::Bench::Profile;

# Where the workers' CPU goes in a release, and in the burst through nginx alone: samples by perf, each put down to the system call that
# it was in, or to the code that ran.

use strict;
use utf8;
use warnings;
use File::Temp ();
use Intermission::Bench;
use Intermission::Bench::Held qw(server plain_server burst release);
use Intermission::Process;
use List::Util qw(sum0);
use Time::HiRes qw(sleep);

# Samples per second of CPU.
my $RATE = 4999;
# What is less than this share of all goes together, in %.
my $SMALL = 1.5;
# Which names the kernel has for calls, in this order.
my @CALLS = (
    ['write' => qr/^(?:__x64_sys_|__sys_|ksys_|do_)(?:sendto|sendmsg|writev|write|sendfile64)$/],
    ['read'  => qr/^(?:__x64_sys_|__sys_|ksys_|do_)(?:recvfrom|recvmsg|readv|read)$/],
    ['connect' => qr/_sys_connect$/], ['socket' => qr/_sys_socket$/], ['accept' => qr/_sys_accept4?$/],
    ['close' => qr/_sys_close$|^task_work_run$/], ['epoll_wait' => qr/_sys_epoll_(?:p?wait|pwait2)$/], ['epoll_ctl' => qr/_sys_epoll_ctl$/],
    # The process gives the processor to another one when a call ends.
    ['switch to another process' => qr/^exit_to_user_mode_loop$/],
    ['page faults' => qr/page_fault/], ['other calls' => qr/^__x64_sys_/],
);
my @WHERE = (['the app' => qr/^unix_stream_/], ['the client' => qr/^tcp_(?:sendmsg|recvmsg)$/],
    ['a doorbell' => qr/^eventfd_/], ['a log' => qr/^(?:ext4|xfs|shmem|generic)_\w*write/]);

# $number: how many to hold.
sub run {
    my $number = $_[0] // trial(200, 8000);
    my $runs = trial(1, 3);
    if (qx(command -v perf 2>/dev/null) !~ /\S/) {
        Intermission::Bench::remark('there is no perf (linux-perf)');
        return;
    }
    my $server = server($number);
    my $plain = plain_server($number, $server);
    for (['a release', $server, \&release], ['nginx alone, a burst', $plain, \&burst]) {
        my ($what, $of, $way) = @$_;
        my (%share, @cpu);
        for (1 .. $runs) {
            my $file = File::Temp->new;
            my $perf;
            my $run = $way->($of, $number, sub { $perf = record($file, $of->workers) });
            Intermission::Process::end($perf, [INT => 10]);
            my %found = shares($file);
            $share{$_} += $found{$_} / $runs for keys %found;
            push @cpu, $run->{cpu};
        }
        heading("Profile of $what of " . grouped($number) . ', 2 workers: CPU per request, µs');
        my $cpu = row('all', 1, @cpu);
        my $small = 0;
        for my $name (sort { $share{$b} <=> $share{$a} } keys %share) {
            if ($share{$name} < $SMALL / 100) { $small += $share{$name} }
            else { say_of("    $name, " . sprintf('%.0f %%', 100 * $share{$name}), $cpu * $share{$name}, 1) }
        }
        say_of('    all others, ' . sprintf('%.0f %%', 100 * $small), $cpu * $small, 1);
    }
    finish('nginx alone', $plain);
    finish('intermission', $server);
}

# Starts perf on these processes. Returns its pid.
sub record {
    my ($file, @pids) = @_;
    local $" = ',';
    my $perf = Intermission::Process::start('perf', ['perf', 'record', '-e', 'cpu-clock', '-F', $RATE, '-g', '-p', "@pids", '-o', "$file"]);
    sleep 0.5;
    return $perf;
}

# The share of each place.
sub shares {
    my ($file) = @_;
    my %samples;
    for my $sample (split /\n\n+/, qx(perf script -i $file -F comm,ip,sym,dso 2>/dev/null)) {
        my @frames = $sample =~ /^\s+[0-9a-f]+ (.*) \((.*?)\)$/mg or next;
        $samples{place(@frames)}++;
    }
    my $all = sum0 values %samples;
    return map { $_ => $samples{$_} / $all } keys %samples;
}

# @frames: function, object, …, the innermost first.
sub place {
    my (@frames) = @_;
    my ($function, $object) = @frames;
    return 'in the module' if $object =~ /intermission/;
    return 'in libc' if $object =~ /libc/;
    return 'in nginx' if $object =~ /nginx/;
    for my $call (@CALLS) {
        my ($name, $pattern) = @$call;
        next if !grep { /$pattern/ } @frames;
        my ($where) = $name =~ /^(?:read|write)$/ ? map { my $of = $_; grep({ /$of->[1]/ } @frames) ? $of->[0] : () } @WHERE : ();
        return "kernel: $name" . ($where ? ($name eq 'read' ? ' from ' : ' to ') . $where : '');
    }
    return 'kernel: interrupts';
}

1;
