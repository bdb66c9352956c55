# Each field of the status: there from the start, and true.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use JSON::PP;
use Test::More;
use Time::Local 'timegm';

my $locations = <<'END_OF_CONF';
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
location /paced { intermission_control; intermission_release spread=30s concurrency=7; }
END_OF_CONF

sub start { return Intermission->new(workers => 2, locations => $locations, @_) }

my $time = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

sub seconds {
    my ($text) = @_;
    my ($year, $month, @rest) = $text =~ /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d\.\d+)Z$/ or die "no time: $text";
    return timegm(0, @rest[2, 1, 0], $month - 1, $year) + $rest[3];
}

# What JSON has for a value, in a word; an object's fields with theirs.
sub kind {
    my ($value) = @_;
    return 'null' if !defined $value;
    return {map { $_ => kind($value->{$_}) } keys %$value} if ref $value eq 'HASH';
    return [map { kind($_) } @$value] if ref $value eq 'ARRAY';
    return JSON::PP->new->allow_nonref->encode($value) =~ /^"/ ? $value =~ $time ? 'time' : 'text' : 'number';
}

# As the docs show a status: their example is one of a paused app.
my ($shown) = Intermission::slurp(Intermission::root() . '/docs/reference.md') =~ /status\?format=json' \| jq\n\n```json\n(.*?)^```$/ms;

subtest 'each field is there, of its kind, as docs/reference.md shows it' => sub {
    my $t = start(http => "intermission_state_file state;\n");
    my $example = kind(decode_json($shown // '{}'));
    my $fresh = kind($t->status);
    is_deeply [sort keys %$fresh], [sort keys %$example], 'before the first pause they are all there';
    my $slow = $t->send('/slow?delay=3000');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    $t->control('enable?for=60s&reason=db%20switch', at => '/paced');
    my $held = $t->send('/held');
    $t->wait_held(1);
    my $paused = kind($t->status);
    is_deeply $paused, $example, 'of a paused app';
    $t->control('disable?spread=0&concurrency=0');
    is $_->response->{status}, 200, 'answered' for $slow, $held;
    $t->wait_state('open');
    my $open = kind($t->status);
    is_deeply [@$open{qw(since until reason by drained_by pace)}], ['time', 'null', 'null', 'null', 'text', 'null'], 'of one that is open again';
    is_deeply {map { $_ => $open->{last_drain}{$_} } qw(released seconds ended)}, {released => 'number', seconds => 'number', ended => 'time'}, 'which has a last drain';
    my ($listed) = @{decode_json($t->control('apps')->{body})->{apps}};
    is_deeply [sort keys %$listed], [sort 'app_encoded', keys %$example], 'the list of apps has one more';
    $t->clean_ok;
};

subtest 'while somebody waits for quiet the pause may be taken back, and says until when' => sub {
    my $t = start();
    is $t->status->{waiting_until}, undef, 'nobody waits';
    my $slow = $t->send('/slow?delay=5000');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    my $waiting = $t->send('/_intermission/enable?wait=4s&for=1m');
    $t->wait_state('paused');
    my $now = $t->status;
    like $now->{waiting_until}, $time, 'somebody waits';
    my $lasts = seconds($now->{waiting_until}) - seconds($now->{since});
    cmp_ok abs($lasts - 4), '<', 1, 'for as long as he said';
    my $longer = $t->send('/_intermission/enable?wait=30s&for=1m');
    $t->wait_for(sub { seconds($t->status->{waiting_until}) > seconds($now->{waiting_until}) + 10 }, 'the longer wait');
    pass 'of two who wait the longer counts';
    is $t->control('enable')->{status}, 200, 'somebody who does not wait';
    is $longer->response(20)->{status}, 200, 'quiet at last';
    is $waiting->response->{status}, 504, 'too late for the first';
    my $after = $t->status;
    is_deeply [@$after{qw(state waiting_until)}], ['paused', undef], 'it stays, and nobody takes it back';
    $slow->response;
    $t->control('disable');
    $t->clean_ok;
};

subtest 'who ended the newest pause' => sub {
    my $t = start();
    is $t->status->{drained_by}, undef, 'there was none';
    $t->control('enable');
    is $t->status->{drained_by}, undef, 'it is under way';
    $t->control('disable');
    is $t->status->{drained_by}, '127.0.0.1', 'a caller, by his address';
    $t->control('enable?for=100ms');
    $t->wait_state('open');
    is $t->status->{drained_by}, 'lease', 'its lease';
    my $slow = $t->send('/slow?delay=1500');
    $t->wait_for(sub { $t->status->{in_flight} == 1 }, 'one in flight');
    is $t->control('enable?wait=100ms')->{status}, 504, 'one that is taken back';
    is $t->status->{drained_by}, 'rollback', 'the rollback';
    $slow->response;
    $t->control('stop');
    is $t->status->{drained_by}, undef, 'a stop';
    $t->control('disable');
    is $t->status->{drained_by}, '127.0.0.1', 'and its end';
    $t->clean_ok;
};

subtest 'the pace, and when it ends' => sub {
    my $t = start();
    $t->control('enable');
    is $t->status->{pace}, undef, 'none: all at once';
    my @held = map { $t->send("/$_") } 1 .. 3;
    $t->wait_held(3);
    $t->control('disable?spread=60s');
    my $now = $t->status;
    is $now->{state}, 'draining', 'a drain of a minute, where six seconds were meant';
    is_deeply [@{$now->{pace}}{qw(spread concurrency)}], [60, 0], 'its pace';
    cmp_ok abs(seconds($now->{pace}{ends}) - seconds($now->{since}) - 60), '<', 1, 'and its end';
    $t->control('disable?spread=0&concurrency=2');
    $t->wait_state('open');
    is $_->response->{status}, 200, 'answered' for @held;
    is $t->status->{pace}, undef, 'over';
    $t->control('enable', at => '/paced');
    is_deeply $t->status->{pace}, {spread => 30, concurrency => 7, ends => undef}, 'what a pause will have';
    $t->control('disable');
    my $log = $t->error_log;
    like $log, qr/resumed by 127\.0\.0\.1, pause \d+, after [\d.]+ s, 3 held, spread over 60\.000 s, /, 'the log has it';
    like $log, qr/pace of the drain changed by 127\.0\.0\.1, 2 at a time/, 'and what it became';
    like $log, qr/resumed by 127\.0\.0\.1, pause \d+, after [\d.]+ s, 0 held, spread over 30\.000 s, 7 at a time/, 'and both';
    $t->clean_ok;
};

done_testing;
