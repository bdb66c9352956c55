# The connections that nginx keeps to an app do not outlive its pause: the app may have been restarted
# without closing them.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use Test::More;

# Starts an app on app.sock that keeps its connections. USR1 simulates its restart: if nginx then writes
# to an older connection, the connection is reset.
sub app {
    my ($t) = @_;
    my $path = $t->dir . '/app.sock';
    my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 1024) or die "$path: $!";
    chmod 0777, $path;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    my (%input, %died, $restarted);
    $SIG{USR1} = sub { $restarted = 1 };
    my $select = IO::Select->new($listener);
    while (1) {
        my @ready = $select->can_read;
        if ($restarted) {
            $died{$_} = 1 for $select->handles;
            delete $died{$listener};
            $restarted = 0;
            open my $file, '>', "$path.restarted" or POSIX::_exit(1);
        }
        for my $socket (@ready) {
            if ($socket == $listener) {
                my $new = $listener->accept or next;
                $input{$new} = '';
                $select->add($new);
                next;
            }
            # A connection that is closed with unread data is reset.
            my $open = !$died{$socket} && sysread $socket, $input{$socket}, 65536, length $input{$socket};
            if (!$open) {
                $select->remove($socket);
                delete $input{$socket};
                delete $died{$socket};
                close $socket;
                next;
            }
            while ($input{$socket} =~ /\A(.*?\r\n\r\n)/s) {
                my ($head, $length) = ($1, 0);
                $length = $1 if $head =~ /^Content-Length: (\d+)/mi;
                last if length $input{$socket} < length($head) + $length;
                substr($input{$socket}, 0, length($head) + $length) = '';
                syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            }
        }
    }
}

sub restarted_in_silence {
    my ($workers) = @_;
    my $t = Intermission->new(
        workers => $workers,
        http => 'upstream app { server unix:@DIR@/app.sock max_fails=0; keepalive 32; }',
        server => 'location /app/ { intermission on; proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }',
    );
    my $pid = app($t);
    my @post = ('--method', 'POST', '--body', 100);
    my $warm = $t->crowd('--count', 100, @post, '--path', '/app/warm/{i}')->done;
    is $warm->{statuses}{200}, 100, "$workers workers: the app keeps connections";
    $t->control('enable');
    my $held = $t->crowd('--count', 200, @post, '--path', '/app/held/{i}');
    $t->wait_held(200);
    kill USR1 => $pid;
    $t->wait_for(sub { IO::Socket::UNIX->new(Peer => $t->dir . '/app.sock'); -e $t->dir . '/app.sock.restarted' }, 'the app to have restarted');
    $t->control('disable');
    is_deeply $held->done->{statuses}, {200 => 200}, "$workers workers: no released request meets a connection that died in the pause";

    $t->control('enable');
    unlink $t->dir . '/app.sock.restarted';
    kill USR1 => $pid;
    $t->wait_for(sub { IO::Socket::UNIX->new(Peer => $t->dir . '/app.sock'); -e $t->dir . '/app.sock.restarted' }, 'the app to have restarted');
    $t->control('disable');
    my $new = $t->crowd('--count', 200, @post, '--path', '/app/new/{i}')->done;
    is_deeply $new->{statuses}, {200 => 200}, "$workers workers: no later request meets a connection that died in the pause";
    kill TERM => $pid;
    waitpid $pid, 0;
    $t->clean_ok;
}

for my $workers (1, 4) {
    subtest "a restart of the app in the pause breaks no kept connection, $workers workers" => sub {
        restarted_in_silence($workers);
    };
}

done_testing;
