package Intermission::Failover::Command;

# The command `intermission`, and how commands are run and noted.

use strict;
use warnings;
use Intermission;
use Test::More ();

sub path { $ENV{TEST_CLI} // Intermission::root() . '/target/release/intermission' }

# Makes a folder for a PATH, in which `intermission` knows this control endpoint. Returns it.
sub folder {
    my ($dir, $control) = @_;
    my $folder = "$dir/bin";
    return $folder if -d $folder;
    mkdir $folder or die "$folder: $!";
    mkdir "$dir/run", 0700 or die "$dir/run: $!";
    # What it remembers of a key is in the folder `run`.
    Intermission::write_file("$folder/intermission",
        "#!/bin/sh\nINTERMISSION_HOSTS=$control INTERMISSION_RUNTIME_DIR=$dir/run exec @{[path()]} \"\$@\"\n");
    chmod 0755, "$folder/intermission";
    return $folder;
}

# Runs a command, and notes what it prints. Returns its exit code.
sub note_run {
    my (@command) = @_;
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @command or die "sh: $!";
    Test::More::note($_) while <$out>;
    close $out;
    return $? >> 8;
}

1;
