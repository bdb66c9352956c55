package Intermission::Bench;

# What measurements are made of: a table with limits, printed as it grows and kept for JSON.
#
#   heading('what');
#   at_most(1.3, row('ratio', 2, @figures));
#   finish('what', $t);

use strict;
use utf8;
use warnings;
use Exporter 'import';
use Intermission;
use Intermission::Bench::Machine qw(slurp);
use JSON::PP ();
use List::Util qw(min);
use POSIX qw(ceil floor);

our @EXPORT = qw(is_trial trial modules heading row say_of at_most at_least none point grouped finish);

# trial: true for tiny sizes and limits that are twenty times wider; against: {revision, module}, another build to be compared with.
my %settings;
my @parts;
# The row that is not printed yet.
my $open;
my $beyond = 0;

sub configure { %settings = (%settings, @_) }
sub is_trial  { !!$settings{trial} }
sub against   { $settings{against} }

# One of two values: the first in a trial.
sub trial { return $settings{trial} ? $_[0] : $_[1] }

# The builds to measure: their names, and what Intermission->new needs for each.
sub modules {
    my $other = $settings{against};
    return (['intermission', {}], $other ? ["intermission, $other->{revision}", {module => $other->{module}}] : ());
}

# ---- the table

sub part {
    my ($name) = @_;
    push @parts, {part => $name, tables => [], points => []};
}

# For how many seconds the part has run.
sub took {
    my ($seconds) = @_;
    _print();
    $parts[-1]{seconds} = 0 + sprintf '%.0f', $seconds;
}

# The part could not be measured.
sub failed {
    my ($why) = @_;
    chomp $why;
    $beyond++;
    return remark("not measured: $why");
}

sub heading {
    my ($what) = @_;
    _print();
    push @{$parts[-1]{tables}}, {heading => $what, rows => []};
    # A long heading has a line of its own.
    my $room = length $what <= 68 ? '' : "\n" . ' ' x 68;
    printf "\n%-68s%10s%10s%10s   limit\n", "$what$room", qw(min median max);
}

# The figures of several runs. Returns their median.
sub row {
    my ($what, $digits, @figures) = @_;
    return _row($what, $digits, @figures ? _spread(@figures) : 0);
}

sub median { return (_spread(@_))[0] }

# The median, the least and the largest figure, and the quartiles.
sub _spread {
    my @sorted = sort { $a <=> $b } @_;
    my $at = sub { my $i = $_[0] * $#sorted; ($sorted[floor($i)] + $sorted[ceil($i)]) / 2 };
    return map { $at->($_) } 0.5, 0, 1, 0.25, 0.75;
}

# A single figure, or a word. Returns it.
sub say_of {
    my ($what, $figure, $digits) = @_;
    return _row($what, $digits // 0, $figure);
}

sub _row {
    my ($what, $digits, $median, @spread) = @_;
    _print();
    my @numbers = map { /^-?[\d.]+(?:e-?\d+)?$/ ? 0 + sprintf "%.${digits}f", $_ : $_ } $median, @spread;
    $open = {what => $what, digits => $digits, median => $numbers[0]};
    @$open{qw(min max quartiles)} = (@numbers[1, 2], [@numbers[3, 4]]) if @spread;
    push @{$parts[-1]{tables}[-1]{rows}}, $open;
    return $median;
}

# These add a limit to the row above. In a trial they are twenty times wider. Further words say what of.
sub at_most {
    my ($limit, $figure, $of) = @_;
    $limit *= 20 if $settings{trial};
    return _limit('at most ' . grouped($limit) . ($of ? " $of" : ''), $figure <= $limit);
}

sub at_least {
    my ($limit, $figure, $of) = @_;
    $limit /= 20 if $settings{trial};
    return _limit('at least ' . grouped($limit) . ($of ? " $of" : ''), $figure >= $limit);
}

sub none {
    my ($figure, $of) = @_;
    return _limit('none' . ($of ? " $of" : ''), !$figure);
}

sub _limit {
    my ($limit, $is_kept) = @_;
    $open->{limit} = $limit;
    $open->{beyond} = $is_kept ? JSON::PP::false() : JSON::PP::true();
    $beyond++ if !$is_kept;
}

# Something to be said of the part as a whole.
sub remark {
    my ($what) = @_;
    _print();
    push @{$parts[-1]{remarks}}, $what;
    print "  $what\n";
}

# A point of a plot.
sub point {
    my ($plot, $who, $x, $y) = @_;
    push @{$parts[-1]{points}}, {plot => $plot, who => $who, x => $x, y => 0 + sprintf '%.6g', $y};
}

sub _print {
    my $row = $open // return;
    undef $open;
    my @figures = map { !defined ? '' : /^-?[\d.]+$/ ? grouped(sprintf "%.$row->{digits}f", $_) : $_ } @$row{qw(min median max)};
    my $limit = $row->{limit} ? "   $row->{limit}" . ($row->{beyond} ? ': beyond its limit' : '') : '';
    print sprintf('  %-66s%10s%10s%10s%s', $row->{what}, @figures, $limit) =~ s/\s+$//r, "\n";
}

sub grouped {
    my ($whole, $rest) = $_[0] =~ /^(-?\d+)(\.\d+)?$/ or return $_[0];
    $whole = 0 if $_[0] == 0;
    return $whole =~ s/(?<=\d)(?=(?:\d{3})+$)/,/gr . ($rest // '');
}

# Stops the server. Prints unexpected lines of its error log, and whether it did not quit cleanly. $expected: a pattern of other lines.
sub finish {
    my ($what, $server, $expected) = @_;
    _print();
    my $stopped = $server->stop;
    my @lines = map { "$what: error log: $_" } grep {
        /\[(?:warn|error|crit|alert|emerg)\]/ && !($expected && /$expected/)
    } split /\n/, $server->error_log;
    my @said = (@lines[0 .. min($#lines, 2)], @lines > 3 ? "... " . (@lines - 3) . ' more' : (),
        $stopped ? () : "$what: nginx did not quit cleanly");
    push @{$parts[-1]{tables}[-1]{remarks}}, @said if @said;
    print "  $_\n" for @said;
}

# Ends the table. Returns how many figures were beyond their limits.
sub end {
    _print();
    return $beyond;
}

# All that was measured, as JSON.
sub json {
    my (%more) = @_;
    return JSON::PP->new->utf8->canonical->pretty->encode({%more, beyond => $beyond, parts => \@parts});
}

1;
