# `intermission check`: sound configurations have no fault, and each flaw is found.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Cli;
use Intermission::Upstream;
use IO::Socket::INET;
use JSON::PP ();
use Test::More;

plan skip_all => 'only root can keep a state file' if $>;

my $endpoint = 'location /_intermission { allow 127.0.0.1; deny all; intermission_control; intermission_lease 60s; %s }';
my $app = 'set $app_name basecamp; location / { intermission on; %s proxy_pass http://backend; }';
my $state = 'intermission_state_file @DIR@/state;';

# An nginx with these changes. Keys: endpoint, app: more directives there; lease, state: another one there; http: more there.
sub nginx {
    my (%flaw) = @_;
    my $control = sprintf $endpoint, $flaw{endpoint} // '';
    $control =~ s/intermission_lease 60s;/$flaw{lease}/ if defined $flaw{lease};
    return Intermission->new(
        locations => sprintf($app, $flaw{app} // '') . $control . ($flaw{locations} // ''),
        http => ($flaw{state} // $state) . ($flaw{http} // ''),
        server => $flaw{server} // '',
    );
}

# What is wrong there, and how the command ended. The guard depends on the addresses of this machine.
sub check {
    my ($t, @arguments) = @_;
    my $done = Intermission::Cli->new($t)->run('check', '--json', '--sample', '700ms', @arguments);
    my @lines = map { JSON::PP::decode_json($_) } split /\n/, $done->{out};
    my @faults = grep { $_->{verdict} eq 'FAULT' } @lines;
    return ($done->{exit}, join(', ', map { $_->{check} } @faults), join "\n", map { $_->{text} } @faults);
}


subtest 'a sound configuration' => sub {
    my $t = nginx();
    $t->get('/') for 1 .. 3;
    my ($exit, $faults, $text) = check($t);
    is "$exit $faults", '0 ', 'no fault: 0' or diag $text;
    my $done = Intermission::Cli->new($t)->run('check', '--sample', '100ms');
    like $done->{out}, qr/^  ok     lease       a forgotten pause ends after 60 s$/m, 'a line for each question';
    $t->clean_ok;
};

my %flaws = (
    'no lease' => [{lease => ''}, 'lease', qr/set intermission_lease/],
    'no state file' => [{state => ''}, 'state file', qr/set intermission_state_file/],
    'an error log that shows no pauses' => [{endpoint => 'error_log @DIR@/other.log error;'}, 'error log', qr/at error: .* notice/],
    'servers that nginx takes out of service' => [
        {http => 'upstream two { server 127.0.0.1:1; server 127.0.0.1:2; }', locations => 'location /two { intermission on; proxy_pass http://two; }'},
        'upstreams', qr/two: .*max_fails=0/],
);
for my $label (sort keys %flaws) {
    my ($flaw, $faults, $text) = @{$flaws{$label}};
    subtest $label => sub {
        my $t = nginx(%$flaw);
        $t->get('/');
        my ($exit, $got, $said) = check($t);
        is "$exit $got", "1 $faults", 'this fault and no other: 1';
        like $said, $text, 'it says what to do';
        $t->clean_ok;
    };
}

subtest 'too little room for the pause' => sub {
    my $t = nginx(app => 'intermission_max_held 20;');
    # The limit is known from the first request of a pause on.
    $t->control('enable');
    my $held = $t->send('/');
    $t->wait_held(1);
    $t->control('disable');
    $held->response;
    $t->wait_state('open');
    my $come = sub { $t->get('/') for 1 .. 20 };
    my $going = Intermission::Cli->new($t)->start('check', '--json', '--sample', '1s', '--pause', '10s');
    $come->() while !defined Intermission::Process::reaped($going->pid) && $going->out eq '';
    my @lines = map { JSON::PP::decode_json($_) } split /\n/, $going->out;
    my ($room) = grep { $_->{check} eq 'room' } @lines;
    is $room->{verdict}, 'FAULT', 'room for less than the pause is a fault';
    like $room->{text}, qr/less than the pause of 10 s/, 'it says how long it lasts';
    $t->clean_ok;
};

subtest 'what will keep a pause from being quiet, and a pause that is there already' => sub {
    my $t = nginx(http => 'upstream own { server unix:@DIR@/own.sock; }', locations => 'location /own { intermission on; proxy_pass http://own; }');
    my $own = Intermission::Upstream->new($t);
    my $client = $t->send('/own/slow');
    $own->wait('/own/slow');
    my ($exit, $faults, $text) = check($t, '--wait', '300ms');
    is "$exit $faults", '1 in flight', 'an old request in flight';
    like $text, qr{GET /own/slow from 127\.0\.0\.1}, 'it says which';
    $own->answer('/own/slow');
    $client->response;
    $t->control('enable?by=bob');
    like +(check($t))[1], qr/^state/, 'a pause that is active';
    $t->control('disable');
    $t->clean_ok;
};

subtest 'an endpoint that is not guarded' => sub {
    my $address = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '192.0.2.1:9');
    $address = $address && $address->sockhost;
    plan skip_all => 'this machine has no other address' if !$address || $address =~ /^127\./;
    my $probe = IO::Socket::INET->new(LocalAddr => '0.0.0.0:0', Listen => 1) or die "no port: $!";
    my $port = $probe->sockport;
    close $probe;
    my $t = nginx(server => "listen 0.0.0.0:$port;", locations => 'location /open { intermission_control; intermission_lease 60s; }');
    $t->get('/');
    my $faults = sub { my ($exit, $got, $text) = check($t, '--host', "http://127.0.0.1:$port$_[0]"); return $got };
    is $faults->('/open'), 'guard', 'without allow and deny';
    is $faults->('/_intermission'), '', 'with allow and deny';
    $t->clean_ok(allow => [qr/access forbidden by rule/]);
};

is +(Intermission::Cli->new('http://127.0.0.1:1')->run('check'))->{exit}, 1, 'a host that is down: 1';
done_testing;
