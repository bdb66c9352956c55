package Intermission::Faults;

# What is done to a fleet while it pauses under load, and what is counted then.
#
#   disturbed($fleet, 'the agent is killed', stage => 'drain', sub { ... });

use strict;
use warnings;
use Exporter 'import';
use Intermission;
use Intermission::Process;
use Test::More;

our @EXPORT = qw(disturbed @STAGES);

# Of a run: its key is made; a host is not quiet yet; the command runs; held requests go on.
our @STAGES = qw(prepare drain run release);

my @lease = ('--lease', '12s', '--wait', '4s');

# A run under load. The deed is done at its stage (run). Further options: seconds the command runs (3); load => [hosts], all if it is
# missing; exit => status (0); lost => 1: requests may come to the app; while => what holds on beside. Returns what came of it.
sub disturbed {
    my ($fleet, $what, %opt) = @_;
    my ($stage, $seconds) = ($opt{stage} // 'run', $opt{seconds} // 3);
    $what .= " ($stage)" if $opt{stage};
    my $slow = $stage eq 'drain' && $fleet->host(0)->{t}->send('/slow?delay=1500');
    $fleet->host(0)->{t}->wait_for(sub { $fleet->host(0)->{t}->status->{in_flight} || undef }, 'the slow request to be in flight') if $slow;
    my @crowds = $fleet->load($seconds + 3, 30, @{$opt{load} // []});
    my @pace = $stage eq 'release' ? ('--spread', '2s') : ();
    my $going = $fleet->start(@lease, @pace, '--', $fleet->noting($seconds));
    $fleet->host(1)->{t}->wait_state('paused', seconds => 20) if $stage eq 'drain';
    $going->wait_err(qr/running/) if $stage =~ /run|release/;
    Intermission::Process::wait_until(sub { $fleet->times == 2 || undef }, 30) if $stage eq 'release';
    push @crowds, $opt{deed}->($going);
    my $done = $going->done(60);
    is $done->{exit}, $opt{exit} // 0, "$what: exit " . ($opt{exit} // 0) or diag $done->{err};
    my ($from, $to) = $fleet->times;
    is $fleet->came_between($from, $to), 0, "$what: no request came to the app while the command ran" if !$opt{lost};
    like $fleet->wait_open, qr/^open( open)+$/, "$what: afterwards all hosts are open";
    my ($bad, $good) = $fleet->count(@crowds);
    is $bad, 0, "$what: 0 of @{[$bad + $good]} requests failed";
    is $slow->response->{status}, 200, "$what: the slow request is answered" if $slow;
    return $done;
}

1;
