# The configurations in nginx-conf/ work as they are.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Test::More;

my $folder = Intermission::root() . '/nginx-conf';
my @names = qw(intermission full original);

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/;
    return scalar readline $file;
}

sub file { return slurp("$folder/$_[0].conf") }

# The file for this test, which needs no root and runs beside others: with the path of the built module, and
# with this test's addresses and paths (@DIR@ is replaced by t/lib). listen => the address instead of port 80.
sub here {
    my ($name, %conf) = @_;
    my $text = file($name);
    my $module = Intermission::module_path();
    my $listen = $conf{listen} // 'unix:@DIR@/nginx.sock';
    my $paths = join ' ', map { "${_}_temp_path \@DIR\@/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
    $text =~ s{load_module\s+modules/ngx_http_intermission_module\.so;}{load_module $module;} or die "$name: load_module";
    $text =~ s{\blisten\s+80;}{listen $listen;}g or die "$name: listen";
    $text =~ s{\blisten\s+127\.0\.0\.1:(\d+);}{listen unix:\@DIR\@/$1.sock;}g;
    $text =~ s{http://127\.0\.0\.1:\d+;}{http://unix:\@DIR\@/backend.sock;}g or die "$name: proxy_pass";
    $text =~ s{/var/(?:log|lib)/nginx/}{\@DIR\@/}g;
    $paths .= ' access_log @DIR@/access.log;' if $text !~ /^\s*access_log\s/m;
    $text =~ s/^http \{/http { $paths/m or die "$name: http";
    $text =~ s/^pid\s.*//m;
    my $user = $> == 0 ? 'user nobody nogroup;' : '';
    return "$user daemon off; pid \@DIR\@/nginx.pid;\n$text";
}

subtest 'nginx -t is content with each configuration in nginx-conf/' => sub {
    is_deeply([sort map { m{([^/]+)\.conf$} } glob "$folder/*"], [sort @names], 'nginx-conf/ has three configurations');
    for my $name (@names) {
        my ($exit, $output) = Intermission::nginx_t(conf => here($name));
        ok($exit eq '0' && $output !~ /\[\w+\]/, "nginx -t is content with $name.conf") || diag $output;
    }
};

subtest 'full.conf has all directives and variables' => sub {
    my $full = file('full');
    my $source = slurp(Intermission::root() . '/src/ffi/module/directives.rs') . slurp(Intermission::root() . '/src/ffi/module/variables.rs');
    my @words = $source =~ /ngx_string!\("(\w+)"\)/g;
    cmp_ok(scalar @words, '>=', 17, 'the module has directives and variables');
    is_deeply([grep { $full !~ /(?:^\s*|\$)$_\b/m } @words], [], 'full.conf has every directive and variable');
};

subtest 'original.conf works as it is' => sub {
    # Intermission->new starts nginx as always, but with the text of this file.
    no warnings 'redefine';
    local *Intermission::Conf::text = sub {
        my (%conf) = @_;
        return here('original', listen => $conf{listen});
    };
    my $t = Intermission->new(workers => 2);
    is($t->control('status')->{body}, "Pause disabled.\n", 'original.conf: nginx starts, open');
    is($t->get('/before')->{status}, 200, 'original.conf: a request passes while the app is open');
    is($t->control('enable')->{body}, "Pause enabled.\n", 'original.conf: the app can be paused');
    my $held = $t->send('/held');
    $t->wait_held(1);
    is($t->get($_)->{status}, 200, "original.conf: $_ passes in a pause") for '/up', '/up/database';
    is($t->get('/robot', headers => {'User-Agent' => 'Pingdom.com_bot'})->{status}, 200, 'original.conf: a privileged client passes in a pause');
    ok(!$held->answered, 'original.conf: another request is held');
    is($t->control('disable')->{body}, "Pause disabled.\n", 'original.conf: the app can be resumed');
    is($held->response->{status}, 200, 'original.conf: the held request is answered');
    $t->came_ok([qw(/before /up /up/database /robot /held)], 'original.conf: each request came to the app once');
    like($t->error_log, qr/\[notice\].*the default app: resumed by 127\.0\.0\.1/, 'original.conf: the error log says resumed');
    $t->clean_ok;
};

done_testing;
