# With a state file a restart keeps the pauses, and nothing brings an older state back.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;
use Time::HiRes ();

sub instance {
    my (%conf) = @_;
    my $t = Intermission->new(workers => 2, http => "intermission_state_file state;\n", %conf);
    return $t;
}

my $file = sub { $_[0]->dir . '/state' };

subtest 'a restart keeps a pause' => sub {
    my $t = instance();
    is sprintf('%o', (stat $file->($t))[2] & 07777), '600', "the state file is its owner's alone";
    $t->control('enable?reason=db%20switch');
    my $before = $t->status;
    ok $t->end_nginx(signal => 'TERM'), 'nginx with a pause is stopped';
    $t->start_nginx;
    my $after = $t->status;
    is_deeply [@$after{qw(state pause since reason by)}], [@$before{qw(state pause since reason by)}], 'after the restart the pause is as it was';
    $t->wait_log(qr/\[notice\].*app "basecamp": still paused, pause $before->{pause}, restored from ".*state"/);
    my $held = $t->send('/');
    $t->wait_held(1);
    $t->control('disable');
    is $held->response->{status}, 200, 'after the restart the pause ends, and its held request is answered';
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'open', 'an app that was open at the stop is open at the start';
    cmp_ok $t->control('enable')->{headers}{'intermission-pause'}, '>', $before->{pause}, 'the next pause has a greater number than any before the restart';

    $t->control('stop');
    ok $t->end_nginx(signal => 'QUIT'), 'nginx with a stopped app quits';
    $t->start_nginx;
    is $t->status->{state}, 'stopped', 'a restart keeps a stop';
    $t->control('disable');
    $t->clean_ok;
};

subtest 'a lease counts on over a restart' => sub {
    my $t = instance();
    $t->control('enable?for=2s');
    my $until = $t->status->{until};
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{until}, $until, 'a lease goes on over a restart';
    $t->wait_state('open');
    pass 'a lease ends after a restart';
    $t->control('enable?for=200ms');
    $t->end_nginx;
    my $end = Time::HiRes::time() + 0.3;
    $t->wait_for(sub { Time::HiRes::time() > $end }, 'the time of the lease to be over');
    $t->start_nginx;
    is $t->status->{state}, 'open', 'a lease that ended while nginx was down: the app is open';
    $t->clean_ok;
};

subtest 'kill -9 of all processes loses no answered change' => sub {
    # All processes are killed at once, at any moment. The state must not be older than the last answered change.
    my $t = instance();
    my $wrong = 0;
    for my $round (1 .. 15) {
        my @answers;
        my ($last, $answered) = ('disable', 0);
        my $verb = 'enable';
        my $stop_after = 1 + $round % 7;
        for (1 .. $stop_after) {
            my $answer = $t->control($verb);
            $last = $verb if $answer->{status} == 200;
            $verb = $verb eq 'enable' ? 'disable' : 'enable';
        }
        # One more change has begun: it may be answered or not.
        my $racing = $t->send("/_intermission/$verb");
        my @pids = ($t->master, $t->workers);
        kill KILL => @pids;
        my $status = eval { $racing->response(2)->{status} } // 0;
        $t->end_nginx;
        $t->start_nginx;
        my $state = $t->status->{state};
        my %after = (enable => 'paused', disable => 'open');
        my @allowed = $status == 200 ? ($after{$verb}) : ($after{$last}, $after{$verb});
        $wrong++, diag "round $round: $state after $last, then $verb ($status)" if !grep { $_ eq $state } @allowed;
        $t->control('disable');
    }
    is $wrong, 0, 'kill -9 of all processes loses no answered change';
    $t->clean_ok(killed_process => 1);
};

subtest 'a broken state file is replaced' => sub {
    my $t = instance();
    $t->control('enable');
    $t->end_nginx;
    open my $f, '+<', $file->($t) or die $!;
    seek $f, $_, 0 and print $f 'broken' for 70, (4 << 20) + 70;
    close $f;
    $t->start_nginx;
    is $t->status->{state}, 'open', 'nginx starts with a broken file';
    $t->wait_log(qr/\[error\].*"intermission_state_file" ".*state" is broken: no pause is restored/);
    $t->control('enable');
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'paused', 'after the start with a broken file the next pause is kept';
    $t->control('disable');
    $t->clean_ok(allow => [qr/is broken/]);
};

subtest 'a state file that cannot be used does not stop a pause' => sub {
    my $t = instance(http => "intermission_state_file notes.txt;\n");
    $t->end_nginx;
    my $notes = $t->dir . '/notes.txt';
    open my $f, '>', $notes or die $!;
    print $f "my notes\n";
    close $f;
    $t->start_nginx;
    is $t->control('enable')->{status}, 200, "a file that is no state file: the pause works";
    $t->wait_log(qr/\[error\].*notes\.txt" is not a state file: it is not changed/);
    open $f, '<', $notes or die $!;
    is join('', <$f>), "my notes\n", "a file that is no state file is not changed";
    $t->control('disable');
    $t->clean_ok(allow => [qr/is not a state file/]);
};

for my $path ('/dev/null', '/tmp') {
    subtest "$path as the state file: nginx starts, pauses and resumes without it" => sub {
        my $t = instance(http => "intermission_state_file $path;\n");
        $t->wait_log(qr/\[error\].*"intermission_state_file" "\Q$path\E" cannot be used: .*: a restart forgets the pauses/);
        is $t->control('enable')->{status}, 200, "$path: nginx starts, and pauses";
        is $t->control('disable')->{status}, 200, "$path: nginx resumes";
        $t->clean_ok(allow => [qr/cannot be used/]);
    };
}

subtest 'a full disk does not stop a pause' => sub {
    my $t = instance();
    mkdir $t->dir . '/small' or die $!;
    plan skip_all => 'cannot mount a file system' if $> != 0 || system('mount -t tmpfs -o size=16k,mode=755 tmpfs ' . $t->dir . '/small 2>/dev/null') != 0;
    $t->end_nginx;
    $t->{conf}{http} = "intermission_state_file small/state;\n";
    $t->start_nginx;
    open my $f, '>', $t->dir . '/small/filler' or die $!;
    syswrite $f, 'x' x 4096 or last for 1 .. 8;
    close $f;
    is $t->control('enable')->{status}, 200, 'a full disk: the pause works';
    $t->wait_log(qr/\[error\].*cannot be written: .*a restart may forget pauses/);
    is $t->status->{state}, 'paused', 'a full disk: the pause counts';
    like $t->status->{state_file}, qr/^cannot be written: No space left/, 'a full disk: the status says that the state file cannot be written';
    is $t->control('disable')->{status}, 200, 'a full disk: the pause can be ended';
    $t->clean_ok(allow => [qr/cannot be written/]);
    system 'umount ' . $t->dir . '/small';
};

subtest 'a reload with another state file moves the pauses' => sub {
    my $t = instance();
    $t->control('enable');
    $t->reload(http => "intermission_state_file other;\n");
    is $t->status->{state}, 'paused', 'a reload with another state file keeps the pause';
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'paused', 'a reload with another state file: the pause is in the new file';
    my ($exit, $output) = Intermission::nginx_t(http => "intermission_state_file a;\nintermission_state_file b;\n");
    isnt $exit, 0, 'two state files are refused';
    like $output, qr/"intermission_state_file" directive is duplicate/, 'two state files are refused: the answer names the directive';
    $t->control('disable');
    $t->clean_ok;
};

subtest "a pause's number is never used twice" => sub {
    # Numbers rise over a restart without a state file, and over a zone of another size.
    my $t = instance(http => '');
    my $mine = $t->control('enable?new=1')->{headers}{'intermission-pause'};
    $t->control("disable?id=$mine");
    my $last = $t->control('enable?new=1')->{headers}{'intermission-pause'};
    cmp_ok $last, '<', 2**53, "a pause's number is small enough for JSON readers (below 2**53)";
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'open', 'a restart without a state file forgets the pause';
    my $other = $t->control('enable?new=1')->{headers}{'intermission-pause'};
    cmp_ok $other, '>', $last, 'the next pause after a restart without a state file has another number';
    is $t->control("disable?id=$_")->{status}, 409, "a late disable of $_ from before the restart: 409" for $mine, $last;
    $t->control('disable');
    $t->wait_state('open');
    for (1 .. 300) { $t->control($_) for 'enable', 'disable' }
    $last = $t->status->{pause};
    $t->reload(http => "intermission_zone 2m;\n");
    $t->wait_old_workers_gone;
    cmp_ok $t->control('enable')->{headers}{'intermission-pause'}, '>', $last, 'a zone of another size: the numbers of pauses go on';
    $t->control('disable');
    $t->clean_ok;
};

subtest 'no older state comes back' => sub {
    # Neither a second nginx that cannot start, nor a file that was not in use, restores a state.
    my $t = instance();
    $t->control('enable');
    for (1, 2) {
        my $pid = Intermission::Process::start('nginx', Intermission::command($t->dir));
        $t->wait_for(sub { defined Intermission::Process::reaped($pid) }, 'the second nginx to give up');
    }
    $t->control('disable');
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'open', 'a second nginx that did not start changes nothing';

    $t->control('enable');
    $t->end_nginx;
    $t->{conf}{http} = '';
    $t->start_nginx;
    is $t->status->{state}, 'open', 'a restart without the directive restores nothing';
    $t->reload(http => "intermission_state_file state;\n");
    is $t->status->{state}, 'open', 'a reload with an old state file restores nothing';
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'open', 'a restart after that reload restores nothing';
    $t->clean_ok(allow => [qr/bind\(\)|still could not bind/]);
};

done_testing;
