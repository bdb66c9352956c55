# What scripts/record runs: two nginx with an app each, clients, and a shell that does one maintenance. Its argument is the file of the
# recording.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Cli;

my ($cast) = @ARGV;
my %conf = (
    workers => 2, http => "intermission_state_file state;\n",
    locations => <<'END',
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location ^~ /_intermission { error_log @DIR@/pauses.log notice; intermission_control; intermission_lease 5m; }
END
);
my @nginx = map { Intermission->new(%conf) } 1, 2;
my $cli = Intermission::Cli->new(@nginx);
my $dir = $cli->dir;
Intermission::write_file("$dir/intermission.toml", "[defaults]\nhosts = [" . join(', ', map { '"' . Intermission::Cli::url($_) . '"' } @nginx) . "]\n");
Intermission::write_file("$dir/switch-database", <<'END');
#!/bin/sh
for step in 'db1 is read-only' 'db2 has all that db1 has' 'db2 takes writes' 'the app writes to db2'; do
    sleep 0.8
    echo "switch-database: $step"
done
END
Intermission::write_file("$dir/session", <<'END');
show() { printf '\033[1m$ '; printf '%s' "$1" | sed 's/./&\n/g' | while IFS= read -r letter; do printf '%s' "$letter"; sleep 0.02; done; printf '\033[0m\n'; eval "$1"; }
show 'intermission check --pause 20s'
sleep 1.5
echo
show "intermission run --reason 'db switch' -- ./switch-database"
sleep 1
echo
show 'intermission status'
END
chmod 0755, "$dir/switch-database";
symlink Intermission::Cli::binary(), "$dir/intermission" or die "symlink: $!";
my @crowds = map { $_->crowd('--count', 60 * 25, '--rate', 60, '--timeout', 60, '--path', '/projects/{i}?delay=20') } @nginx;
my @imports = map { $_->send('/import?delay=9000') } @nginx;

$ENV{$_->[0]} = $_->[1] for [PATH => "$dir:$ENV{PATH}"], [HOME => $dir], [INTERMISSION_CONFIG => "$dir/intermission.toml"], [INTERMISSION_BY => 'alice'], [TERM => 'xterm-256color'];
chdir $dir or die "$dir: $!";
my $root = Intermission::root();
($cast) = map { m{^/} ? $_ : "$root/$_" } $cast;
my $status = system 'python3', "$root/t/lib/record.py", $cast, 24, 100, 'sh', "$dir/session";
chdir $root or die "$root: $!";
my @results = map { $_->done } @crowds;
$_->response(20) for @imports;
die "the session ended with $status\n" if $status;
