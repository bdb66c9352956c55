# Puts what `scripts/bench --json` wrote into docs/benchmarks.md: each block between <!-- bench: NAME --> and <!-- end --> is
# written anew, and the plots in docs/benchmarks/. A block whose part was not measured stays as it is. Without gnuplot there are no plots.

use strict;
use utf8;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Intermission;
use Intermission::Bench qw(grouped);
use Intermission::Bench::Plot;
use JSON::PP ();
use List::Util qw(uniq);

my ($PAGE, $PLOTS) = ('docs/benchmarks.md', 'docs/benchmarks');
my @PEERS = ('nginx alone', Intermission::Bench::Plot::others());

my @files = @ARGV or die "usage: scripts/bench --docs FILE [FILE ...]\n";
my (@parts, $machine);
for my $file (@files) {
    my $json = JSON::PP::decode_json(Intermission::slurp($file) || die "$file: cannot be read\n");
    $machine //= $json->{machine};
    # Of a part that was measured twice, the later one counts.
    @parts = grep { my $part = $_->{part}; !grep { $_->{part} eq $part } @{$json->{parts}} } @parts;
    push @parts, @{$json->{parts}};
}
my %part = map { $_->{part} => $_ } @parts;
my @points = map { @{$_->{points}} } @parts;

my $page = Intermission::slurp($PAGE);
utf8::decode($page);
$page =~ s{(<!-- bench: ([\w-]+) -->\n).*?(?=<!-- end -->)}{my $text = block($2); defined $text ? "$1$text" : $&}gse;
utf8::encode($page);
Intermission::write_file($PAGE, $page);
mkdir $PLOTS;
plots() if qx(command -v gnuplot 2>/dev/null) =~ /\S/;

sub block {
    my ($name) = @_;
    return machine() if $name eq 'machine';
    return limits()  if $name eq 'limits';
    return peers()   if $name eq 'peers' && $part{peers};
    my $part = $part{$name} // return undef;
    return join "\n", map { table($_) } @{$part->{tables}};
}

sub machine {
    return "Revision $machine->{revision} on $machine->{date}: $machine->{nginx}, $machine->{processors} processors ($machine->{model}), Linux $machine->{kernel}; load average at the start $machine->{load}.\n"
        . ($machine->{load} > 2 ? "\nOther work ran beside it, so that times are too long, and ratios are spread wide.\n" : '');
}

sub figure {
    my ($row, $figure) = @_;
    return !defined $figure ? '' : $figure =~ /^-?[\d.]+(?:e-?\d+)?$/ ? grouped(sprintf "%.$row->{digits}f", $figure) : $figure;
}

sub spread {
    my ($row) = @_;
    return defined $row->{min} ? figure($row, $row->{min}) . ' to ' . figure($row, $row->{max}) : '';
}

# What was measured, a row each. What belongs to the row above is indented there, and begins with a dash here.
sub table {
    my ($table) = @_;
    my @lines = ("| $table->{heading} | median | least to most | limit |", '|---|---|---|---|');
    for my $row (@{$table->{rows}}) {
        my $what = $row->{what} =~ s/^\s+/– /r;
        my $limit = ($row->{limit} // '') . ($row->{beyond} ? ': **beyond it**' : '');
        push @lines, '| ' . join(' | ', $what, figure($row, $row->{median}), spread($row), $limit) . ' |';
    }
    return join '', map { s/ +\|/ |/gr . "\n" } @lines, map { "\n$_" } @{$table->{remarks} // []};
}

# All figures that have a limit.
sub limits {
    my @lines = ('| | measured | limit |', '|---|---|---|');
    for my $part (@parts) {
        for my $table (@{$part->{tables}}) {
            my ($of, @limited) = '';
            for my $row (@{$table->{rows}}) {
                my $what = $row->{what} =~ s/^\s+//r;
                my $is_part = $what ne $row->{what};
                $of = $what if !$is_part;
                # That there are none is said only where there are some.
                next if !$row->{limit} || $row->{limit} =~ /^none/ && !$row->{beyond};
                push @limited, '| ' . ($is_part ? "$of: $what" : $what) . ' | ' . figure($row, $row->{median}) . " | $row->{limit}"
                    . ($row->{beyond} ? ': **beyond it**' : '') . ' |';
            }
            push @lines, "| **$table->{heading}** | | |", @limited if @limited;
        }
    }
    return join '', map { "$_\n" } @lines;
}

# The peers beside each other, for each number of held requests.
sub peers {
    my $text = '';
    my %of;
    $of{$_->{x}}{$_->{who}}{$_->{plot}} = $_->{y} for grep { $_->{plot} ne 'passed' } @{$part{peers}{points}};
    for my $number (sort { $a <=> $b } keys %of) {
        $text .= '| ' . grouped($number) . " held | release, ms | failed | overtaken | places, at most | CPU while they wait | private memory each |\n|---|---|---|---|---|---|---|\n";
        for my $who (@PEERS) {
            my $its = $of{$number}{$who} // next;
            my $cell = sub { defined $its->{$_[0]} ? grouped(sprintf "%.$_[1]f", $its->{$_[0]}) . ($_[2] // '') : '–' };
            $text .= "| $who | " . join(' | ', $cell->('release', 0), $cell->('failed', 0), $cell->('overtaken', 0), $cell->('order', 0),
                $cell->('cpu', 1, ' ms/s'), $cell->('memory', 1, ' kB')) . " |\n";
        }
        $text .= "\n";
    }
    return $text . table($part{peers}{tables}[-1]);
}

sub plots {
    my $of = sub { my ($plot) = @_; return [grep { $_->{plot} eq $plot } @points] };
    my ($most) = sort { $b <=> $a } map { $_->{x} } grep { $_->{plot} eq 'order' && $_->{who} eq 'intermission' } @points;
    Intermission::Bench::Plot::lines("$PLOTS/release.svg", $of->('release'), log => 1, y => q(ms), title => q(From the resume to the last answer))
        if $part{peers};
    Intermission::Bench::Plot::lines("$PLOTS/flat.svg", $of->('flat'), y => 'µs', title => 'Per request released, four workers') if $part{flat};
    return if !$part{peers};
    Intermission::Bench::Plot::lines("$PLOTS/cpu.svg", $of->('cpu'), y => 'ms per s', title => 'CPU while requests are held');
    my $bars = sub {
        my ($plot, $title, $digits) = @_;
        my @its = grep { $plot eq 'passed' || $_->{x} == $most } @{$of->($plot)};
        Intermission::Bench::Plot::bars("$PLOTS/$plot.svg", \@its, title => $title, digits => $digits) if @its;
    };
    my $held = grouped($most // 0);
    $bars->('memory', "Private memory per held request, kB ($held held)", 1);
    $bars->('order', "Places from the order in which they were sent, at most ($held held)", 0);
    $bars->('passed', 'Not paused: requests passed on per second of CPU', 0);
}
