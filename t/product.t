#!/usr/bin/env perl
# An nginx of another product, whose structures differ: neither the build nor nginx takes the module for it.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;

my ($real, $dir, $version);

# Copies nginx, and changes what it says of itself to a text of the same length.
sub doctored {
    my ($name, $says) = @_;
    my $text = 'nginx version: nginx';
    open my $from, '<:raw', $real or die "$real: $!";
    my $program = do { local $/; <$from> };
    ($program =~ s/\Q$text\E/$says/g) || die "$real does not say \"$text\"";
    open my $to, '>:raw', "$dir/$name" or die "$dir/$name: $!";
    print {$to} $program;
    close $to or die "$dir/$name: $!";
    chmod 0755, "$dir/$name";
}

# One nginx has another name, one does not say its name.
BEGIN {
    $real = $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx';
    $dir = tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    ($version) = `$real -v 2>&1` =~ m{nginx/(\S+)} or die "$real -v";
    doctored(other => 'nginx version: other');
    doctored(silent => 'nginx which is nginx');
    $ENV{TEST_NGINX_BINARY} = "$dir/other";
}
use Intermission;

my $refusal = "intermission was built for nginx/$version, but this is other/$version, which has other structures: "
    . "build the module with the sources of other/$version";

subtest 'nginx -t refuses the module, and says what to do' => sub {
    my ($exit, $output) = Intermission::nginx_t();
    is $exit, 1, 'nginx -t fails';
    like $output, qr/\[emerg\] .*\Q$refusal\E in \S+nginx\.conf:\d+$/m, 'it names both products';
};

subtest 'a reload that brings the module is refused, and nginx goes on' => sub {
    my $t = Intermission->new(with_module => 0, workers => 1);
    my @workers = $t->workers;
    $t->hup(with_module => 1);
    $t->wait_for(sub { $t->error_log =~ /\Q$refusal\E/ }, 'the refusal in the log');
    is_deeply [$t->workers], \@workers, 'the worker is the same';
    is $t->get('/')->{status}, 200, 'it answers';
    $t->hup(with_module => 0);
    $t->clean_ok(allow => [qr/\Q$refusal\E/]);
};

subtest 'a program that does not say what it is passes' => sub {
    my $conf = "$dir/nginx.conf";
    Intermission::write_file($conf, 'load_module ' . Intermission::module_path()
        . "; pid $dir/nginx.pid; error_log stderr; events {} http { access_log off; }");
    my $output = `$dir/silent -t -p $dir -c $conf 2>&1`;
    is $? >> 8, 0, 'nginx -t succeeds' or diag $output;
};

subtest 'the build refuses sources of another product than the nginx that is to load the module' => sub {
    my $output = `NGINX_BINARY=$dir/other OUTPUT=$dir/module.so scripts/build 2>&1`;
    isnt $?, 0, 'scripts/build fails';
    like $output, qr{these are the sources of nginx/\Q$version\E, but \Q$dir\E/other is other/\Q$version\E$}m, 'it says why';
    ok !-e "$dir/module.so", 'nothing is built';
};
done_testing;
