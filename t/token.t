# Fencing tokens: a call with a lower token than an earlier one changes nothing, whichever worker it meets, also after a reload, a
# crash and a restart.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $locations = <<'END';
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control apps=shop,blog; }
END

sub start { return Intermission->new(workers => 4, locations => $locations, http => "intermission_state_file state;\n", @_) }

subtest 'a call with a lower token changes nothing' => sub {
    my $t = start();
    is $t->status->{token}, 0, 'no token at first';
    is $t->control('enable?for=60s&token=5')->{status}, 200, 'the first token: 200';
    my $before = $t->status;
    is $before->{token}, 5, 'the status has it';
    for my $verb ('disable?token=4', 'stop?token=4', 'enable?token=4&for=2h', 'disable?token=4&id=' . $before->{pause}) {
        my $answer = $t->control($verb);
        is $answer->{status}, 409, "$verb: 409";
        like $answer->{body}, qr/^an earlier call had a greater token: 5, so nothing was changed; pause \d+ is active, by 127\.0\.0\.1, since /, "$verb: says why";
    }
    my $after = $t->status;
    is_deeply [@$after{qw(state pause until token)}], [@$before{qw(state pause until token)}], 'nothing has changed';
    is $t->control('disable?token=5')->{status}, 200, 'the same token: 200';
    is $t->control('enable?token=4')->{status}, 409, 'a lower one on the open app: 409';
    is $t->control('enable?for=1m')->{status}, 200, 'none: 200';
    is $t->control('disable?token=6')->{status}, 200, 'a greater one: 200';
    $t->clean_ok;
};

subtest 'a token counts for its app, also if the call does nothing else' => sub {
    my $t = start();
    is $t->control('disable?app=shop&token=9')->{status}, 304, 'disable of an open app: 304';
    is $t->control('enable?app=shop&token=8')->{status}, 409, 'a lower one: 409';
    is $t->control('enable?app=blog&token=8')->{status}, 200, 'that of another app: 200';
    is $t->status(app => 'shop')->{state}, 'open', 'the first one is open';
    $t->clean_ok;
};

subtest 'what is no token is refused' => sub {
    my $t = start();
    for my $value ('', '0', '-1', '+1', '1.5', 'x', '9007199254740992', '99999999999999999999', '1&token=2') {
        is $t->control("enable?token=$value")->{status}, 400, "token=$value: 400";
    }
    is $t->control('status?token=1')->{status}, 400, 'status has none: 400';
    is $t->status->{state}, 'open', 'nothing has changed';
    is $t->control('enable?token=9007199254740991')->{status}, 200, 'the greatest one: 200';
    is $t->status->{token}, 9007199254740991, 'the status has it whole';
    $t->clean_ok;
};

subtest 'the greatest token is kept over a reload, a worker that dies, and a restart' => sub {
    my $t = start();
    $t->control('enable?app=shop&token=7');
    $t->control('disable?app=blog&token=3');
    $t->reload;
    is $t->control("disable?app=shop&token=$_")->{status}, 409, "after a reload: $_ is too low" for 1, 6;
    $t->kill_worker(($t->workers)[0]);
    is $t->control('disable?app=shop&token=6')->{status}, 409, 'after a crash';
    $t->end_nginx;
    $t->start_nginx;
    is $t->status(app => 'shop')->{state}, 'paused', 'after a restart: still paused';
    is $t->control('disable?app=shop&token=6')->{status}, 409, 'after a restart: a paused app has its token';
    is $t->control('enable?app=blog&token=2')->{status}, 409, 'after a restart: an open app has its token';
    is $t->control('disable?app=shop&token=7')->{status}, 200, 'the same one: 200';
    $t->clean_ok(allow => [qr/exited on signal 9/]);
};

done_testing;
