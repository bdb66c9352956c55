package Intermission::Bench::Plot;

# Plots of what was measured, as SVG by gnuplot. They take the colours of the page's scheme, light or dark.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::Bench qw(grouped);
use List::Util qw(max uniq);

my %COLOUR = (
    'intermission' => '#e8590c', 'nginx alone' => '#868e96', 'Lua original' => '#1c7ed6', 'HAProxy' => '#2f9e44', 'Go' => '#be4bdb', 'limit_req' => '#c29200',
);
my @ORDER = ('intermission', 'nginx alone', 'Lua original', 'HAProxy', 'Go', 'limit_req');
my $STYLE = '<style>svg{color:#1f2328}text{fill:currentColor}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}</style>';

# All but nginx alone.
sub others { return grep { $_ ne 'nginx alone' } @ORDER }

# Lines over the number of held requests. $points: {who, x, y} each. %opt: title, y (its label), log (true: both axes).
sub lines {
    my ($file, $points, %opt) = @_;
    my @who = grep { my $who = $_; grep { $_->{who} eq $who } @$points } @ORDER;
    my ($data, @plots) = ('');
    for my $who (@who) {
        my $name = '$D' . @plots;
        $data .= "$name << EOD\n" . join('', map { "$_->{x} $_->{y}\n" } sort { $a->{x} <=> $b->{x} } grep { $_->{who} eq $who } @$points) . "EOD\n";
        push @plots, "$name using 1:2 with linespoints lw 2 pt 7 ps 0.5 lc rgb '$COLOUR{$who}' title '" . _text($who) . q(');
    }
    my @xs = uniq sort { $a <=> $b } map { $_->{x} } @$points;
    my $tics = join ', ', map { sprintf q('%s' %d), $_ =~ s/(?<=\d)(?=(?:\d{3})+$)/,/gr, $_ } @xs;
    _draw($file, <<"END" . $data . 'plot ' . join(', ', @plots) . "\n", 720, 380);
set logscale @{[$opt{log} ? 'xy' : 'x']}
@{[$opt{log} ? '' : 'set yrange [0:*]']}
set xrange [@{[$xs[0] * 0.9]}:@{[$xs[-1] * 1.1]}]
set xtics ($tics)
set xlabel 'held requests'
set ylabel '@{[_text($opt{y})]}'
set title '@{[_text($opt{title})]}'
set key outside right top Left reverse samplen 2
END
}

# A bar each. $points: {who, y}. %opt: title, digits.
sub bars {
    my ($file, $points, %opt) = @_;
    my @bars = map { my $who = $_; grep { $_->{who} eq $who } @$points } @ORDER;
    my $most = max(map { $_->{y} } @bars) || 1;
    my $data = join '', map {
        my $bar = $bars[$_];
        my $colour = hex substr $COLOUR{$bar->{who}}, 1;
        join("\t", -$_, $bar->{y}, $bar->{who}, $colour, grouped(sprintf "%.$opt{digits}f", $bar->{y})) . "\n";
    } 0 .. $#bars;
    _draw($file, <<"END", 720, 60 + 32 * @bars);
set title '@{[_text($opt{title})]}'
set datafile separator "\t"
set yrange [@{[-@bars + 0.4]}:0.6]
set xrange [0:@{[$most * 1.15]}]
unset xtics
set border 2
unset key
set style fill solid 0.9
\$D << EOD
${data}EOD
plot \$D using (\$2/2.):1:(\$2/2.):(0.35):4:ytic(3) with boxxyerrorbars lc rgb variable, \$D using 2:1:5 with labels left offset 0.6,0
END
}

sub _text { return $_[0] =~ s/'/''/gr }

sub _draw {
    my ($file, $script, $width, $height) = @_;
    my $program = <<"END";
set encoding utf8
set terminal svg size $width,$height fixed noenhanced font 'sans-serif,13' linewidth 1
set output '$file'
set border 3
set tics nomirror
set grid lc rgb '#808080' lw 0.4 dt 3
$script
END
    open my $gnuplot, '|-', 'gnuplot' or die "gnuplot: $!\n";
    binmode $gnuplot, ':encoding(UTF-8)';
    print $gnuplot $program;
    close $gnuplot or die "gnuplot failed for $file\n";
    my $svg = Intermission::slurp($file);
    # Black is the colour of the scheme.
    $svg =~ s/\s+color\s*=\s*"black"//g;
    $svg =~ s/(stroke|fill)\s*=\s*(["'])(?:black|rgb\(\s*0,\s*0,\s*0\))\2/$1=$2currentColor$2/g;
    $svg =~ s/(<svg[^>]*>)/$1$STYLE/;
    Intermission::write_file($file, $svg);
}

1;
