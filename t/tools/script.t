# The script for maintenance in docs/recipes.md, exactly as it is there.

use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Intermission;
use Intermission::Process;
use Test::More;

plan skip_all => 'no curl 7.84' if (`curl --version` =~ /^curl (\d+)\.(\d+)/ ? $1 * 1000 + $2 : 0) < 7084;

my $t = Intermission->new(
    server => 'error_page 503 /page;',
    locations => <<'END',
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
location /moved/ { return 301 https://127.0.0.1$request_uri; }
location /anything/ { return 200 "welcome\n"; }
location = /healthy { return 200; }
location = /broken { return 404; }
END
);
my $here = 'http://127.0.0.1:' . $t->port;
my $folder = File::Temp::tempdir(CLEANUP => 1);

my ($script) = Intermission::slurp($t->root . '/docs/recipes.md') =~ /^```sh\n(#!\/bin\/sh\n.*?)^```$/ms or die 'no script';

# Writes the script with these settings and this maintenance. Returns its command.
sub script {
    my (%opt) = @_;
    my ($control, $app) = ($opt{control} // '/_intermission', $opt{app} // '/healthy');
    my $text = $script;
    $text =~ s{^control=\S+}{control=$here$control}m or die 'no control';
    $text =~ s{^app=\S+}{app=$here$app}m or die 'no app';
    $text =~ s{^# the maintenance.*}{$opt{maintenance}}m or die 'no maintenance';
    open my $file, '>', "$folder/script" or die "script: $!";
    print $file $text;
    close $file;
    return ['sh', "$folder/script"];
}

# Runs the script. Returns its exit code and what it printed.
sub run {
    my $command = script(@_);
    my $printed = `@$command 2>&1`;
    return ($? >> 8, $printed);
}

my $mark = "$folder/mark";
my $look = "curl -s $here/_intermission/status >$mark";
sub mark { my $text = -e $mark ? do { open my $file, '<', $mark; local $/; <$file> } : ''; unlink $mark; return $text }

$t->get('/');

subtest 'good maintenance is done in a pause' => sub {
    my ($exit, $printed) = run(maintenance => $look);
    is $exit, 0, 'good maintenance: the script ends with 0' or diag $printed;
    is mark(), "Pause enabled.\n", 'good maintenance is done in the pause';
    is $t->status->{state}, 'open', 'good maintenance: the app is open again';
    like $printed, qr/Pause enabled.*app "basecamp": pause \d+.*Pause disabled/s, "good maintenance: the server's answers are shown";
};

subtest 'without a pause no maintenance is done' => sub {
    $t->control('enable?by=alice');
    my ($exit, $printed) = run(maintenance => $look);
    isnt $exit, 0, 'another pause is active: the script fails';
    like $printed, qr/by alice/, 'another pause is active: the script shows whose it is';
    is mark(), '', 'another pause is active: no maintenance is done';
    is $t->status->{state}, 'paused', 'another pause is active: that pause goes on';
    $t->control('disable');
    for my $control ('/moved', '/anything', '/none') {
        ($exit) = run(control => $control, maintenance => $look);
        isnt $exit, 0, "$control is no control endpoint: the script fails";
        is mark(), '', "$control is no control endpoint: no maintenance is done";
    }
    is $t->status->{state}, 'open', 'no control endpoint at that place: the app stays open';
};

subtest 'maintenance that fails, or leaves the app broken, fails the script' => sub {
    my ($exit) = run(maintenance => "$look; false");
    isnt $exit, 0, 'maintenance that fails: the script fails';
    is mark(), "Pause enabled.\n", 'maintenance that fails was done in the pause';
    is $t->status->{state}, 'open', 'maintenance that fails: the app works, and is open again';
    my $printed;
    ($exit, $printed) = run(app => '/broken', maintenance => 'true');
    isnt $exit, 0, 'an app that is broken after the maintenance: the script fails';
    is $t->status->{state}, 'paused', 'an app that is broken after the maintenance stays paused';
    like $printed, qr/lease/, 'an app that is broken after the maintenance: the script names the lease';
    my ($disable) = $printed =~ /(disable\?id=\d+)/;
    is $t->control($disable)->{status}, 200, 'an app that is broken after the maintenance: the command that the script shows ends the pause';
};

subtest 'a pause that another caller ended fails the script' => sub {
    my ($exit, $printed) = run(maintenance => "curl -s '$here/_intermission/disable?by=bob'");
    isnt $exit, 0, 'a pause that another caller ended: the script fails';
    like $printed, qr/ended by bob/, 'a pause that another caller ended: the script shows that caller';
};

subtest 'a script that gets SIGTERM ends its pause' => sub {
    my $command = script(maintenance => "$look; sleep 20 & echo \$! >$folder/pid; wait");
    open my $output, '>', "$folder/output" or die "output: $!";
    my $pid = Intermission::Process::start(script => $command, stdout => $output, stderr => $output);
    $t->wait_for(sub { -s "$folder/pid" || undef }, "the maintenance to begin");
    mark();
    kill TERM => $pid;
    $t->wait_state('open');
    $t->wait_for(sub { Intermission::Process::reaped($pid) // undef }, 'the script to end');
    pass 'a script that gets SIGTERM ends its pause';
    open my $left, '<', "$folder/pid" or die "pid: $!";
    kill TERM => <$left> =~ /(\d+)/;
};

$t->clean_ok;
done_testing;
