# State files of earlier releases, as nginx wrote them then (t/data/state-VERSION), are read for ever.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $t = Intermission->new(workers => 1, http => "intermission_state_file state;\n", locations => <<'END');
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control apps=*; }
END

my %paused = (
    basecamp => {state => 'paused', reason => 'db switch "now"', by => 'deploy', pause => 218035855392},
    highrise => {state => 'stopped', reason => 'too slow', by => 'ops', pause => 218035855390},
    'camp%ff%20fire' => {state => 'paused', reason => undef, by => '127.0.0.1', pause => 218035855391},
);

for my $file (glob Intermission::root() . '/t/data/state-*') {
    my ($version) = $file =~ /state-(.*)/;
    $t->end_nginx;
    Intermission::write_file($t->dir . '/state', Intermission::slurp($file));
    chmod 0600, $t->dir . '/state';
    $t->start_nginx;
    for my $app (sort keys %paused) {
        my $status = $t->status(app => $app);
        is_deeply {map { $_ => $status->{$_} } keys %{$paused{$app}}}, $paused{$app}, "$version: $app is as it was";
        is_deeply [@{$status->{pace}}{qw(spread concurrency)}], [5, 20], "$version: so is its pace";
        is $status->{until}, undef, "$version: its pause has no end";
    }
    is $t->control('disable?token=40')->{status}, 409, "$version: an older fencing token than basecamp's is refused";
    is $t->status(app => 'launchpad')->{state}, 'open', "$version: launchpad's lease ended meanwhile";
    cmp_ok $t->control('enable?app=queenbee')->{headers}{'intermission-pause'}, '>', 218035855392, "$version: a new pause has a greater number";
    is $t->control("disable?app=$_")->{status}, 200, "$version: the pause of $_ ends" for sort(keys %paused), 'queenbee';
}

$t->clean_ok;
done_testing;
