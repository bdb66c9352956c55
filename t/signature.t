#!/usr/bin/env perl
# A module that was built for another version of nginx, or with other options: nginx refuses it, and goes on with its
# old configuration, in a pause too.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Intermission;

my $module = Intermission::module_path();
plan skip_all => 'the module is linked into nginx' if Intermission::is_linked();

my $dir = tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
my $binary = $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx';
my ($version) = map { sprintf '%d%03d%03d', split /\./ } `$binary -v 2>&1` =~ m{/(\d+\.\d+\.\d+)};

# Copies the module, and changes what it says that it was built for.
sub doctored {
    my ($name, $change) = @_;
    my $program = Intermission::slurp($module);
    $change->($program) || die 'the module does not say it';
    Intermission::write_file("$dir/$name.so", $program);
    return "$dir/$name.so";
}

my $number = pack 'Q<', $version;
my %refusal = (
    doctored('version', sub { $_[0] =~ s/\Q$number\E/pack 'Q<', $version + 1000/ge }) =>
        qr/version ${\($version + 1000)} instead of $version in \S+nginx\.conf:\d+/,
    doctored('options', sub { $_[0] =~ s/\d,\d,\d,\K([01])(?=[01]{30})/1 - $1/ge }) => qr/is not binary compatible in \S+nginx\.conf:\d+/,
);

subtest 'a reload that brings it is refused in a pause, and those who are held go on' => sub {
    my $t = Intermission->new(workers => 2);
    my @workers = $t->workers;
    $t->control('enable');
    my $held = $t->send('/a');
    $t->wait_held(1);
    for my $other (sort keys %refusal) {
        $t->hup(module => $other);
        $t->wait_for(sub { $t->error_log =~ $refusal{$other} }, 'the refusal in the log');
        is_deeply [$t->workers], \@workers, "the workers are the same: $refusal{$other}";
    }
    my $later = $t->send('/b');
    $t->wait_held(2);
    $t->control('disable');
    is $_->response->{status}, 200, 'a held request is answered' for $held, $later;
    $t->hup(module => $module);
    $t->clean_ok(allow => [values %refusal]);
};
done_testing;
