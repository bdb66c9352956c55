# Members of etcd, or connections to them, that are silent: the others are asked, nobody waits for long, and each pause is told at once.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Client;
use Intermission::Etcd;
use Intermission::Fleet;
use Intermission::Forwarder;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes ();

plan skip_all => Intermission::Etcd::missing() if Intermission::Etcd::missing();

my $etcd = Intermission::Etcd->new;
my @urls = $etcd->urls;
my $fleet = Intermission::Fleet->new($etcd, hosts => 1);

# Waits until so many seconds have gone since then.
sub sleep_until {
    my ($since, $seconds) = @_;
    my $rest = $since + $seconds - Time::HiRes::time();
    Time::HiRes::sleep($rest) if $rest > 0;
}

# How long a pause of the fleet takes, whose command does nothing.
sub pause_takes {
    my ($what) = @_;
    my $begin = Time::HiRes::time();
    my $done = $fleet->run('--lease', '2m', '--', 'true');
    my $took = Time::HiRes::time() - $begin;
    is $done->{exit}, 0, "$what: the command ran" or diag $done->{err};
    is $fleet->states, join(' ', map {'open'} grep { !$_->{gone} } $fleet->hosts), "$what: all hosts are open";
    return $took;
}

subtest 'the first member is silent' => sub {
    my ($first) = $etcd->pids;
    kill STOP => $first;
    $etcd->leader;    # one of the others, before long
    my $begin = Time::HiRes::time();
    my $done = $fleet->cli->run('fleet', $fleet->options, '--json');
    my $took = Time::HiRes::time() - $begin;
    is $done->{exit}, 0, 'the next one answers' or diag $done->{err};
    cmp_ok $took, '<', 5.5, 'soon';
    $done = $fleet->cli->run('fleet', $fleet->options, 'forget', 'h9');
    is $done->{exit}, 0, 'a write goes to one that answers' or diag $done->{err};
    cmp_ok pause_takes('a pause'), '<', 9, 'a pause: soon';
    kill CONT => $first;
    $etcd->wait_healthy;
};

subtest 'all are silent' => sub {
    kill STOP => $etcd->pids;
    my $begin = Time::HiRes::time();
    my $done = $fleet->cli->run('fleet', $fleet->options, '--json');
    my $took = Time::HiRes::time() - $begin;
    kill CONT => $etcd->pids;
    is $done->{exit}, 69, 'nobody answers: 69';
    like $done->{err}, qr/etcd does not answer: \Q$urls[0]\E: no answer in time; \Q$urls[1]\E: no answer in time; \Q$urls[2]\E/, 'each member is named';
    cmp_ok $took, '<', 7.5, 'it is said within 6 s';
    $etcd->wait_healthy;
    $fleet->wait_alive(1);
};

# A further host whose agent reaches the first member by this network. Returns when its agent had registered it.
sub behind {
    my ($net, %fields) = @_;
    my $host = $fleet->add;
    @$host{keys %fields} = values %fields;
    $host->{etcd} = ['http://127.0.0.1:' . $net->port, @{$fields{etcd} // []}];
    $fleet->agent_up($#{[$fleet->hosts]});
    $fleet->wait_alive(scalar grep { !$_->{gone} } $fleet->hosts);
    return Time::HiRes::time();
}
my ($port) = $urls[0] =~ /(\d+)$/;

subtest 'an agent whose member falls silent watches at another one' => sub {
    my $net = Intermission::Forwarder->new($port);
    my $since = behind($net, poll => '5s', etcd => [$urls[1]]);
    cmp_ok pause_takes('before'), '<', 1.5, 'before: the watch tells the pause';
    # The next question is due after 5 s, has no answer after 7, and another one follows after 10.
    sleep_until($since, 3);
    $net->gone;
    sleep_until($since, 7.7);
    cmp_ok pause_takes('afterwards'), '<', 1.5, 'afterwards: the watch at the next member tells it';
    unlike $fleet->host(1)->{agent}->err, qr/does not answer/, 'a question that the next member answers is no failure';
    $fleet->leave(1);
};

subtest 'a question on a connection that is lost is followed by one on another' => sub {
    my $net = Intermission::Forwarder->new($port);
    behind($net);
    my $agent = $fleet->host(2)->{agent};
    Intermission::Process::wait_until(sub { $agent->err =~ /etcd answers/ || undef }, 5);
    my $since = Time::HiRes::time();
    $net->lost;
    $agent->wait_err(qr/does not answer: \S+: no answer in time.*etcd answers/s);
    cmp_ok Time::HiRes::time() - $since, '<', 6, 'soon: nobody waits until the old one is found dead';
    $fleet->leave(2);
};

subtest 'a connection that is lost, and whose end nobody tells' => sub {
    my $net = Intermission::Forwarder->new($port);
    behind($net, poll => '40s');
    cmp_ok pause_takes('before'), '<', 1.5, 'before: the watch tells the pause';
    my $since = Time::HiRes::time();
    $net->lost;
    # It is asked whether it lives after 10 s, and given up after 12.
    sleep_until($since, 14.5);
    cmp_ok pause_takes('afterwards'), '<', 3, 'afterwards: a watch on another connection tells the pause';
    $fleet->leave(3);
};

subtest 'an answer of some MB' => sub {
    my ($to) = $urls[0] =~ m{//(.*)};
    my $ask = sub {
        my ($path, $json) = @_;
        my $answer = Intermission::Client->new(to => $to)->request("/v3/kv/$path", method => 'POST', body => $json)->response(5);
        is $answer->{status}, 200, $path or diag $answer->{body};
    };
    my $key = sub { encode_base64("/intermission/web/later/$_[0]", '') };
    my $large = encode_base64('x' x 1_300_000, '');
    $ask->('put', '{"key":"' . $key->($_) . qq(","value":"$large"})) for 1 .. 4;
    cmp_ok pause_takes('5 MB'), '<', 5, 'the caller reads them';
    $ask->('deleterange', '{"key":"' . $key->($_) . '"}') for 1 .. 4;
};

$fleet->host(0)->{t}->clean_ok;
done_testing;
