package Intermission::Bench::Peer;

# The proxies that `peers` compares: nginx alone, intermission, the Lua original, HAProxy, a proxy in Go, nginx with limit_req.
#
# A peer: name; address; pids => sub, of the processes that do the work; pause and resume => sub; end => sub. `resume` is missing if it
# cannot be told to go on.

use strict;
use utf8;
use warnings;
use Intermission;
use Intermission::App;
use Intermission::Bench::Machine qw(pinned);
use Intermission::Process;
use IO::Socket::UNIX;

my $MODULES = '/usr/lib/nginx/modules';
my @LUA = ("$MODULES/ndk_http_module.so", "$MODULES/ngx_http_lua_module.so");
# What the original's sample configuration sets.
my $LUA_SETS = 'set $intermission_interval 0.05; set $intermission_max_time 300;'
    . ' set $intermission_health_check_path /up/database; set $intermission_privileged_user_agent Pingdom;';

my %start = (
    'nginx alone'  => \&alone,
    'intermission' => \&intermission,
    'Lua original' => \&lua,
    'HAProxy'      => \&haproxy,
    'Go'           => \&go,
    'limit_req'    => \&limit_req,
);
my %lacks = (
    'Lua original' => sub { !$ENV{INTERMISSION_LUA} ? 'INTERMISSION_LUA, the folder with intermission.lua' : !-e $LUA[1] && 'libnginx-mod-http-lua' },
    'HAProxy'      => sub { !_command('haproxy') && 'haproxy' },
    'Go'           => sub { !_command('go') && 'golang-go' },
);

sub names { return ('intermission', 'Lua original', 'HAProxy', 'Go', 'limit_req') }

# What this machine lacks for a peer; '' if nothing.
sub lacks {
    my ($name) = @_;
    return $lacks{$name} ? $lacks{$name}->() || '' : '';
}

# Starts a peer. app => the socket of the app that requests go to; fast => the address of one that requests to /fast go to;
# number => how many requests have to wait; seconds => for how long limit_req spreads them; alone => true: with one worker, or thread, on the first processor.
sub start {
    my ($name, %opt) = @_;
    return {name => $name, $start{$name}->(%opt)};
}

sub _command { return qx(command -v $_[0] 2>/dev/null) =~ /\S/ }

# ---- nginx

sub _nginx {
    my ($opt, $gate, %conf) = @_;
    my $workers = $opt->{alone} ? 1 : 2;
    my $main = ($opt->{alone} && pinned() ? "worker_cpu_affinity 01;\n" : '') . ($conf{main} // '');
    my $t = Intermission->new(
        workers => $workers, listen => '127.0.0.1:@PORT@ backlog=8192 reuseport', with_module => 0, %conf, main => $main,
        events => "worker_connections 16384;\n",
        http => "access_log off; keepalive_requests 10000000; upstream fast { server $opt->{fast}; keepalive 64; }\n" . ($conf{http} // ''),
        locations => "location / { $gate proxy_pass http://unix:$opt->{app}; }\n"
            . "location /fast { $gate proxy_http_version 1.1; proxy_set_header Connection ''; proxy_pass http://fast; }\n" . ($conf{locations} // ''),
    );
    my $verb = sub {
        my ($name) = @_;
        return sub { $t->control($name)->{status} == 200 or die "$name is refused\n" };
    };
    return (
        address => '127.0.0.1:' . $t->port, pids => sub { $t->workers }, end => sub { $t->stop }, server => $t,
        pause => $verb->('enable'), resume => $verb->('disable'),
    );
}

sub alone { my (%opt) = @_; return (_nginx(\%opt, ''), pause => sub { }) }

sub intermission {
    my (%opt) = @_;
    return _nginx(\%opt, 'intermission on;', with_module => 1, locations => 'location /_intermission { intermission_control; }');
}

sub lua {
    my (%opt) = @_;
    return _nginx(
        \%opt, "$LUA_SETS access_by_lua_file $ENV{INTERMISSION_LUA}/intermission.lua;",
        main => join('', map { "load_module $_;\n" } @LUA), http => 'lua_shared_dict pausedreqs 10m;',
        locations => "set \$app_name basecamp; location /_intermission { content_by_lua_file $ENV{INTERMISSION_LUA}/intermission_helpers.lua; }",
    );
}

# There is no pause: each request waits until its turn at a rate.
sub limit_req {
    my (%opt) = @_;
    my %peer = _nginx(
        \%opt, $opt{alone} ? 'limit_req zone=hold burst=100000 nodelay;' : 'limit_req zone=hold burst=100000;',
        http => "limit_req_zone \$server_port zone=hold:1m rate=@{[$opt{alone} ? 1_000_000 : int $opt{number} / $opt{seconds}]}r/s;",
    );
    return (%peer, pause => sub { }, resume => undef);
}

# ---- others

# Starts a command that listens at an address. Returns what a peer has.
sub _other {
    my ($what, $address, $command, $verb) = @_;
    my $pid = Intermission::Process::start($what, $command);
    Intermission::Process::wait_until(sub { IO::Socket::INET->new(PeerAddr => $address) }, 10) or die "$what does not listen\n";
    return (
        address => $address, pids => sub { $pid }, end => sub { Intermission::Process::end($pid, [KILL => 5]) },
        is_gone => sub { !Intermission::Process::is_alive($pid) },
    );
}

sub haproxy {
    my (%opt) = @_;
    my $dir = File::Temp->newdir;
    my $address = '127.0.0.1:' . Intermission::App::free_port();
    my $threads = $opt{alone} ? 1 : 2;
    Intermission::write_file("$dir/haproxy.cfg", <<"END");
global
 nbthread $threads
 maxconn 9000
 stats socket $dir/admin.sock level admin
defaults
 mode http
 timeout client 300s
 timeout server 300s
 timeout connect 10s
frontend front
 bind $address backlog 65535
 maxconn 9000
 use_backend fast if { path_beg /fast }
 default_backend back
backend back
 server app unix\@$opt{app}
backend fast
 server app $opt{fast}
END
    my $verb = sub {
        my ($number) = @_;
        return sub {
            my $socket = IO::Socket::UNIX->new(Peer => "$dir/admin.sock") or die "HAProxy's admin socket: $!\n";
            print $socket "set maxconn frontend front $number\n";
            my @said = <$socket>;
        };
    };
    return (
        _other('haproxy', $address, [$opt{alone} && pinned() ? ('taskset', '-c', 0) : (), 'haproxy', '-db', '-f', "$dir/haproxy.cfg"]),
        pause => $verb->(0), resume => $verb->(9000), folder => $dir,
    );
}

sub go {
    my (%opt) = @_;
    my $dir = File::Temp->newdir;
    local @ENV{qw(GOCACHE GO111MODULE GOFLAGS)} = ("$dir/cache", 'off', '-p=2');
    system('go', 'build', '-o', "$dir/pauser", 't/bench/pauser.go') == 0 or die "go build\n";
    my $address = '127.0.0.1:' . Intermission::App::free_port();
    local $ENV{GOMAXPROCS} = $opt{alone} ? 1 : 2;
    my $verb = sub {
        my ($path) = @_;
        return sub { Intermission::Client->new(to => $address)->request($path)->response };
    };
    return (
        _other('pauser', $address, [$opt{alone} && pinned() ? ('taskset', '-c', 0) : (), "$dir/pauser", $address, $opt{app}, $opt{fast}]),
        pause => $verb->('/_pause'), resume => $verb->('/_resume'), folder => $dir,
    );
}

1;
