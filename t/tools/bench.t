# Each part of scripts/bench measures, in tiny sizes and with limits that are twenty times wider.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission;
use JSON::PP ();
use Test::More;

my ($usage) = qx($^X t/bench.pl --help 2>&1) =~ /^parts: ([\w -]+);/m or die 'no usage';
my @parts = split ' ', $usage;
my $folder = File::Temp->newdir;

subtest 'each part has figures, and none is beyond its limit' => sub {
    my $printed = qx($^X t/bench.pl --trial --json $folder/bench.json @parts 2>&1);
    is $?, 0, 'the exit status is 0' or diag $printed;
    my $json = JSON::PP::decode_json(Intermission::slurp("$folder/bench.json") || '{"parts": []}');
    is_deeply [map { $_->{part} } @{$json->{parts}}], \@parts, 'the JSON has each part';
    for my $part (@{$json->{parts}}) {
        my @rows = map { @{$_->{rows}} } @{$part->{tables}};
        cmp_ok scalar(grep { defined $_->{median} } @rows), '>=', 3, "$part->{part} has figures";
        cmp_ok scalar(grep { $_->{limit} } @rows), '>=', 1, "$part->{part} has limits";
        is_deeply [map { @{$_->{remarks} // []} } @{$part->{tables}}], [], "$part->{part} logs nothing else";
    }
};

subtest 'the page has what was measured' => sub {
    my $root = Intermission::root();
    mkdir "$folder/docs";
    Intermission::write_file("$folder/docs/benchmarks.md", "<!-- bench: release -->\nold\n<!-- end -->\n<!-- bench: nothing -->\nkept\n<!-- end -->\n");
    is qx(cd $folder && $^X $root/t/bench-docs.pl bench.json 2>&1), '', 'it says nothing';
    my $page = Intermission::slurp("$folder/docs/benchmarks.md");
    like $page, qr/^<!-- bench: release -->\n\| 100 held, 2 workers, 2 pairs \| median \|.*^\| nginx alone: from go/ms, 'a part has its table';
    unlike $page, qr/^old$/m, 'what was there is gone';
    like $page, qr/^kept$/m, 'a block of a part that was not measured stays';
};

subtest 'a figure that is beyond its limit makes the exit status 1' => sub {
    my $program = 'use Intermission::Bench; Intermission::Bench::part("x"); heading("x"); at_most(1, row("y", 0, 1, 2, 3)); exit(Intermission::Bench::end() ? 1 : 0)';
    like qx($^X -It/lib -e '$program'), qr/^  y +1 +2 +3   at most 1: beyond its limit$/m, 'it says so in the table';
    is $? >> 8, 1, 'the exit status is 1';
};

subtest 'an unknown part is refused' => sub {
    like qx($^X t/bench.pl nonsense 2>&1), qr/^usage: /, 'it prints the usage';
    is $? >> 8, 2, 'the exit status is 2';
};

done_testing;
