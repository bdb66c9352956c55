package Intermission::Root;

# A copy of a Debian root, for one test file: the packages that are installed in it are gone when the test ends. It
# has processes and a network of its own, and so does the test.
#
#   my $root = Intermission::Root::enter();    # first of all: it starts the test once more
#   my ($exit, $output) = $root->run('dpkg', '-i', $root->bring('a.deb'));

use strict;
use warnings;
use File::Basename ();
use File::Copy ();
use File::Path ();
use Intermission::Process;

# Changes are kept in memory. Not a folder that something could clean up: devices are mounted below it.
my $mount = '/mnt';
my $root = "$mount/root";

# Returns the root, a copy of the folder $base, if the test runs in a namespace already; else starts it there, and does not return.
sub enter {
    my ($base) = @_;
    if (!delete $ENV{INTERMISSION_ROOT}) {
        $ENV{INTERMISSION_ROOT} = 1;
        # bash is the first process: it reaps an nginx that its own parent left.
        exec qw(unshare --mount --propagation private --pid --fork --kill-child --net -- bash -c), '"$@"; exit $?', 'test', $^X, $0;
        die "unshare: $!";
    }
    _do(qw(mount -t proc none /proc));
    _do(qw(mount -t tmpfs none), $mount);
    File::Path::make_path("$mount/changes", "$mount/work", $root);
    _do(qw(mount -t overlay none -o), "lowerdir=$base,upperdir=$mount/changes,workdir=$mount/work", $root);
    _do(qw(mount -t proc none), "$root/proc");
    _do(qw(mount -t tmpfs none), "$root/$_") for qw(dev run tmp);
    # The machine's own dpkg may run meanwhile, and an overlay does not take it when what is below changes.
    _do(qw(mount -t tmpfs none), "$root/var/lib/dpkg");
    _do('cp', '-a', "$base/var/lib/dpkg/.", "$root/var/lib/dpkg");
    my %device = (null => [1, 3], zero => [1, 5], random => [1, 8], urandom => [1, 9]);
    _do('mknod', '-m', '666', "$root/dev/$_", 'c', @{$device{$_}}) for keys %device;
    _do(qw(ip link set lo up));
    return bless {};
}

# Runs a command in the root. Returns its exit code and all that it printed.
sub run {
    my ($self, @command) = @_;
    my $pid = open(my $output, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        %ENV = (PATH => '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND => 'noninteractive', LC_ALL => 'C');
        exec 'chroot', $root, @command;
        die "chroot: $!";
    }
    # A daemon that the command started may keep the pipe open.
    my $text = '';
    my ($ended, $read);
    Intermission::Process::wait_until(sub {
        $ended = waitpid($pid, 1) if !$ended;
        $output->blocking(0);
        1 while $read = sysread $output, $text, 65536, length $text;
        return $ended || undef;
    }, 120) or die "@command does not end";
    return ($? >> 8, $text);
}

# Where a path of the root is, seen from outside.
sub path { return $root . $_[1] }

# Copies a file into the root. Returns its path there.
sub bring {
    my ($self, $file) = @_;
    my $to = '/tmp/' . File::Basename::basename($file);
    File::Copy::copy($file, $root . $to) or die "$file: $!";
    return $to;
}

sub write {
    my ($self, $path, $text, $mode) = @_;
    open my $file, '>', $root . $path or die "$path: $!";
    print {$file} $text;
    close $file or die "$path: $!";
    chmod $mode // 0644, $root . $path;
}

# The files below these folders that were made or changed since the root was copied.
sub changed {
    my ($self, @folders) = @_;
    my @found = split /\n/, `cd $mount/changes && find @folders ! -type d -printf '/%p\\n' 2>/dev/null`;
    return sort grep { my $at = "$mount/changes$_"; -l $at || -f $at } @found;
}

sub _do {
    system(@_) == 0 or die "@_ fails";
}

1;
