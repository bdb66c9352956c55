#!/usr/bin/env perl
# nginx's own ./configure and make build the module: as a file to load, or linked into nginx.
use strict;
use warnings;
use lib 't/lib';
use Cwd qw(getcwd);
use File::Temp qw(tempdir);
use Test::More;
use Intermission;

plan skip_all => 'once for each nginx is enough' if $ENV{TEST_NGINX_DEBUG};

my $root = getcwd();
my $dir = tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my ($sources) = `scripts/nginx-sources` =~ /NGINX_SOURCE_DIR=(\S+)/ or die 'no sources of nginx';
my $can_link = -e "$sources/src/core/nginx.c";
my $target = $ENV{CARGO_TARGET_DIR} // "$root/target";
# A test of the build, not of its speed.
my $environment = "CARGO_TARGET_DIR=$target NGINX_BINARY=";

subtest 'cargo, or libclang, is missing: configure says what to install' => sub {
    write_program('old-cargo', 'echo "release: 1.63.0"; echo "host: x86_64-unknown-linux-gnu"');
    write_program('broken-cargo', 'echo "rustup could not choose a version of cargo to run" >&2; exit 1');
    my ($exit, $output) = needs(CARGO => "$dir/no-cargo");
    is $exit, 1, 'no cargo: configure ends';
    like $output, qr{there is no \Q$dir\E/no-cargo in PATH.*install Rust 1\.87 or newer.*CARGO=/path}s, 'no cargo: it says what to do';
    ($exit, $output) = needs(CARGO => "$dir/old-cargo");
    is $exit, 1, 'an old cargo: configure ends';
    like $output, qr{Rust 1\.63\.0 is too old: it must be 1\.87 or newer}, 'an old cargo: it says so';
    ($exit, $output) = needs(CARGO => "$dir/broken-cargo");
    is $exit, 1, 'a cargo that fails: configure ends';
    like $output, qr{broken-cargo failed: rustup could not choose.*rustup default stable}s, 'a cargo that fails: it says what cargo said';
    ($exit, $output) = needs(intermission_libclang_places => "$dir");
    is $exit, 1, 'no libclang: configure ends';
    like $output, qr{there is no libclang.*libclang-dev.*clang-devel.*LIBCLANG_PATH=/path}s, 'no libclang: it says what to do';
    ($exit, $output) = needs();
    is $exit, 0, 'nothing is missing' or diag $output;
};

subtest 'sources of another product than the nginx that is to load the module are refused' => sub {
    write_program('nginx', 'echo "nginx version: openresty/1.27.1.2" >&2');
    my $command = ". auto/product; intermission_same_product \$(intermission_product_of_sources $sources)";
    my $output = `sh -c '$command $dir/nginx' 2>&1`;
    is $? >> 8, 1, 'it fails';
    like $output, qr{these are the sources of nginx/[\d.]+, but \Q$dir\E/nginx is openresty/1\.27\.1\.2$}m, 'it says why';
    is system("sh -c '$command /nowhere/nginx'"), 0, 'an nginx that is not there yet is not compared';
};

subtest 'products are told by their sources, and what cannot be built is refused' => sub {
    my $message = 'void ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,';
    my %header = (
        nginx => {'nginx.h' => '#define NGINX_VERSION "1.28.3"' . "\n" . '#define NGINX_VER "nginx/" NGINX_VERSION'},
        openresty => {'nginx.h' => '#define NGINX_VER "openresty/1.27.1" ".2"'},
        tengine => {'nginx.h' => '#define NGINX_VER "nginx/1.24.0"' . "\n" . '#define TENGINE_VER "Tengine/3.1.0"'},
        'angie-1.11' => {'nginx.h' => '#define NGINX_VER "nginx/1.29.3"', 'angie.h' => '#define ANGIE_VER "Angie/1.11.8"',
            'ngx_log.h' => "$message\n    const char *fmt, ...);"},
        'angie-1.13' => {'nginx.h' => '#define NGINX_VER "nginx/1.31.0"', 'angie.h' => '#define ANGIE_VER "Angie/1.13.0"',
            'ngx_log.h' => "$message\n    const char *filename, const char *fmt, ...);"},
    );
    my %product;
    for my $name (sort keys %header) {
        system("mkdir -p $dir/of-$name/src/core") == 0 or die 'mkdir';
        Intermission::write_file("$dir/of-$name/src/core/$_", "$header{$name}{$_}\n") for keys %{$header{$name}};
        chomp($product{$name} = `sh -c '. auto/product; intermission_product_of_sources $dir/of-$name'`);
    }
    is_deeply \%product, {nginx => 'nginx/1.28.3', openresty => 'openresty/1.27.1.2', tengine => 'Tengine/3.1.0',
        'angie-1.11' => 'Angie/1.11.8', 'angie-1.13' => 'Angie/1.13.0'}, 'each is told';
    my $can = ". auto/product; intermission_can_build_with $dir/of";
    is system("sh -c '$can-angie-1.11'"), 0, 'an Angie for which the module can be built passes';
    my $output = `sh -c '$can-angie-1.13' 2>&1`;
    is $? >> 8, 1, 'one for which it cannot is refused';
    like $output, qr{it cannot be built for Angie/1\.13\.0\n.*of Angie, 1\.11 is the newest}, 'it says why';
};

subtest 'options-of prints the options of an nginx that a module must share' => sub {
    my $all = q{--with-cc-opt='-O2 -DNAME=\\"x\\"' --prefix=/etc/nginx --with-compat --with-http_v2_module }
        . q{--with-pcre=../pcre2 --with-openssl=../openssl --with-http_perl_module=dynamic --add-dynamic-module=/build/lua};
    write_program('nginx', "cat >&2 <<'END'\nnginx version: nginx/1.28.3\nconfigure arguments: $all\nEND");
    my @left = split /\n/, `eval "printf '%s\n' \$(auto/options-of $dir/nginx)"`;
    is_deeply \@left, ['--with-cc-opt=-O2 -DNAME=\"x\"', qw(--prefix=/etc/nginx --with-compat --with-http_v2_module --with-pcre)],
        'other modules and folders of libraries are left out; quotes are kept';
};

if ($can_link) {
    subtest 'linked into nginx, with few other modules' => sub {
        my @without = qw(gzip charset userid autoindex geo split_clients grpc memcached
            empty_gif browser upstream_hash upstream_ip_hash upstream_random);
        my $options = join ' ', '--add-module=' . $root, "--with-cc-opt='-O0 -Wno-error'", '--with-debug', '--with-http_v2_module', '--with-http_addition_module', '--with-http_auth_request_module',
            map { "--without-http_${_}_module" } @without;
        build($options, 'binary');
        my $modules = Intermission::slurp("$dir/objs/ngx_modules.c");
        like $modules, qr/&ngx_http_upstream_zone_module,\n\s+&ngx_http_intermission_module,\n\s+&ngx_http_write_filter_module/,
            'it stands behind nginx\'s own modules of its kind';
        local @ENV{qw(TEST_NGINX_BINARY TEST_NGINX_MODULE)} = ("$dir/objs/nginx", 'linked');
        my $output = `prove t/hold.t t/release.t t/redirects.t 2>&1`;
        is $?, 0, 'requests are held and released in order' or diag $output;
        again("$dir/objs/nginx", 'binary');
    };
} else {
    subtest 'a file to load, with the options of the installed nginx' => sub {
        build("--add-dynamic-module=$root", 'modules');
        my $module = "$dir/objs/ngx_http_intermission_module.so";
        is_deeply [`nm -D --defined-only $module` =~ / [A-Z] (\w+)$/mg], [qw(ngx_module_names ngx_module_order ngx_modules)],
            'it exports what nginx looks for, and nothing else';
        my $t = Intermission->new(module => $module);
        $t->control('enable');
        my $held = $t->send('/a');
        $t->wait_held(1);
        $t->control('disable');
        is $held->response->{status}, 200, 'a request is held and released';
        $t->clean_ok;
        again($module, 'modules');
    };
}
done_testing;

# Configures a copy of nginx's sources, with the objects elsewhere, and makes these.
sub build {
    my ($options, $what) = @_;
    my $all = $can_link ? './configure' : '. ./conf_flags; ./configure "${NGX_CONF_FLAGS[@]}"';
    my $configure = -x "$sources/configure" ? $all : $all =~ s{\./configure}{auto/configure}r;
    my $log = "$dir/build.log";
    system("mkdir $dir/sources && cd $sources && cp -R \$(ls | grep -vxE 'objs|compat') $dir/sources") == 0 or die 'no copy';
    my $command = "$configure $options --builddir=$dir/objs && make -j2 -f $dir/objs/Makefile $what";
    my $done = system('bash', '-c', "cd $dir/sources && export $environment && { $command; } >$log 2>&1");
    is $done, 0, 'configure and make succeed' or die Intermission::slurp($log);
}

# Nothing is made again if nothing has changed: `make install` by root needs no cargo.
sub again {
    my ($file, $what) = @_;
    my $before = (stat $file)[9];
    my $output = `cd $dir/sources && $environment make -f $dir/objs/Makefile $what 2>&1`;
    is $?, 0, 'make succeeds once more' or diag $output;
    unlike $output, qr/cargo/, 'without cargo';
    is +(stat $file)[9], $before, 'and makes nothing';
}

# What config says about the programs that it needs.
sub needs {
    my (%environment) = @_;
    my $set = join ' ', map { "$_='$environment{$_}'" } sort keys %environment;
    my $output = `cd $root && $set sh -c 'ngx_intermission_dir=.; . auto/needs' 2>&1`;
    return ($? >> 8, $output);
}

sub write_program {
    my ($name, $text) = @_;
    Intermission::write_file("$dir/$name", "#!/bin/sh\n$text\n");
    chmod 0755, "$dir/$name";
}
