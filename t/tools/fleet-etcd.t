# An etcd with TLS, client certificates, users and passwords; one of its endpoints is dead; the agent's configuration changes meanwhile.

use strict;
use warnings;
use lib 't/lib';
use File::Temp ();
use Intermission;
use Intermission::App;
use Intermission::Cli;
use Intermission::Etcd;
use Intermission::Process;
use Test::More;

plan skip_all => Intermission::Etcd::missing() if Intermission::Etcd::missing();

my $dir = File::Temp::tempdir('intermission-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

sub certificate {
    my ($name, $ca) = @_;
    my @sign = $ca ? ('-CA', "$dir/$ca.pem", '-CAkey', "$dir/$ca.key") : ();
    my @more = $ca ? ('-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE') : ('-addext', 'basicConstraints=critical,CA:TRUE');
    open my $log, '>>', "$dir/openssl.log" or die "openssl.log: $!";
    my @command = ('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', 2, '-subj', $name =~ /client/ ? "/O=$name" : "/CN=$name", @more, @sign);
    my $pid = Intermission::Process::start("openssl $name", [@command, '-keyout', "$dir/$name.key", '-out', "$dir/$name.pem"], stdout => $log, stderr => $log);
    Intermission::Process::wait_until(sub { Intermission::Process::reaped($pid); -s "$dir/$name.pem" && !Intermission::Process::is_alive($pid) }, 10)
        or die Intermission::slurp("$dir/openssl.log");
}
certificate($_) for qw(ca other);
certificate('server', 'ca');
certificate('client', 'ca');
certificate('named', 'ca');
certificate('stranger', 'other');
Intermission::write_file("$dir/$_.both", Intermission::slurp("$dir/$_.pem") . Intermission::slurp("$dir/$_.key")) for qw(client named stranger);

my $etcd = Intermission::Etcd->new(
    members => 1,
    tls => {ca => "$dir/ca.pem", cert => "$dir/server.pem", key => "$dir/server.key"},
    args => ['--auth-token', 'simple', '--auth-token-ttl', 1],
);
my ($url) = $etcd->urls;

# A question as the administrator's.
sub ask {
    my ($path, $json, $token) = @_;
    my @token = $token ? ('-H', "Authorization: $token") : ();
    open my $curl, '-|', 'curl', '-sS', '--max-time', 5, '--cacert', "$dir/ca.pem", '--cert', "$dir/client.both", @token, '-d', $json, "$url/v3/$path" or die "curl: $!";
    local $/;
    my $answer = readline $curl;
    die "$path: $answer" if $answer =~ /"error"/;
    return $answer;
}

sub base64 { return do { require MIME::Base64; MIME::Base64::encode_base64(shift, '') } }

sub may {
    my ($role, $from, $to) = map { base64($_) } $_[0], @_[1, 2];
    ask('auth/role/add', qq({"name":"$_[0]"}));
    ask('auth/role/grant', qq({"name":"$_[0]","perm":{"permType":"READWRITE","key":"$from","range_end":"$to"}}));
}
may('fleet', '/intermission/web/', '/intermission/web0');
may('other', '/other/', '/other0');
ask('auth/user/add', qq({"name":"$$_[0]","password":"$$_[1]"})) for ['root', 'r'], ['web', 'secret'], ['guest', 'guest'];
ask('auth/user/add', '{"name":"named","options":{"no_password":true}}');
ask('auth/user/grant', qq({"user":"$$_[0]","role":"$$_[1]"})) for ['root', 'root'], ['web', 'fleet'], ['guest', 'other'], ['named', 'fleet'];
ask('auth/enable', '{}');

my $t = Intermission->new(locations => <<'END');
set $app_name basecamp;
location / { intermission on; proxy_pass http://backend; }
location /_intermission { intermission_control; }
END
my $cli = Intermission::Cli->new;
my $dead = Intermission::App::free_port();
my @listen = map { '127.0.0.1:' . Intermission::App::free_port() } 0, 1;

# The agent needs no right but to read its files.
my $nobody = $> ? $> : 65534;
my @drop = $> ? () : ('setpriv', "--reuid=$nobody", "--regid=$nobody", '--clear-groups', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all');
chmod 0755, $dir;
chmod 0644, glob "$dir/*.both $dir/*.pem";
@drop = () if @drop && system(@drop, 'test', '-x', Intermission::Cli::binary()) != 0;

# The configuration file, with these changes.
sub configure {
    my ($file, %say) = @_;
    my %fleet = (etcd => qq(["https://127.0.0.1:$dead", "$url"]), ca => qq("$dir/ca.pem"), cert => qq("$dir/client.both"), user => '"web"', password => '"secret"', %{$say{fleet} // {}});
    my %agent = (fleet => '"web"', id => '"h0"', host => '"' . Intermission::Cli::url($t) . '"', apps => '["basecamp"]', listen => qq("$listen[0]"), poll => '"2s"', %{$say{agent} // {}});
    my $part = sub { my (%all) = @_; join '', map { defined $all{$_} ? "$_ = $all{$_}\n" : () } sort keys %all };
    Intermission::write_file("$file.new", "[fleets.web]\n" . $part->(%fleet) . "[agent]\n" . $part->(%agent));
    chmod 0600, "$file.new";
    chown $nobody, $nobody, "$file.new";
    rename "$file.new", $file or die "$file: $!";
    return $file;
}

sub look {
    my ($file) = @_;
    return $cli->run('fleet', '--fleet', 'web', '--config', $file, '--json');
}

sub is_alive {
    my ($file) = @_;
    my $done = look($file);
    return $done->{exit} == 0 && $done->{out} =~ /"alive":true/ || undef;
}

sub page { return eval { $t->get("/$_[0]", to => $_[1])->{status} } // 0 }

my $file = configure("$dir/web.toml");
my $agent = $cli->start({before => \@drop}, 'agent', '--config', $file);
eval { $t->wait_for(sub { is_alive($file) }, 'the agent to live', 5) } or die look($file)->{err}, $agent->err;

sub undisturbed {
    my ($what) = @_;
    my $done = $cli->run('run', '--fleet', 'web', '--config', $file, '--app', 'basecamp', '--lease', '20s', '--', 'true');
    is $done->{exit}, 0, "$what: the command ran" or diag $done->{err}, $agent->err;
    is $t->status->{state}, 'open', "$what: the app is open";
}

subtest 'TLS, a client certificate, a user and a password; one endpoint is dead' => sub {
    undisturbed('all is right');
};

subtest 'a token is too old' => sub {
    select undef, undef, undef, 5;
    undisturbed('after its time');
    unlike $agent->err, qr/does not answer/, 'the agent takes another one, and no question fails';
    $etcd->down(0);
    $etcd->up(0);
    $etcd->wait_healthy;
    $t->wait_for(sub { $agent->err =~ /etcd does not answer.*etcd answers.*\z/s || undef }, 'the agent to reach etcd again', 20);
    undisturbed('etcd has forgotten it');
};

subtest "a certificate's common name" => sub {
    my %named = (cert => qq("$dir/named.both"));
    is look(configure("$dir/named.toml", fleet => \%named))->{exit}, 0, 'with a user and a password, these count';
    my $done = look(configure("$dir/named.toml", fleet => {%named, user => undef, password => undef}));
    is $done->{exit}, 0, 'without them it is the user' or diag $done->{err};
};

subtest 'what is wrong is said' => sub {
    my $wrong = sub {
        my ($what, $exit, $says, %fleet) = @_;
        my $done = look(configure("$dir/wrong.toml", fleet => \%fleet));
        is $done->{exit}, $exit, "$what: $exit";
        like $done->{err}, $says, "$what: it is said";
    };
    $wrong->('a wrong password', 77, qr/etcd denies access: .*authentication failed, invalid user ID or password/, password => '"wrong"');
    $wrong->('an unknown user', 77, qr/etcd denies access: .*authentication failed/, user => '"nobody"');
    $wrong->('a user without rights', 77, qr/etcd denies access: .*permission denied/, user => '"guest"', password => '"guest"');
    $wrong->('no user', 77, qr/etcd denies access: .*permission denied/, user => undef, password => undef);
    my $closes = qr/etcd does not answer: .*\Q$url\E: it closes the connection at once: it may want a client certificate that it trusts/;
    $wrong->('no certificate', 69, $closes, cert => undef);
    $wrong->("a stranger's certificate", 69, $closes, cert => qq("$dir/stranger.both"));
    $wrong->('http, where etcd wants https', 69, qr/etcd does not answer: .*it may want https/, etcd => '["' . $url =~ s/https/http/r . '"]');
    $wrong->('https, where nothing is', 69, qr{etcd does not answer: https://127\.0\.0\.1:$dead: Connection refused}, etcd => qq(["https://127.0.0.1:$dead"]));
    $wrong->('a name that is not in the certificate', 69, qr/etcd does not answer: .*certificate not valid for name "localhost"/, etcd => '["' . $url =~ s/127.0.0.1/localhost/r . '"]');
    $wrong->('another authority', 69, qr/etcd does not answer: .*UnknownIssuer/, ca => qq("$dir/other.pem"));
    $wrong->('a file that is not there', 78, qr/none\.pem: No such file/, ca => qq("$dir/none.pem"));
    $wrong->('a certificate without its key', 78, qr/needs a certificate and its key, in PEM/, cert => qq("$dir/client.pem"));
};

subtest 'SIGHUP' => sub {
    my $running = $cli->start('run', '--fleet', 'web', '--config', $file, '--app', 'basecamp', '--lease', '20s', '--', 'sleep', '3');
    $running->wait_err(qr/running/);
    configure($file, agent => {listen => qq("$listen[1]")});
    $agent->signal('HUP');
    $t->wait_for(sub { page('ready', $listen[1]) == 200 || undef }, 'the agent to listen at the new address', 15);
    is page('ready', $listen[0]), 0, 'it does not listen at the old one any more';
    is $t->status->{state}, 'paused', 'the app is still paused';
    is $running->done->{exit}, 0, 'a pause goes on meanwhile' or diag $running->err;
    configure($file, fleet => {user => undef, lease => '"x"'}, agent => {listen => qq("$listen[1]")});
    $agent->signal('HUP');
    $agent->wait_err(qr/not reloaded: .*"x" is not a time/s);
    is page('ready', $listen[1]), 200, 'a file that is wrong changes nothing';
    configure($file, fleet => {password => '"wrong"'}, agent => {listen => qq("$listen[1]")});
    $agent->signal('HUP');
    $agent->wait_err(qr/etcd denies access: .*invalid user ID or password/);
    pass 'a wrong password is said';
    is $t->get('/')->{status}, 200, 'nginx goes on';
    configure($file, agent => {listen => qq("$listen[1]")});
    $agent->signal('HUP');
    $t->wait_for(sub { is_alive($file) && page('ready', $listen[1]) == 200 || undef }, 'the agent to live again', 20);
    undisturbed('with the right one');
};

$agent->signal('TERM');
is $agent->done->{exit}, 0, 'the agent ends';
$t->clean_ok;
done_testing;
