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

{
    my $t = instance();
    is sprintf('%o', (stat $file->($t))[2] & 07777), '600', 'the state file is its owner\'s alone';
    $t->control('enable?reason=db%20switch');
    my $before = $t->status;
    ok $t->end_nginx(signal => 'TERM'), 'nginx is stopped';
    $t->start_nginx;
    my $after = $t->status;
    is_deeply [@$after{qw(state pause since reason by)}], [@$before{qw(state pause since reason by)}], 'and starts paused as it was';
    $t->wait_log(qr/\[notice\].*app "basecamp": still paused, pause $before->{pause}, restored from ".*state"/);
    my $held = $t->send('/');
    $t->wait_held(1);
    $t->control('disable');
    is $held->response->{status}, 200, 'the pause ends as usual';
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'open', 'what was open at the stop is open at the start';
    cmp_ok $t->control('enable')->{headers}{'intermission-pause'}, '>', $before->{pause}, 'numbers go on: none is used twice';

    $t->control('stop');
    ok $t->end_nginx(signal => 'QUIT'), 'nginx quits';
    $t->start_nginx;
    is $t->status->{state}, 'stopped', 'a stop is kept too';
    $t->control('disable');
    $t->clean_ok;
}

{
    my $t = instance();
    $t->control('enable?for=2s');
    my $until = $t->status->{until};
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{until}, $until, 'a lease counts on';
    $t->wait_state('open');
    pass 'and ends';
    $t->control('enable?for=200ms');
    $t->end_nginx;
    my $end = Time::HiRes::time() + 0.3;
    $t->wait_for(sub { Time::HiRes::time() > $end }, 'the end of the lease');
    $t->start_nginx;
    is $t->status->{state}, 'open', 'one that ended meanwhile is over';
    $t->clean_ok;
}

{
    # Killed at any moment, everything at once: never an older state than one that was answered.
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
        # One more is under way, answered or not.
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
    is $wrong, 0, 'kill -9 of everything loses no answered change';
    $t->clean_ok(killed_process => 1);
}

{
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
    is $t->status->{state}, 'paused', 'which is a good one from then on';
    $t->control('disable');
    $t->clean_ok(allow => [qr/is broken/]);
}

{
    my $t = instance(http => "intermission_state_file notes.txt;\n");
    $t->end_nginx;
    my $notes = $t->dir . '/notes.txt';
    open my $f, '>', $notes or die $!;
    print $f "my notes\n";
    close $f;
    $t->start_nginx;
    is $t->control('enable')->{status}, 200, "somebody else's file: the pause works";
    $t->wait_log(qr/\[error\].*notes\.txt" is not a state file: it is left alone/);
    open $f, '<', $notes or die $!;
    is join('', <$f>), "my notes\n", 'and the file is left alone';
    $t->control('disable');
    $t->clean_ok(allow => [qr/is not a state file/]);
}

for my $path ('/dev/null', '/tmp') {
    my $t = instance(http => "intermission_state_file $path;\n");
    $t->wait_log(qr/\[error\].*"intermission_state_file" "\Q$path\E" cannot be used: .*: pauses are not kept/);
    is $t->control('enable')->{status}, 200, "$path: nginx starts, and pauses";
    is $t->control('disable')->{status}, 200, "$path: and resumes";
    $t->clean_ok(allow => [qr/cannot be used/]);
}

SKIP: {
    my $t = instance();
    mkdir $t->dir . '/small' or die $!;
    skip 'cannot mount a file system', 4 if $> != 0 || system('mount -t tmpfs -o size=16k,mode=755 tmpfs ' . $t->dir . '/small 2>/dev/null') != 0;
    $t->end_nginx;
    $t->{conf}{http} = "intermission_state_file small/state;\n";
    $t->start_nginx;
    open my $f, '>', $t->dir . '/small/filler' or die $!;
    syswrite $f, 'x' x 4096 or last for 1 .. 8;
    close $f;
    is $t->control('enable')->{status}, 200, 'a full disk: the pause works';
    $t->wait_log(qr/\[error\].*cannot be written: .*a restart may forget pauses/);
    is $t->status->{state}, 'paused', 'in memory';
    like $t->status->{state_file}, qr/^cannot be written: No space left/, 'the status says so';
    is $t->control('disable')->{status}, 200, 'and ends';
    $t->clean_ok(allow => [qr/cannot be written/]);
    system 'umount ' . $t->dir . '/small';
}

{
    my $t = instance();
    $t->control('enable');
    $t->reload(http => "intermission_state_file other;\n");
    is $t->status->{state}, 'paused', 'a reload with another state file keeps the pause';
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'paused', 'and writes it there';
    my ($exit, $output) = Intermission::nginx_t(http => "intermission_state_file a;\nintermission_state_file b;\n");
    isnt $exit, 0, 'two state files are refused';
    like $output, qr/"intermission_state_file" directive is duplicate/, 'by name';
    $t->control('disable');
    $t->clean_ok;
}

{
    # Without a state file, and with another size: a number is never given again.
    my $t = instance(http => '');
    my $mine = $t->control('enable?new=1')->{headers}{'intermission-pause'};
    $t->control("disable?id=$mine");
    my $last = $t->control('enable?new=1')->{headers}{'intermission-pause'};
    cmp_ok $last, '<', 2**53, 'a number that no reader of JSON rounds';
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'open', 'a restart without a state file forgets the pause';
    my $other = $t->control('enable?new=1')->{headers}{'intermission-pause'};
    cmp_ok $other, '>', $last, 'but the next one has another number';
    is $t->control("disable?id=$_")->{status}, 409, "a late disable of $_ does not end it" for $mine, $last;
    $t->control('disable');
    $t->wait_state('open');
    for (1 .. 300) { $t->control($_) for 'enable', 'disable' }
    $last = $t->status->{pause};
    $t->reload(http => "intermission_zone 2m;\n");
    $t->wait_old_workers_gone;
    cmp_ok $t->control('enable')->{headers}{'intermission-pause'}, '>', $last, 'nor does a zone of another size begin anew';
    $t->control('disable');
    $t->clean_ok;
}

{
    # A second nginx that cannot start, and a file that was not in use: neither brings anything back.
    my $t = instance();
    $t->control('enable');
    for (1, 2) {
        my $pid = Intermission::Process::start('nginx', Intermission::command($t->dir));
        $t->wait_for(sub { defined Intermission::Process::reaped($pid) }, 'a second nginx gives up');
    }
    $t->control('disable');
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'open', 'a second nginx that did not start changes nothing';

    $t->control('enable');
    $t->end_nginx;
    $t->{conf}{http} = '';
    $t->start_nginx;
    is $t->status->{state}, 'open', 'without the directive nothing is restored';
    $t->reload(http => "intermission_state_file state;\n");
    is $t->status->{state}, 'open', 'nor by a reload with it';
    $t->end_nginx;
    $t->start_nginx;
    is $t->status->{state}, 'open', 'nor by the restart after that';
    $t->clean_ok(allow => [qr/bind\(\)|still could not bind/]);
}

done_testing;
