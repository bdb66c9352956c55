# The state file: its owner, a slow disk, a lock of another process, and what the operator is told.

use strict;
use warnings;
use lib 't/lib';
use Compress::Zlib ();
use Fcntl ();
use File::Temp ();
use Intermission;
use JSON::PP ();
use Test::More;
use Time::HiRes ();

my $RECORD = 4 << 20;

sub instance {
    my (%conf) = @_;
    return Intermission->new(workers => 2, http => "intermission_state_file state;\n", %conf);
}

# Changes the newest record, as if nginx had written it so.
sub rewrite {
    my ($t, $change) = @_;
    open my $f, '+<', $t->dir . '/state' or die "state: $!";
    local $/;
    my $content = <$f>;
    my ($number, $place, $json) = (0);
    for my $at (0, $RECORD) {
        my ($one, $length) = substr($content, $at, 64) =~ /^intermission 1 (\d+) (\d+) / or next;
        ($number, $place, $json) = ($one, $at, substr $content, $at + 64, $length) if $one > $number;
    }
    my $state = JSON::PP::decode_json($json);
    $change->($state);
    $json = JSON::PP::encode_json($state);
    my $sum = Compress::Zlib::crc32(pack('Q<', $number) . $json);
    my $line = sprintf 'intermission 1 %020d %08d %08x', $number, length $json, $sum;
    seek $f, $place, 0;
    print {$f} sprintf("%-63s\n", $line), $json;
    close $f or die "state: $!";
}

subtest 'a file that others could change is not used' => sub {
    my $t = instance();
    $t->control('enable');
    $t->end_nginx;
    my $file = $t->dir . '/state';
    my $keep = $t->dir . '/keep';
    rename $file, $keep or die $!;
    my %file = (
        'a symbolic link' => [sub { symlink 'keep', $file }, 'it is a symbolic link'],
        'a symbolic link to nothing' => [sub { symlink 'made-by-root', $file }, 'it is a symbolic link'],
        'a hard link' => [sub { link $keep, $file }, 'it has more than one hard link'],
        'a FIFO' => [sub { system 'mkfifo', '-m', 600, $file }, 'it is not a regular file'],
        'a file that others may read' => [sub { system "cp $keep $file; chmod 644 $file" }, 'other users may read or write it'],
        $> == 0 ? ('a file of the workers\' user' => [sub { system "cp $keep $file; chown nobody $file; chmod 600 $file" }, 'it does not belong to the user']) : (),
    );
    for my $what (sort keys %file) {
        my ($make, $why) = @{$file{$what}};
        $make->();
        my (undef, $said) = test_conf($t);
        like $said, qr/\[error\].*"intermission_state_file" "\Q$file\E" cannot be used: $why/, "$what: nginx -t says so";
        $t->start_nginx;
        $t->wait_log(qr/\[error\].*"\Q$file\E" cannot be used: $why.*: a restart forgets the pauses/);
        is $t->status->{state}, 'open', "$what: nginx starts with the app open";
        is $t->control('enable')->{status}, 200, "$what: nginx can pause without a state file";
        $t->control('disable');
        $t->end_nginx;
        unlink $file or die $!;
    }
    ok !-e $t->dir . '/made-by-root', 'a link that leads elsewhere: no file was made there';
    rename $keep, $file or die $!;
    $t->start_nginx;
    is $t->status->{state}, 'paused', 'the state file itself was left as it was';
    $t->control('disable');
    $t->clean_ok(allow => [qr/cannot be used/]);
};

subtest 'the umask does not open the state file to others' => sub {
    my $old = umask 0777;
    my $t = eval { instance() } or diag $@;
    umask $old;
    is sprintf('%o', (stat $t->dir . '/state')[2] & 07777), '600', 'the file is its owner\'s, whatever the umask is';
    $t->clean_ok;
};

# `nginx -t` on the configuration of an nginx that does not run.
sub test_conf {
    my ($t) = @_;
    my $dir = $t->dir;
    open my $output, '>', "$dir/output" or die $!;
    my $pid = Intermission::Process::start('nginx -t', Intermission::command($dir, '-t'), stdout => $output, stderr => $output);
    my $status;
    $t->wait_for(sub { defined($status = Intermission::Process::reaped($pid)) }, 'nginx -t to end');
    return ($status >> 8, Intermission::Process::slurp("$dir/output"));
}

subtest 'a folder that cannot have a state file is refused' => sub {
    my %folder = (
        '/nonexistent/state' => 'the folder "/nonexistent" cannot be used: No such file',
        '/dev/null/state' => 'the folder "/dev/null" cannot be used: Not a directory',
        '/tmp/state' => 'the folder "/tmp" must belong to root',
        '@DIR@/open/state' => 'the folder "\S+/open" must belong to root, and no other user may write to it',
        '@DIR@/link/state' => 'the folder "\S+/open" must belong to root',
        '@DIR@/open/below/state' => 'the folder "\S+/open" must belong to root',
    );
    my $t = instance(http => '');
    my $dir = $t->dir;
    mkdir "$dir/open" or die $!;
    mkdir "$dir/open/below" or die $!;
    chmod 0777, "$dir/open" or die $!;
    symlink 'open/below', "$dir/link" or die $!;
    for my $path (sort keys %folder) {
        my $real = $path =~ s/\@DIR\@/$dir/r;
        my ($exit, $said) = Intermission::nginx_t(http => "intermission_state_file $real;\n");
        isnt $exit, 0, "$path: nginx -t fails";
        like $said, qr/\[emerg\].*"intermission_state_file" "\Q$real\E": $folder{$path}.* in .*nginx.conf:\d+/, "$path: nginx -t says why, and in which line";
    }
    $t->control('enable');
    $t->hup(http => "intermission_state_file /nonexistent/state;\n");
    $t->wait_log(qr/\[emerg\].*the folder "\/nonexistent" cannot be used/);
    is $t->status->{state}, 'paused', 'a reload with a folder that cannot have a state file is refused';
    $t->control('disable');
    $t->clean_ok(allow => [qr/the folder "\/nonexistent"/]);
};

subtest 'the lines of the start are in the configured log' => sub {
    my $t = instance(main => 'error_log @DIR@/own.log notice;');
    my $own = sub { Intermission::Process::slurp($t->dir . '/own.log') };
    $t->control('enable?for=1h');
    $t->end_nginx;
    $t->start_nginx;
    like $own->(), qr/\[notice\].*app "basecamp": still paused, pause \d+, restored/, 'the configured log has the restored pause';
    $t->control('disable');
    $t->control('enable?for=1ms');
    $t->wait_state('open');
    $t->control('enable?for=1h');
    $t->end_nginx;
    rewrite($t, sub { $_[0]{saved}[0]{left} = 0 });
    $t->start_nginx;
    like $own->(), qr/\[notice\].*its lease ended before nginx started: the app is open/, 'the configured log has the lease that ended';
    $t->end_nginx;
    chmod 0644, $t->dir . '/state';
    $t->start_nginx;
    like $own->(), qr/\[error\].*"intermission_state_file" .* cannot be used/, 'the configured log has what is wrong with the state file';
    chmod 0600, $t->dir . '/state';
    $t->reload(main => 'error_log @DIR@/own.log notice; error_log @DIR@/new.log notice;', http => "intermission_state_file notes;\n");
    $t->end_nginx;
    open my $f, '>', $t->dir . '/notes' or die $!;
    print $f 'mine';
    close $f;
    $t->start_nginx;
    like Intermission::Process::slurp($t->dir . '/new.log'), qr/\[error\].*notes" is not a state file/, 'each configured log has what is wrong with the new state file';
    $t->clean_ok(allow => [qr/cannot be used|is not a state file/]);
};

subtest 'a restored lease is never longer than what was left of it' => sub {
    my $t = instance();
    my $day = 24 * 60 * 60 * 1000;
    $t->control('enable?for=60s');
    $t->end_nginx;
    # As if the machine had restarted, with its clock a day behind.
    rewrite($t, sub {
        my ($state) = @_;
        $state->{written}{boot} = 'another';
        $_ += $day for $state->{written}{wall}, @{$state->{saved}[0]}{qw(began until)};
    });
    $t->start_nginx;
    my $status = $t->status;
    is $status->{state}, 'paused', 'a clock that is a day behind: the pause is restored';
    my $until = do { my ($d, $h, $m, $s) = $t->status->{until} =~ /-(\d\d)T(\d\d):(\d\d):(\d\d)/; (($d * 24 + $h) * 60 + $m) * 60 + $s };
    my $now = do { my @now = gmtime; (($now[3] * 24 + $now[2]) * 60 + $now[1]) * 60 + $now[0] };
    cmp_ok $until - $now, '<=', 61, 'a clock that is a day behind: the lease ends within its minute';
    cmp_ok $until - $now, '>', 30, 'a clock that is a day behind: the lease does not end at once';
    $t->control('disable');
    $t->clean_ok;
};

# Returns a library that makes the disk slow, and a function that sets how many seconds fdatasync takes.
sub slow_disk {
    my $dir = File::Temp::tempdir(CLEANUP => 1);
    chmod 0755, $dir;
    open my $c, '>', "$dir/slow.c" or die $!;
    print $c <<"END";
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int fdatasync(int fd) {
    double seconds = 0;
    FILE *f = fopen("$dir/seconds", "r");
    if (f) { if (fscanf(f, "%lf", &seconds) != 1) seconds = 0; fclose(f); }
    usleep(seconds * 1e6);
    return syscall(SYS_fdatasync, fd);
}
END
    close $c;
    system('cc', '-shared', '-fPIC', '-o', "$dir/slow.so", "$dir/slow.c") == 0 or die 'cc';
    my $takes = sub {
        open my $f, '>', "$dir/seconds.new" or die $!;
        print $f $_[0];
        close $f;
        rename "$dir/seconds.new", "$dir/seconds" or die $!;
    };
    return ("$dir/slow.so", $takes);
}

sub since { sprintf '%.3f', Time::HiRes::time() - $_[0] }

my ($library, $takes) = slow_disk();

subtest 'a slow disk delays the answer to the operator, and nothing else' => sub {
    local $ENV{LD_PRELOAD} = $library;
    my $t = instance(locations => $Intermission::Conf::LOCATIONS . <<'END');
location = /brief { intermission off; return 204; }
END
    $t->control('enable');
    my @held = map { $t->send("/$_") } 1 .. 8;
    $t->wait_held(8);
    $takes->(2);
    my $start = Time::HiRes::time();
    my $disable = $t->send('/_intermission/disable');
    $_->response for @held;
    cmp_ok since($start), '<', 1, 'a slow disk: held requests are released at once';
    $t->get('/brief') for 1 .. 20;
    cmp_ok since($start), '<', 1, 'a slow disk: other requests are answered at once';
    is $disable->response->{status}, 200, 'a slow disk: disable is answered';
    cmp_ok since($start), '>', 1.9, 'a slow disk: disable is answered when the change is on the disk';

    $start = Time::HiRes::time();
    my @many = map { $t->send('/_intermission/' . ($_ % 2 ? 'enable' : 'disable')) } 1 .. 9;
    $_->response(20) for @many;
    cmp_ok since($start), '<', 10, 'a slow disk: many changes are written together';
    $start = Time::HiRes::time();
    is $t->control('enable?wait=5s')->{status}, 200, 'a slow disk: enable?wait= is answered with 200';
    cmp_ok since($start), '>', 1.9, 'a slow disk: enable?wait= is answered when the pause is on the disk';
    $t->control('disable');
    $start = Time::HiRes::time();
    $t->control('enable?for=2500ms');
    my $held = $t->send('/lease');
    $held->response;
    cmp_ok since($start), '<', 3.5, 'a slow disk: a lease ends at its time';
    my $gone = $t->send('/_intermission/stop');
    $t->wait_state('stopped');
    $gone->close;
    $takes->(0);
    $t->control('disable');
    $t->clean_ok;
};

subtest 'a change on its way to the disk gets there before nginx quits' => sub {
    local $ENV{LD_PRELOAD} = $library;
    my $t = instance();
    $t->control('enable?for=500ms');
    $takes->(0.6);
    $t->wait_log(qr/lease ended/);
    my $answer = $t->send('/_intermission/enable?reason=last');
    $t->wait_state('paused');
    ok $t->end_nginx(signal => 'QUIT'), 'a change on its way to the disk: nginx quits';
    is $answer->response->{status}, 200, 'a change on its way to the disk is answered before nginx quits';
    $takes->(0);
    $t->start_nginx;
    is $t->status->{reason}, 'last', 'a change that was answered while nginx quits is restored';
    $t->control('disable');
    $t->clean_ok;
};

# Locks the state file, as another process would. Closing the returned handle unlocks it.
sub lock_file {
    my ($t) = @_;
    open my $f, '+<', $t->dir . '/state' or die $!;
    my $lock = pack 's s x4 q q l x4', Fcntl::F_WRLCK(), 0, 0, 0, 0;
    fcntl $f, Fcntl::F_SETLK(), $lock or die "lock: $!";
    return $f;
}

subtest 'a state file that another process locks delays nothing for long' => sub {
    my $t = instance();
    is $t->status->{state_file}, 'ok', 'a good state file: the status says ok';
    my $lock = lock_file($t);
    my $start = Time::HiRes::time();
    my $enable = $t->send('/_intermission/enable');
    $t->wait_state('paused');
    $t->get('/up') for 1 .. 20;
    cmp_ok since($start), '<', 0.9, 'a locked state file: requests are answered';
    is $enable->response->{status}, 200, 'a locked state file: enable is answered';
    cmp_ok since($start), '<', 3, 'a locked state file: enable is answered soon';
    $t->wait_log(qr/\[error\].*"intermission_state_file" ".*" cannot be written: another process has locked it/);
    like $t->status->{state_file}, qr/^cannot be written: another process has locked it/, 'a locked state file: the status says so';
    like $t->control('metrics')->{body}, qr/^intermission_state_file_ok 0$/m, 'a locked state file: the metrics say so';
    close $lock;
    $t->wait_for(sub { $t->status->{state_file} eq 'ok' }, 'the status to say that the state file is ok', 15);
    $t->wait_log(qr/\[notice\].*"intermission_state_file" ".*" works again/);
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'paused', 'a locked state file: the app is paused';
    $lock = lock_file($t);
    $start = Time::HiRes::time();
    $t->reload;
    cmp_ok since($start), '<', 5, 'a locked state file: a reload goes on';
    close $lock;
    $t->control('disable');
    is $t->status->{state_file}, 'ok', 'a state file that is free again: the next change is written';
    $t->clean_ok(allow => [qr/another process has locked it/]);
};

subtest 'the status of every worker says what is wrong with the state file' => sub {
    my $t = instance(workers => 4);
    my $says = sub {
        my %said = map { $t->status->{state_file} => 1 } 1 .. 20;
        return join '|', sort keys %said;
    };
    is $says->(), 'ok', 'a good state file: all workers say ok';
    like $t->control('metrics')->{body}, qr/^intermission_state_file_ok 1$/m, 'a good state file: the metrics say ok';
    unlink $t->dir . '/state' or die $!;
    $t->control('enable');
    like $says->(), qr/^was removed or replaced: [^|]*$/, 'a state file that was removed: all workers say so';
    $t->reload;
    is $says->(), 'ok', 'a state file that a reload makes anew: all workers say ok';
    $t->end_nginx;
    chmod 0644, $t->dir . '/state';
    $t->start_nginx;
    like $says->(), qr/^cannot be used: other users may read or write it [^|]*$/, 'a state file that others may read: all workers say so';
    $t->reload(http => '');
    is $says->(), 'off', 'no state file: all workers say off';
    like $t->control('metrics')->{body}, qr/^intermission_state_file_ok 1$/m, 'no state file: the metrics say ok, as it is configured so';
    $t->clean_ok(allow => [qr/was removed|cannot be used/]);
};

subtest 'changes by an old worker are in the file of the newest configuration' => sub {
    local $ENV{LD_PRELOAD} = $library;
    for my $before ('intermission_state_file before;', '') {
        my $t = instance(http => $before, backend => ['--delay', 1500]);
        my $slow = $t->send('/slow');
        $t->wait_backend(1);
        my $waits = $t->send('/_intermission/enable?wait=8s');
        $t->wait_state('paused');
        $t->reload(http => 'intermission_state_file state;');
        $takes->(2);
        is $slow->response->{status}, 200, 'the slow request of an old worker is answered';
        my $start = Time::HiRes::time();
        is $waits->response->{status}, 200, 'enable?wait= on an old worker is answered';
        cmp_ok since($start), '>', 1.8, 'enable?wait= on an old worker is answered when the pause is on the disk';
        $takes->(0);
        $t->wait_old_workers_gone;
        $t->end_nginx;
        $t->start_nginx;
        is $t->status->{state}, 'paused', 'a pause of an old worker is in the file of the newest configuration';
        $t->control('disable');
        $t->clean_ok;
    }
};

done_testing;
