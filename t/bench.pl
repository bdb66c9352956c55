# The measurements of scripts/bench: which parts there are, and what is asked for. The exit status is 1 if a figure is beyond its limit.

use strict;
use utf8;
use warnings;
use lib 't/lib';
use Getopt::Long;
use Intermission::Bench;
use Intermission::Bench::Machine;
use Time::HiRes qw(time);

# In this order.
my @usual = qw(open passed release flat others control holding toggles spread away peers);
my @asked = qw(away-memory profile);
my %option;
my $usage = <<"END";
usage: scripts/bench [--json FILE] [--against REV] [--trial] [PART[=N,...] ...]

parts: @usual; only if they are named: @asked
END

GetOptions(\%option, 'json=s', 'module=s', 'revision=s', 'trial', 'help') or die $usage;
if ($option{help}) {
    print $usage;
    exit 0;
}
my @parts = @ARGV ? map { [split /=/, $_, 2] } @ARGV : map { [$_] } @usual;
my %known = map { $_ => 1 } @usual, @asked;
for my $part (@parts) {
    my ($name, $values) = @$part;
    next if $known{$name} && (!defined $values || $values =~ /^[1-9]\d*(?:,[1-9]\d*)*$/);
    print STDERR $usage;
    exit 2;
}

$| = 1;
binmode STDOUT, ':encoding(UTF-8)';
my $machine = Intermission::Bench::Machine::machine();
print "$machine->{nginx}, $machine->{processors} processors, load average $machine->{load}; a limit is compared with the median\n";
Intermission::Bench::configure(
    trial => $option{trial}, against => $option{module} && {revision => $option{revision}, module => $option{module}});
for my $part (@parts) {
    my ($name, $values) = @$part;
    my $package = 'Intermission::Bench::' . join '', map { ucfirst } split /-/, $name;
    eval "require $package" or die $@;
    Intermission::Bench::part($name);
    my $began = time;
    # The others are measured nevertheless.
    eval { $package->can('run')->(split /,/, $values // ''); 1 } or Intermission::Bench::failed($@);
    Intermission::Bench::took(time - $began);
}
my $beyond = Intermission::Bench::end();
Intermission::write_file($option{json}, Intermission::Bench::json(machine => $machine)) if $option{json};
exit($beyond ? 1 : 0);
