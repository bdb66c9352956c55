# `intermission` and its hosts: how they are named and reached, and what is no control endpoint.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Cli;
use JSON::PP ();
use Test::More;

my $dir = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;

# Two authorities, a server's certificate of the one, a client's of the other.
sub certificate {
    my ($name, @more) = @_;
    my @sign = -e "$dir/$more[0].pem" ? ('-CA', "$dir/$more[0].pem", '-CAkey', "$dir/$more[0].key") : ();
    my $alt = @sign ? "subjectAltName=IP:127.0.0.1' -addext 'basicConstraints=critical,CA:FALSE" : 'basicConstraints=critical,CA:TRUE';
    system "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=$name' -addext '$alt' @sign -keyout $dir/$name.key -out $dir/$name.pem 2>>$dir/openssl.log";
    die Intermission::slurp("$dir/openssl.log") if $?;
}
certificate($_, '') for qw(ca other);
certificate('server', 'ca');
certificate('client', 'other');
my $password = crypt 'secret', 'ab';
Intermission::write_file("$dir/passwords", "deploy:$password\n");
chmod 0644, glob "$dir/*";

my $probe = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 1) or die "no port: $!";
my $tls = $probe->sockport;
close $probe;
my $t = Intermission->new(
    locations => "$Intermission::Conf::LOCATIONS\n" . <<'END' =~ s{\@PASSWORDS\@}{$dir/passwords}r,
location /moved { return 301 https://127.0.0.1$request_uri; }
location /page { default_type text/html; return 200 "<html>welcome</html>"; }
location /missing { return 404; }
location /denied { deny all; intermission_control; }
location /gateway { proxy_pass http://127.0.0.1:1; }
location ^~ /secret { auth_basic secret; auth_basic_user_file @PASSWORDS@; intermission_control; }
location ^~ /header { if ($http_x_key != "k e y") { return 403; } intermission_control; }
location ^~ /several { intermission_control apps=launchpad,shop; }
END
    http => "server { listen unix:$dir/control.sock; set \$app_name basecamp; location /pause { intermission_control; } }\n"
        . "server { listen 127.0.0.1:$tls ssl; ssl_certificate $dir/server.pem; ssl_certificate_key $dir/server.key;\n"
        . "ssl_client_certificate $dir/other.pem; ssl_verify_client optional; set \$app_name basecamp;\n"
        . "location ^~ /_intermission { intermission_control; }\n"
        . "location ^~ /client { if (\$ssl_client_verify != SUCCESS) { return 403; } intermission_control; } }\n",
);
chmod 0777, "$dir/control.sock";
my $here = 'http://127.0.0.1:' . $t->port;
my $cli = Intermission::Cli->new($t);
my @short = ('--lease', '1s', '--wait', '300ms');

# Runs a command that notes that it ran.
sub try {
    my %opt = ref $_[0] ? %{+shift} : ();
    unlink "$dir/ran";
    my $done = $cli->start(\%opt, 'run', @short, @_, '--', 'touch', "$dir/ran")->done;
    return ($done->{exit}, -e "$dir/ran" ? 'ran' : 'not run', $done->{err});
}

subtest 'only the endpoint\'s own answer is believed' => sub {
    my %other = (
        '/moved' => [76, qr{301 to https://127\.0\.0\.1/moved/enable}],
        '/page' => [76, qr{200, text/html: this is not the control endpoint}],
        '/missing' => [76, qr{404, text/html}],
        '/denied' => [77, qr{403, text/html: access is denied}],
        '/gateway' => [76, qr{502, text/html}],
        '/secret' => [77, qr{401, text/html}],
    );
    for my $path (sort keys %other) {
        my ($exit, $text) = @{$other{$path}};
        my ($got, $ran, $err) = try('--host', "$here$path", '--host', $here);
        is "$got, $ran", "$exit, not run", "$path: $exit, and the command does not run";
        like $err, $text, "$path: it says what it got";
        is $t->status->{state}, 'open', "$path: the other host is open";
    }
    my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 5) or die "no port: $!";
    my ($got, $ran, $err) = try('--host', 'http://127.0.0.1:' . $silent->sockport, '--host', $here);
    is "$got, $ran", '69, not run', 'a server that accepts and says nothing: 69';
    like $err, qr/no answer within/, 'a server that accepts and says nothing: it says so';
    ($got, $ran, $err) = try('--host', 'http://127.0.0.1:1', '--host', $here);
    is "$got, $ran", '69, not run', 'a host that is down: 69';
    like $err, qr/Connection refused/, 'a host that is down: it says so';
    is $t->status->{state}, 'open', 'the other host is open';
};

subtest 'the environment\'s proxy is not used' => sub {
    my %env = map { $_ => 'http://127.0.0.1:1' } qw(http_proxy HTTP_PROXY all_proxy ALL_PROXY);
    is join(', ', (try({env => \%env}))[0, 1]), '0, ran', 'a proxy that is down does not matter';
};

subtest 'https, with the authorities and the client certificate that are given' => sub {
    my $https = "https://127.0.0.1:$tls";
    my ($got, $ran, $err) = try('--host', $https);
    is "$got, $ran", '69, not run', 'an unknown authority: 69';
    like $err, qr/certificate/, 'an unknown authority: it names the certificate';
    is join(', ', (try('--host', $https, '--ca', "$dir/other.pem"))[0, 1]), '69, not run', 'another authority: 69';
    is join(', ', (try('--host', "https://localhost:$tls", '--ca', "$dir/ca.pem"))[0, 1]), '69, not run', 'another name than the certificate\'s: 69';
    is join(', ', (try('--host', $https, '--ca', "$dir/ca.pem"))[0, 1]), '0, ran', 'the right authority';
    is join(', ', (try('--host', "$https/client", '--ca', "$dir/ca.pem"))[0, 1]), '77, not run', 'no client certificate: 77';
    Intermission::write_file("$dir/pair", Intermission::slurp("$dir/client.pem") . Intermission::slurp("$dir/client.key"));
    is join(', ', (try('--host', "$https/client", '--ca', "$dir/ca.pem", '--cert', "$dir/pair"))[0, 1]), '0, ran', 'a client certificate';
    is join(', ', (try('--host', $https, '--ca', '/etc/passwd'))[0, 1]), '78, not run', 'a file without a certificate: 78';
};

subtest 'a Unix socket, a password, a header' => sub {
    is join(', ', (try('--host', "unix:$dir/control.sock:/pause"))[0, 1]), '0, ran', 'a Unix socket';
    my @secret = ('--host', "$here/secret", '--user', 'deploy');
    is join(', ', (try({env => {INTERMISSION_PASSWORD => 'secret'}}, @secret))[0, 1]), '0, ran', 'a password';
    is join(', ', (try({env => {INTERMISSION_PASSWORD => 'wrong'}}, @secret))[0, 1]), '77, not run', 'a wrong password: 77';
    is join(', ', (try('--host', "$here/header", '--header', 'X-Key: k e y'))[0, 1]), '0, ran', 'a header';
    my ($got, $ran, $err) = try('--host', 'http://deploy:secret@127.0.0.1/');
    is "$got, $ran", '64, not run', 'a password in a URL: 64';
    unlike $err, qr/secret/, 'a password in a URL is not printed' or diag $err;
};

subtest 'several apps at one endpoint' => sub {
    my $going = $cli->start('run', '--host', "$here/several", '--app', 'launchpad', '--app', 'shop', '--', 'sleep', 1);
    $going->wait_err(qr/running/);
    my %states = map { $_ => $t->status(app => $_, at => '/several')->{state} } qw(launchpad shop);
    is_deeply \%states, {launchpad => 'paused', shop => 'paused'}, 'both are paused';
    is $t->status->{state}, 'open', 'the endpoint\'s own is not';
    is $going->done->{exit}, 0, 'the command succeeds';
    is $cli->run('run', '--host', "$here/several", '--app', 'other', '--', 'true')->{exit}, 76, 'an app that the endpoint does not control: 76';
};

subtest 'the configuration file' => sub {
    my $conf = "$dir/intermission.toml";
    my $write = sub { Intermission::write_file($conf, $_[0]); chmod $_[1] // 0600, $conf };
    local $cli->{hosts} = '';
    $write->(qq{[defaults]\nlease = "5s"\n[groups.one]\nhosts = ["$here/secret"]\nuser = "deploy"\npassword = "secret"\nwait = "1s"\n});
    my $run = sub { my $done = $cli->run('run', '--config', $conf, @_, '--', 'true'); return "$done->{exit}: $done->{err}" };
    like $run->(), qr/^0: .*lease 5 s, waiting up to 1 s/, 'the only group counts, with the defaults';
    like $run->('--group', 'two'), qr/^64: .*no group "two".* one/, 'an unknown group: 64, and the known ones';
    chmod 0644, $conf;
    like $run->(), qr/^78: .*chmod 600/, 'others may read a password: 78';
    $write->("[groups.one]\nhosts = ['$here']\nleese = '1s'\n", 0644);
    like $run->(), qr/^78: .*line 3.*leese/s, 'an unknown key: 78, and its line';
    $write->("[groups.one]\nhosts = ['$here']\n[groups.two]\nhosts = ['$here']\n", 0644);
    like $run->(), qr/^64: .*--group/, 'two groups: 64, and what to do';
    like $run->('--group', 'two'), qr/^0/, 'the group that is named';
    mkdir $cli->dir . '/.config';
    Intermission::write_file($cli->dir . '/.config/intermission.toml', "[defaults]\nhosts = ['$here']\n");
    is $cli->run('run', '--', 'true')->{exit}, 0, 'the file of the user';
    unlink $cli->dir . '/.config/intermission.toml';
    is $cli->run('run', '--', 'true')->{exit}, 64, 'no hosts at all: 64';
};

$t->clean_ok(allow => [qr/connect\(\) failed/, qr/access forbidden by rule/, qr/password mismatch/, qr/no user\/password/, qr/user ".*" was not found/]);
done_testing;
