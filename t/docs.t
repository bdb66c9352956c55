# README.md, CONTRIBUTING.md, CHANGELOG.md, t/README.md and docs/: the links lead somewhere, and the samples work.

use strict;
use warnings;
use utf8;
use lib 't/lib';
use File::Find ();
use File::Temp;
use Intermission;
use Test::More;

my $root = Intermission::root();
binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);
my @texts = sort map { s{^\Q$root\E/}{}r } "$root/README.md", "$root/CONTRIBUTING.md", "$root/CHANGELOG.md", "$root/t/README.md", glob "$root/docs/*.md";
my %text = map { my $text = Intermission::slurp("$root/$_"); utf8::decode($text); ($_ => $text) } @texts;

# File name => the text of all files of that name in src/.
my %source;
File::Find::find({no_chdir => 1, wanted => sub { $source{$1} .= Intermission::slurp($_) if m{([^/]+\.rs)$} }}, "$root/src");

# ---- links and names

# The text without samples: fenced ones, lines that are indented by four, and code in a line.
sub prose {
    my ($text) = @_;
    $text =~ s/^( *)```.*?^\1```$//gms;
    $text =~ s/^ {4,}(?![*\d]).*$//gm;
    $text =~ s/`[^`]*`/x/g;
    return $text;
}

# The anchors that a link can have after its #, as GitHub makes them.
sub anchors {
    my ($text) = @_;
    my %anchors = map { $_ => 1 } $text =~ /<a id="([^"]+)">/g;
    $text =~ s/^( *)```.*?^\1```$//gms;
    for my $heading ($text =~ /^#+ +(.+?) *$/gm) {
        $heading =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
        my $name = lc $heading =~ s/[^\w -]//gr =~ s/ /-/gr;
        my $twin = $name;
        for (my $count = 1; $anchors{$twin}; $count++) { $twin = "$name-$count" }
        $anchors{$twin} = 1;
    }
    return \%anchors;
}

# The fenced samples of a language: [name for a label, text].
sub samples {
    my ($language) = @_;
    my @samples;
    for my $name (@texts) {
        while ($text{$name} =~ /^( *)```\Q$language\E\n(.*?)^\1```$/gms) {
            my ($indent, $sample) = ($1, $2);
            my $line = 2 + (substr($text{$name}, 0, $-[0]) =~ tr/\n//);
            push @samples, ["$name, line $line", $sample =~ s/^$indent//gmr];
        }
    }
    return @samples;
}

subtest 'README.md is short' => sub {
    cmp_ok -s "$root/README.md", '<=', 9216, 'at most 9 kB';
};

subtest 'each link leads somewhere' => sub {
    my $count = 0;
    for my $name (@texts) {
        my ($folder) = $name =~ m{^(.*/)};
        for my $link (prose($text{$name}) =~ /\]\(([^)\s]+)\)/g) {
            next if $link =~ m{^https?://};
            $count++;
            my ($path, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
            my $target = $path eq '' ? $name : ($folder // '') . $path;
            1 while $target =~ s{[^/]+/\.\./}{};
            ok(-e "$root/$target", "$name: $link exists") or next;
            next if !defined $anchor;
            my $linked = $text{$target} // Intermission::slurp("$root/$target");
            ok(anchors($linked)->{$anchor}, "$name: $link leads to a heading");
        }
    }
    cmp_ok $count, '>', 50, 'the docs have links';
};

subtest 'each file of docs/ can be found from the README' => sub {
    my %linked = map { $_ => 1 } $text{'README.md'} =~ /\]\(([^)#\s]+)/g;
    ok $linked{$_}, "README.md links to $_" for grep { m{^docs/} } @texts;
};

subtest 'each file that the docs name exists' => sub {
    for my $name (@texts) {
        my $text = $text{$name} =~ s/^\*\*nginx's own tests.*?\n\n//gmsr;
        my %named = map { $_ => 1 } $text =~ /`((?:src|tests|scripts|build|nginx-conf)\/[\w.\/-]*|\.ci\/\w+)`/g, map { "t/$_" } $text =~ /`(?:t\/)?([\w-]+\.t)`/g;
        ok -e "$root/$_", "$name: $_" for sort keys %named;
    }
};

# ---- configurations

# Makes a sample a whole configuration, with this test's addresses and paths, and with the blocks around it.
sub whole {
    my ($sample) = @_;
    my $module = Intermission::module_path();
    my $paths = join ' ', map { "${_}_temp_path \@DIR\@/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
    $sample =~ s{\blisten\s+(?:127\.0\.0\.1:)?(\d+);}{listen unix:\@DIR\@/$1.sock;}g;
    $sample =~ s/^server \{(?!\s*listen )/server { listen unix:\@DIR\@\/80.sock;/gm;
    $sample =~ s{/var/(?:log|lib|cache)/nginx/}{\@DIR\@/}g;
    my $top = $sample;
    1 while $top =~ s/\{[^{}]*\}/;/g;
    my %top = map { $_ => 1 } $top =~ /(?:^|;)\s*(?:#.*\s+)*(\w+)/g;
    if ($top{events}) {
        $sample .= "http { $paths }";
    } else {
        my @http = qw(server map geo upstream log_format proxy_cache_path intermission_state_file);
        $sample = "server { listen unix:\@DIR\@/80.sock;\n$sample\n}" if !grep { $top{$_} } @http;
        $sample = "events {}\nhttp { access_log off; $paths\n$sample\n}";
    }
    my $user = $> == 0 ? 'user nobody nogroup;' : '';
    my $log = $top{error_log} ? '' : 'error_log @DIR@/error.log;';
    return "load_module $module; $user pid \@DIR\@/nginx.pid; daemon off; $log\n$sample\n";
}

subtest 'nginx -t is content with each configuration' => sub {
    my @samples = samples('nginx');
    cmp_ok scalar @samples, '>', 15, 'the docs have samples of configurations';
    for (@samples) {
        my ($name, $sample) = @$_;
        my $conf = whole($sample);
        my ($exit, $output) = Intermission::nginx_t(conf => $conf);
        ok($exit eq '0' && $output !~ /\[\w+\]/, $name) || diag "$output\n$conf";
    }
};

subtest 'no configuration is hidden from this test' => sub {
    for my $name (@texts) {
        my @hidden = $text{$name} =~ /^ {4}((?:location|server|map|geo|upstream|log_format|intermission\w*|proxy_pass) .*[;{}])$/gm;
        my @fenced = map { split /\n/, $_->[1] } samples('nginx');
        my %fenced = map { s/^\s+//r => 1 } @fenced;
        is_deeply [grep { !$fenced{$_} } @hidden], [], "$name: each is fenced as nginx";
    }
};

subtest 'the reference has each directive and variable' => sub {
    my $source = Intermission::slurp("$root/src/ffi/module/directives.rs") . Intermission::slurp("$root/src/ffi/module/variables.rs");
    my @names = $source =~ /ngx_string!\("(\w+)"\)/g;
    cmp_ok scalar @names, '>=', 17, 'the module has directives and variables';
    my $reference = $text{'docs/reference.md'};
    for my $name (@names) {
        like $reference, qr/^ {4}Syntax:  (?:set \$)?$name [^\n]*\n {4}Default: \S|^\| `\$$name` \|/m, $name;
    }
};

subtest 'the reference has each metric and alert' => sub {
    my %metrics = map { $_ => 1 } Intermission::slurp("$root/src/control/metrics.rs") =~ /\.(?:gauge|per_app|head)\(\s*"(\w+)"/g;
    cmp_ok scalar keys %metrics, '>', 15, 'there are metrics';
    like $text{'docs/reference.md'}, qr/`intermission_$_`/, "intermission_$_" for sort keys %metrics;
    my @alerts = Intermission::slurp("$root/nginx-conf/alerts.yml") =~ /- alert: (\w+)/g;
    is_deeply [$text{'docs/reference.md'} =~ /^\| `(Intermission\w+)` \|/gm], \@alerts, 'the alerts, in the order of alerts.yml';
};

subtest 'docs/design.md names files and functions that exist' => sub {
    my $design = $text{'docs/design.md'};
    my $all = join '', values %source;
    ok $source{$_}, "a file $_" for sort keys %{{map { $_ => 1 } $design =~ /\b(\w+\.rs)\b/g}};
    for my $name (sort keys %{{map { $_ => 1 } $design =~ /\b\w+::(\w+)/g}}) {
        like $all, qr/\bfn $name\b/, "a function $name";
    }
    for my $line ($design =~ /^ {4}.*?(\w+\.rs +\w+(?: ─▶ \w+)*)/gm) {
        my ($file, @functions) = $line =~ /(\w+\.rs|\w+)/g;
        like $source{$file}, qr/\bfn $_\b/, "$file has $_" for @functions;
    }
};

subtest 'the module prints the lines and answers that the docs quote' => sub {
    my $source = join '', values %source;
    $source =~ s/\\\n\s*//g;
    $source =~ s/\\"/"/g;
    my ($lines) = $text{'docs/reference.md'} =~ /^## Log lines\n(.*)/ms;
    my ($events) = $text{'docs/operating.md'} =~ /^## What happens when\n(.*?)^## /ms;
    my @said = $lines =~ /^ {4}\[.*?intermission: app "basecamp": (.*)$/gm;
    push @said, map { /`([^`]+)`/g } $lines =~ /^\| (`.*?) \| (?:notice|warn|error|emerg|info) \|/gm;
    push @said, grep { !/^nginx -|is shutting down|exited on signal|Address already/ } map { grep { / / } /`([^`]+)`/g } $events =~ /\| ([^|]*) \|$/gm;
    my ($answers) = $text{'docs/reference.md'} =~ /^The first line of an answer.*?\n\n(.*?)\n\n/ms;
    push @said, grep { !/^wait$/ } map { /`([^`]+)`/g } $answers;
    push @said, $text{'docs/operating.md'} =~ /`(waits for [^`]+|\d worker[^`]+)`/g;
    my ($wrong) = $text{'docs/operating.md'} =~ /^\| text \| what to do \|\n(.*?)\n\n/ms;
    push @said, grep { !/^enable$/ } map { /`([^`]+)`/g } $wrong;
    cmp_ok scalar @said, '>', 70, 'the docs quote many lines and answers';
    for my $said (@said) {
        # Split at values: each part that is left must be in the source.
        my @parts = map { s{^\s+|\s+$}{}gr } grep { /[a-z]{3}.*[a-z]{3}/ } split /…|, |: |"\$?\w+"|\d[\d.:TZ-]*/, $said;
        s/^waits for //, s{^(?:parameter|the method must be (?:one of .*)?|the app is|pause)\b *}{} for @parts;
        s/^(?:paused|stopped|pause changed) (?=by)|^still \K(?:paused|stopped)$|\bmore \K(?:rejected|expired|bypassed requests failed)$|the last for \K\w+$// for @parts;
        my @missing = grep { index($source, $_) < 0 } @parts;
        is_deeply \@missing, [], $said;
    }
};

# ---- shell

subtest 'each shell sample has the syntax of a shell' => sub {
    for (samples('sh')) {
        my ($name, $sample) = @$_;
        my $file = File::Temp->new;
        binmode $file, ':utf8';
        print $file $sample;
        close $file;
        is system('bash', '-n', "$file"), 0, $name;
    }
};

subtest 'the scripts that the README starts exist' => sub {
    my ($start) = $text{'README.md'} =~ /^## Quick start\n\n((?: {4}.*\n)+)/m;
    my @scripts = ($start // '') =~ /^ {4}(scripts\/\w+)/gm;
    is_deeply \@scripts, ['scripts/demo', 'scripts/test'], 'the two scripts of the quick start';
    for my $script (@scripts, 'scripts/deps', 'scripts/build') {
        ok -x "$root/$script" && system('bash', '-n', "$root/$script") == 0, "$script is a script";
    }
    like Intermission::slurp("$root/.ci/run"), qr{^exec scripts/test$}m, 'CI runs the same scripts/test';
    note 'not run here: scripts/demo and scripts/test, which build; scripts/deps, which needs root and apt-get';
};

# A configuration like Debian's nginx.conf, in the test's own folder.
sub debian {
    my (%conf) = @_;
    my $user = $> == 0 ? 'user nobody nogroup;' : '';
    my $paths = join ' ', map { "${_}_temp_path $conf{dir}/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
    return <<"END";
$user
worker_processes 2;
daemon off;
pid $conf{dir}/nginx.pid;
error_log $conf{dir}/error.log notice;
include $conf{include};
events { worker_connections 4096; }
http { $paths access_log $conf{dir}/access.log; $conf{http} }
END
}

subtest 'the commands of the README install, configure, check, reload, pause and resume' => sub {
    plan skip_all => 'the module is linked into nginx' if Intermission::is_linked();
    my ($install, $reload, $pause) = map { my $wanted = $_; map { $_->[1] } grep { $_->[1] =~ $wanted } samples('sh') }
        qr/modules-enabled/, qr/^nginx -t/, qr/\A[^#].*_intermission\/enable/;
    my ($server) = map { $_->[1] } grep { $_->[0] =~ /^README/ && $_->[1] =~ /intermission_control/ } samples('nginx');
    ok $install && $reload && $pause && $server, 'the README has the commands and the configuration' or return;

    # Installs into a folder of the test instead of Debian's, with the module that is tested.
    my $etc = File::Temp::tempdir(CLEANUP => 1);
    chmod 0755, $etc;
    # A Debian whose nginx has no other module has no folder of modules either.
    mkdir "$etc/modules-enabled";
    my $module = Intermission::module_path();
    $install =~ s{^scripts/deps && scripts/build\n}{}m or die 'no build';
    $install =~ s{\bobjs/ngx_http_intermission_module\.so}{$module} or die 'no module';
    $install =~ s{/usr/lib/nginx/modules/}{$etc/modules/} or die 'no modules folder';
    $install =~ s{/etc/nginx/}{$etc/} or die 'no configuration folder';
    is system('bash', '-ec', $install), 0, 'the module is installed';
    my $enabled = "$etc/modules-enabled/60-intermission.conf";
    my $line = Intermission::slurp($enabled);
    is $line, "load_module modules/ngx_http_intermission_module.so;\n", 'the module is enabled by a file in modules-enabled/';
    # A relative modules/ is below nginx's prefix, which is another folder in a test.
    Intermission::write_file($enabled, $line =~ s{modules/}{$etc/modules/}r);

    no warnings 'redefine';
    local *Intermission::Conf::text = sub {
        my (%conf) = @_;
        my $http = $server =~ s/\blisten 80;/listen $conf{listen};/r =~ s{http://127\.0\.0\.1:3000}{http://unix:$conf{dir}/backend.sock}r;
        return debian(%conf, include => "$etc/modules-enabled/*.conf", http => $http);
    };
    my $t = Intermission->new;
    my $command = join ' ', @{Intermission::command($t->dir)};
    my $out = `bash -ec 'nginx() { $command "\$@"; }; $reload' 2>&1`;
    is $? >> 8, 0, 'nginx -t and reload' or diag $out;
    $t->wait_log(qr/gracefully shutting down/);
    is $t->get('/before')->{status}, 200, 'the app is open';
    my $here = 'http://127.0.0.1:' . $t->port;
    my ($enable, $status, $disable) = map { s{http://127\.0\.0\.1}{$here}r =~ s/^curl/curl -sS/r } split /\n/, $pause;
    like scalar `$enable`, qr/^Pause enabled\.\n.*until .*reason "db switch"/, 'the app is paused';
    my $held = $t->send('/held');
    $t->wait_held(1);
    is scalar `$status`, "Pause enabled.\n", 'the status says that the app is paused';
    is scalar `$disable`, "Pause disabled.\n", 'the app is resumed';
    is $held->response->{status}, 200, 'the held request is answered';
    $t->clean_ok;
};

subtest 'each call of the control endpoint in the docs works' => sub {
    my $t = Intermission->new(locations => <<'END');
set $app_name shop;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control apps=*; }
END
    my $here = 'http://127.0.0.1:' . $t->port;
    my $count = 0;
    for my $name (@texts) {
        for my $call ($text{$name} =~ /^(?: {4})?(curl .*)$/gm) {
            next if $call =~ /[…"]/;
            my $command = $call =~ s/ \| jq.*//r =~ s/^curl/curl -s -o \/dev\/null -w '%{http_code}'/r;
            $command =~ s{http://127\.0\.0\.1(?::\d+)?/(?=_intermission)}{$here/} or next;
            $count++;
            like scalar `$command`, qr/^(?:200|304)$/, "$name: $call";
        }
    }
    cmp_ok $count, '>=', 10, 'the docs have calls';
    $t->control("disable?app=$_") for qw(shop shop-writes);
    $t->clean_ok;
};

done_testing;
