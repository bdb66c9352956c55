# The Debian packages: installed, upgraded, removed and purged while an app is paused, in a copy of the root of
# this machine, or of TEST_ROOT. TEST_PACKAGES: two folders with a build each; else the modules of the other tests are packaged.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission;
use Intermission::Client;
use Intermission::Process;
use Intermission::Root;
use JSON::PP ();
use Test::More;

plan skip_all => 'only root can do this' if $> != 0;
plan skip_all => 'the packages are for the nginx of a package' if $ENV{TEST_NGINX_BINARY};
for my $program (qw(unshare chroot ip dpkg dpkg-buildpackage dh_nginx)) {
    plan skip_all => "$program is missing" if !grep { -x "$_/$program" } qw(/usr/sbin /usr/bin /sbin /bin);
}

my $name = 'libnginx-mod-http-intermission';
my $so = '/usr/lib/nginx/modules/ngx_http_intermission_module.so';
my $link = '/etc/nginx/modules-enabled/60-mod-http-intermission.conf';
my $state = '/var/lib/intermission/state';
my $command = $ENV{TEST_CLI} // Intermission::root() . '/target/release/intermission';

my $root = Intermission::Root::enter($ENV{TEST_ROOT} // '/');
my $work = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my @builds = builds();
app();
my $log = bless {dir => $work}, 'Intermission::Logs';
$root->write('/usr/sbin/policy-rc.d', <<'END', 0755);
#!/bin/sh
# No package starts nginx. One that runs may be reloaded.
case "$*" in *" reload"* | *" status"*) exit 0 ;; esac
exit 101
END
$root->run('sed', '-i', 's/worker_processes .*;/worker_processes 2;/', '/etc/nginx/nginx.conf');
my %before = map { $_ => 1 } $root->changed(qw(etc usr var/lib/intermission));

my @held;

subtest 'an nginx that runs loads the module when it is installed' => sub {
    start();
    my @workers = workers();
    my ($exit, $output) = install($builds[0]);
    is $exit, 0, 'the package is installed' or diag $output;
    like $output, qr/Triggering nginx reload/, 'its installation reloads nginx';
    wait_for(sub { my %now = map { $_ => 1 } workers(); !grep { $now{$_} } @workers }, 'new workers');
    is_deeply [builds_in_use()], ['new'], 'nginx runs the module';
    is readlink $root->path($link), '/usr/share/nginx/modules-available/mod-http-intermission.conf', 'the module is enabled as those of nginx';
    is slurp('/usr/share/nginx/modules-available/mod-http-intermission.conf'), "load_module modules/ngx_http_intermission_module.so;\n",
        'the snippet loads the module, and does nothing else';
    my $folder = [stat $root->path('/var/lib/intermission')];
    is_deeply [$folder->[2] & 07777, @$folder[4, 5]], [0755, 0, 0], "the state file's folder belongs to root";
    my (undef, $needs) = $root->run('dpkg-query', '-W', '-f', '${Depends}', $name);
    my (undef, $provides) = $root->run('dpkg-query', '-W', '-f', '${Provides}', 'nginx');
    my ($abi) = $provides =~ /(nginx-abi-[\w.-]+)/;
    like $needs, qr/\b\Q$abi\E(?:,|$)/, "it depends on the nginx that it was built for: $abi";
};

subtest 'an upgrade in a pause changes nothing for who is held' => sub {
    configure();
    my ($exit, $output) = $root->run('nginx', '-t');
    is $exit, 0, 'nginx takes the directives' or diag $output;
    reload();
    pause(40);
    my @workers = workers();
    ($exit, $output) = install($builds[1]);
    is $exit, 0, 'the other build is installed' or diag $output;
    like $output, qr/nginx still runs the build of the module with which it was started.*systemctl restart nginx/s, 'it says what to do';
    unlike $output, qr/Triggering nginx reload/, 'nginx is not reloaded';
    is_deeply [workers()], \@workers, 'the workers are the same';
    is status()->{held}, 40, 'all are still held';
    ($exit, $output) = $root->run('nginx', '-t');
    is $exit, 0, 'nginx -t takes the new build' or diag $output;
    hold(10);
    reload();
    is_deeply [builds_in_use()], ['old'], 'after a reload too, all processes of nginx run the build with which it was started';
    hold(10);
    my ($one) = workers();
    kill KILL => $one;
    wait_for(sub { !grep { $_ == $one } workers() and workers() == 2 }, 'another worker');
    is_deeply [builds_in_use()], ['old'], 'a worker that is started anew runs it too';
    hold(10);
    my $lost = grep { my $client = $_; $client->answered } @held;
    resumed($lost);
    # As Debian's own packages do it: a new nginx takes over from the old one.
    my @old = processes();
    ($exit, $output) = $root->run('/etc/init.d/nginx', 'upgrade');
    is $exit, 0, 'a new nginx takes over' or diag $output;
    wait_for(sub { my %now = map { $_ => 1 } processes(); !grep { $now{$_} } @old }, 'the old nginx is gone');
    is_deeply [builds_in_use()], ['new'], 'it runs the new build';
};

subtest 'a pause outlives the restart that a new build needs' => sub {
    pause(5);
    my $pause = status()->{pause};
    $root->run('/etc/init.d/nginx', 'restart');
    wait_for(sub { workers() == 2 }, 'nginx is started again');
    is_deeply [map { $_->response->{status} } splice @held], [(503) x 5], 'those who are held are told to come back';
    is status()->{pause}, $pause, 'the app is still paused';
    hold(5);
    resumed();
};

subtest 'the command comes with its manual, and speaks to this nginx' => sub {
    my ($exit, $output) = install($builds[0], 'intermission');
    is $exit, 0, 'its package is installed' or diag $output;
    my @files = map { slurp("/var/lib/dpkg/info/intermission.list") =~ m{^(/\Q$_\E)$}m ? () : $_ } qw(usr/bin/intermission
        usr/share/man/man1/intermission.1.gz usr/share/man/man1/intermission-run.1.gz
        usr/share/bash-completion/completions/intermission usr/share/doc/intermission/examples/intermission.toml
        usr/share/doc/intermission/examples/intermission-agent.service);
    is_deeply \@files, [], 'it has the command, the manual, completions and an example';
    ($exit, $output) = $root->run(qw(intermission run --host http://127.0.0.1:8000 --wait 2s -- sh -c), 'echo "in a pause"');
    is $exit, 0, 'a command runs in a pause of this nginx' or diag $output;
    like $output, qr/^in a pause$/m, 'and says what it does';
    is status()->{state}, 'open', 'then the app is open';
    ($exit, $output) = $root->run('dpkg', '-P', 'intermission');
    is $exit, 0, 'its package is purged' or diag $output;
};

subtest 'an operator who disabled the module finds it disabled after an upgrade' => sub {
    rename $root->path($link), "$work/link" or system('mv', $root->path($link), "$work/link");
    my ($exit, $output) = install($builds[0]);
    is $exit, 0, 'the package is installed' or diag $output;
    ok !-l $root->path($link), 'it is still disabled';
    symlink '/usr/share/nginx/modules-available/mod-http-intermission.conf', $root->path($link);
    $root->run('/etc/init.d/nginx', 'restart');
    wait_for(sub { workers() == 2 }, 'nginx is started again');
};

subtest 'a removal in a pause ends no pause' => sub {
    pause(20);
    my ($exit, $output) = $root->run('dpkg', '-r', $name);
    is $exit, 0, 'the package is removed' or diag $output;
    like $output, qr/nginx still runs the module: pauses and held requests go on/, 'it says that nginx goes on';
    like $output, qr/nginx cannot be reloaded or started.*remove them/, 'it says what is left to do';
    ($exit) = $root->run('nginx', '-t');
    isnt $exit, 0, 'nginx -t refuses the directives';
    $root->run('/etc/init.d/nginx', 'reload');
    is status()->{held}, 20, 'all are still held, after a reload that nginx refuses too';
    hold(5);
    resumed();
};

subtest 'a package that comes back is enabled again' => sub {
    pause(5);
    my ($exit, $output) = install($builds[0]);
    is $exit, 0, 'the package is installed' or diag $output;
    ok -l $root->path($link), 'the module is enabled';
    ($exit, $output) = $root->run('nginx', '-t');
    is $exit, 0, 'nginx takes the directives again' or diag $output;
    reload();
    hold(5);
    resumed();
};

subtest 'a purge in a pause ends no pause, and leaves no file' => sub {
    pause(20);
    my ($exit, $output) = $root->run('dpkg', '-P', $name);
    is $exit, 0, 'the package is purged' or diag $output;
    is status()->{held}, 20, 'all are still held';
    resumed();
    $root->run('rm', '/etc/nginx/conf.d/intermission.conf', '/etc/nginx/sites-enabled/intermission');
    $root->run('/etc/init.d/nginx', 'restart');
    wait_for(sub { workers() >= 1 }, 'nginx is started again');
    is_deeply [builds_in_use()], [], 'nginx runs without the module';
    is_deeply [grep { !$before{$_} } $root->changed(qw(etc usr var/lib/intermission))], [], 'no file is left';
    ok !-e $root->path('/var/lib/intermission'), 'nor the folder';
};

subtest 'a module that was enabled by hand is not loaded twice' => sub {
    $root->write('/etc/nginx/modules-enabled/60-intermission.conf', "load_module modules/ngx_http_intermission_module.so;\n");
    my ($exit, $output) = install($builds[0]);
    like $output, qr{not enabled: /etc/nginx/modules-enabled/60-intermission.conf loads the module already}, 'the package says so';
    ($exit, $output) = $root->run('nginx', '-t');
    is $exit, 0, 'nginx takes the module' or diag $output;
};

$root->run('/etc/init.d/nginx', 'stop');
done_testing;

# ---- packages

# The folders of two builds of the packages.
sub builds {
    my @folders = split ' ', $ENV{TEST_PACKAGES} // '';
    return @folders ? @folders : map { package_of(@$_) } [1, Intermission::module_path()], [2, $ENV{TEST_NGINX_FAULTY} // Intermission::module_path()];
}

# Makes the packages of a module that is built already. Returns their folder.
sub package_of {
    my ($revision, $module) = @_;
    my $tree = "$work/$revision/tree";
    mkdir "$work/$revision";
    mkdir $tree;
    my $from = Intermission::root();
    system('cp', '-r', (map { "$from/$_" } qw(debian scripts docs nginx-conf packaging README.md CHANGELOG.md)), $tree) == 0 or die 'cp fails';
    my $changelog = Intermission::Process::slurp("$tree/debian/changelog");
    my ($version) = $changelog =~ /\((.*?)-/;
    Intermission::write_file("$tree/debian/changelog", $changelog =~ s/\Q$version\E-\S+\)/$version-$revision)/r);
    my $built = local $ENV{INTERMISSION_BUILT} = "$work/$revision/built";
    mkdir $built;
    system('cp', $module, "$built/ngx_http_intermission_module.so") == 0 && system('cp', $command, "$built/intermission") == 0 or die 'cp fails';
    local $ENV{DEB_BUILD_OPTIONS} = 'nostrip';
    local $ENV{DEB_BUILD_PROFILES} = 'pkg.intermission.rustup';
    system("cd $tree && dpkg-buildpackage --build=binary --no-sign -d >log 2>&1") == 0 or die Intermission::Process::slurp("$tree/log");
    return "$work/$revision";
}

# Installs a package of one of the builds.
sub install {
    my ($folder, $package) = @_;
    return $root->run('dpkg', '-i', $root->bring(glob "$folder/" . ($package // $name) . '_*.deb'));
}

# ---- nginx

sub start {
    my ($exit, $output) = $root->run('/etc/init.d/nginx', 'start');
    wait_for(sub { workers() >= 1 }, "nginx to start: $output");
}

sub configure {
    $root->write('/etc/nginx/conf.d/intermission.conf', "intermission_state_file $state;\n");
    $root->write('/etc/nginx/sites-enabled/intermission', <<'END');
server {
    listen 127.0.0.1:8000;
    location / { intermission on; proxy_set_header X-Position $intermission_position; proxy_pass http://unix:/run/app.sock; }
    location ^~ /_intermission { intermission_control; }
}
END
}

sub reload {
    my %old = map { $_ => 1 } workers();
    my ($exit, $output) = $root->run('/etc/init.d/nginx', 'reload');
    is $exit, 0, 'nginx is reloaded' or diag $output;
    wait_for(sub { my @now = workers(); @now == 2 && !grep { $old{$_} } @now }, 'new workers');
}

sub workers {
    my @workers = sort { $a <=> $b } grep { Intermission::Process::title($_) eq 'nginx: worker process' } processes();
    return @workers;
}

sub processes {
    return grep { Intermission::Process::title($_) =~ /^nginx: / } map { m{(\d+)$} } glob '/proc/[0-9]*';
}

# Which builds the processes of nginx run: new (the file that is installed) and old (one that was replaced).
sub builds_in_use {
    my %seen;
    for my $pid (processes()) {
        my $maps = Intermission::Process::slurp("/proc/$pid/maps") // next;
        $seen{$1 ? 'old' : 'new'} = 1 while $maps =~ /\Q$so\E( \(deleted\))?$/mg;
    }
    return sort keys %seen;
}

# ---- requests

sub app {
    my $socket = $root->path('/run/app.sock');
    my $crowd = $ENV{TEST_CROWD} // Intermission::root() . '/target/release/crowd';
    pipe my $ready, my $stdout or die "pipe: $!";
    Intermission::Process::start('app', [$crowd, 'backend', '--listen', "unix:$socket", '--log', "$work/backend.log"], stdout => $stdout);
    close $stdout;
    <$ready> // die "the app does not start\n";
    chmod 0777, $socket;
}

sub get {
    my ($target) = @_;
    return Intermission::Client->new(to => '127.0.0.1:8000')->request($target)->response;
}

sub status { return JSON::PP::decode_json(get('/_intermission/status?format=json')->{body}) }

sub pause {
    my ($number) = @_;
    is get('/_intermission/enable')->{status}, 200, 'the app is paused';
    hold($number);
}

# So many more requests are held.
sub hold {
    my ($number) = @_;
    for (1 .. $number) {
        push @held, Intermission::Client->new(to => '127.0.0.1:8000')->request('/' . @held);
        wait_for(sub { status()->{held} == @held - grep { $_->answered } @held }, 'a request to be held');
    }
}

# The pause ends. All are answered but those who were cut off, and they came to the app in their order.
sub resumed {
    my ($lost) = @_;
    is get('/_intermission/disable')->{status}, 200, 'the pause ends';
    my %status;
    $status{$_->response->{status}}++ for @held;
    my $number = @held - ($lost // 0);
    is delete $status{200}, $number, "$number requests are answered";
    is_deeply \%status, $lost ? {0 => $lost} : {}, 'no other gets an error';
    my @came = $log->backend_log;
    is $log->inversions(map { {%$_, place => $_->{target} =~ s{/}{}r} } splice @came, -$number), 0, 'they came to the app in their order';
    @held = ();
}

sub wait_for {
    my ($condition, $what) = @_;
    return Intermission::Process::wait_until($condition, 15) // die "not in time: $what\n";
}

sub slurp { return Intermission::Process::slurp($root->path($_[0])) // '' }
