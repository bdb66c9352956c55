# What scripts/demo-failover runs: the writes move from one MariaDB server to its replica, under load, without a pause,
# with one, and with a switch that fails half-way. The exit status is 0 if no client saw a pause.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission::Failover;
use Intermission::Failover::MariaDB;

my ($seconds) = (@ARGV, 3);
if (@ARGV > 1 || $seconds !~ /^\d{1,3}$/) {
    print STDERR "usage: scripts/demo-failover [seconds]\n";
    exit 2;
}
$| = 1;
my $dir = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
my $stage = Intermission::Failover->new(dir => $dir, servers => [Intermission::Failover::MariaDB::pair($dir)]);
print <<'END_OF_TEXT';
db1 and db2 are MariaDB servers. One takes the writes, the other replicates it. nginx passes requests on to an app
of several processes, which uses the one with the writes. Clients with kept connections write rows and read them.
END_OF_TEXT

my @columns;

# Runs a command under load, and shows it. Adds a column to the result.
sub act {
    my ($title, $short, $command, %opt) = @_;
    my ($old, $new) = map { $_->{name} } $stage->servers;
    print "\n$title\n\n";
    my $exit;
    my $figures = $stage->run(sub {
        $opt{first}->() if $opt{first};
        my @command = $command->();
        my $root = Intermission::root();
        print '    $ ', join(' ', map { s{^(?:\Q$root\E/(?:target/(?:\w+/)*)?|\Q$dir\E/)}{}r =~ s{^(.*\s.*)$}{"$1"}r } @command), "\n";
        open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @command or die "sh: $!";
        print "    $_" while <$out>;
        close $out;
        $exit = $? >> 8;
        $opt{last}->() if $opt{last};
    }, seconds => $seconds);
    print "    exit status $exit; the writes go to $figures->{at}\n";
    push @columns, {%$figures, title => $short, exit => $exit, old => $old, new => $new};
    return $columns[-1];
}

act('The switch without a pause', 'no pause', sub { $stage->switch });
my $in_pause = act('The switch in a pause', 'pause', sub { $stage->switch_in_pause });
my (undef, $replica) = $stage->servers;
my $half_way = act('The same, but the replica stands still, so that the switch fails when the old server is read-only', 'half-way',
    sub { $stage->switch_in_pause(patience => 2) },
    first => sub { $replica->stand_still }, last => sub { $replica->go_on });
$stage->stop;

print "\n";
printf "%-28s %12s %12s %12s\n", '', map { $_->{title} } @columns;
for (
    ['requests', '%d', 'requests'], ['failed', '%d', 'failed'], ['rows acknowledged', '%d', 'saved'],
    ['of these lost', '%d', 'lost'], ['rows that are there twice', '%d', 'twice'], ['rows not found afterwards', '%d', 'unseen'],
    ['longest wait', '%.2f s', 'longest'], ['time in pause', '%.2f s', 'paused'], ['the writes go to', '%s', 'at'],
) {
    my ($label, $format, $key) = @$_;
    printf "%-28s %12s %12s %12s\n", $label, map { sprintf $format, $_->{$key} } @columns;
}
print "\nFailed without a pause: ", $columns[0]{why} || 'nothing', ".\n";

my @faults;
for ($in_pause, $half_way) {
    push @faults, "$_->{title}: failed: $_->{why}" if $_->{failed};
    push @faults, "$_->{title}: rows were lost, twice, or not found" if $_->{lost} || $_->{twice} || $_->{unseen};
    push @faults, "$_->{title}: nothing was held" if !$_->{paused} || !$_->{saved};
}
push @faults, "$in_pause->{title}: exit status $in_pause->{exit}, the writes go to $in_pause->{at}"
    if $in_pause->{exit} != 0 || $in_pause->{at} ne $in_pause->{new};
push @faults, "$half_way->{title}: exit status $half_way->{exit}, the writes go to $half_way->{at}"
    if $half_way->{exit} != 1 || $half_way->{at} ne $half_way->{old};
print map { "$_\n" } @faults;
print @faults ? "Not all is well.\n" : "All is well: in a pause no request failed, no row was lost, and none is there twice.\n";
exit(@faults ? 1 : 0);
