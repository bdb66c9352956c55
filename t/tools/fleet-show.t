# What `fleet` shows of a fleet: the versions of its hosts.

use strict;
use warnings;
use lib 't/lib';
use Intermission;
use Intermission::Answerer;
use Intermission::App;
use Intermission::Etcd;
use Intermission::Fleet;
use Intermission::Process;
use JSON::PP;
use Test::More;

plan skip_all => Intermission::Etcd::missing() if Intermission::Etcd::missing();

my $etcd = Intermission::Etcd->new;
my $fleet = Intermission::Fleet->new($etcd, hosts => 2);

# What etcd says of a host.
sub host {
    my ($id) = @_;
    my ($host) = grep { $_->{id} eq $id } @{($fleet->look // {})->{hosts} // []};
    return $host->{host} // {};
}

# Waits until the fleet shows this module's version at a host; undef: none.
sub wait_module {
    my ($id, $version) = @_;
    Intermission::Process::wait_until(sub {
        my $said = host($id)->{versions};
        (defined $version ? $said && $said->{module} eq $version : !$said) || undef;
    }, 20) or die "$id does not show module " . ($version // 'none');
}

# A stand-in for an endpoint, which says what stands in a file.
my $file = $fleet->dir . '/endpoint.json';
sub says {
    my (%more) = @_;
    Intermission::write_file("$file.new", encode_json({app => 'basecamp', state => 'open', pause => 0, %more}));
    rename "$file.new", $file or die "rename: $!";
}

sub versions { return (versions => {module => $_[0], nginx => 'nginx/1.99.0'}) }

my $real = $fleet->host(0)->{t}->status->{versions};

subtest 'each host says its versions, as its endpoint has them' => sub {
    is_deeply host($_)->{versions}, $real, $_ for 'h0', 'h1';
    my $out = $fleet->cli->run('fleet', $fleet->options)->{out};
    like $out, qr/HOST +ALIVE +APPS +ENDPOINT +AGENT +MODULE +NGINX/, 'the table has them';
    like $out, qr{^ *h0 .* \Q$real->{module}\E +\Q$real->{module}\E +\Q$real->{nginx}\E}m, 'agent, module, nginx';
    unlike $out, qr/different/, 'nothing differs';
};

subtest 'a host registers before its nginx runs, and says its versions when it does' => sub {
    my $at = $fleet->add_down;
    $fleet->boot_agent($at);
    $fleet->wait_alive(3);
    is host("h$at")->{versions}, undef, 'nginx is down: none';
    like $fleet->cli->run('fleet', $fleet->options)->{out}, qr/^ *h$at .* \Q$real->{module}\E +- +-$/m, 'the table says that they are not known';
    $fleet->boot_nginx($at);
    wait_module("h$at", $real->{module});
    is_deeply host("h$at")->{versions}, $real, 'nginx is up: they are known';
    $fleet->leave($at);
    Intermission::Process::wait_until(sub { !keys %{host("h$at")} || undef }, 5);
    is_deeply host("h$at"), {}, 'a host that leaves is gone, with its versions';
};

subtest 'an nginx or a module that is replaced is told, and nothing else is written' => sub {
    my $port = Intermission::App::free_port();
    says();
    my $endpoint = Intermission::Answerer->new(listen => "127.0.0.1:$port", until => qr/\r\n\r\n/, answer => sub {
        my $body = Intermission::slurp($file);
        return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nIntermission-App: basecamp\r\nIntermission-Pause: 0\r\n"
            . 'Content-Length: ' . length($body) . "\r\nConnection: close\r\n\r\n$body";
    });
    $fleet->agent_down(1, 'TERM');
    $fleet->wait_alive(1);
    my $real_control = $fleet->host(1)->{control};
    $fleet->host(1)->{control} = "http://127.0.0.1:$port";
    $fleet->agent_up(1);
    $fleet->wait_alive(2);
    wait_module('h1', undef);
    pass 'an old module says none';
    my $revision = $fleet->look->{revision};
    my $came = $endpoint->came;
    Intermission::Process::wait_until(sub { $endpoint->came >= $came + 2 || undef }, 30) or die 'nginx is not asked';
    is $fleet->look->{revision}, $revision, 'as long as nothing changes nothing is written';
    says(versions('9.8.7'));
    wait_module('h1', '9.8.7');
    is $fleet->look->{revision}, $revision + 1, 'a change is one write';
    like $fleet->cli->run('fleet', $fleet->options)->{out},
        qr{^different versions: module \Q$real->{module}\E at h0; 9\.8\.7 at h1\ndifferent versions: nginx \Q$real->{nginx}\E at h0; nginx/1\.99\.0 at h1$}m,
        'the table says which hosts differ';
    is_deeply $fleet->page(1, 'clear'), 200, 'the host is registered as before';
    $fleet->agent_down(1, 'TERM');
    $fleet->host(1)->{control} = $real_control;
    $fleet->agent_up(1);
    wait_module('h1', $real->{module});
    pass 'an agent that starts again says what it finds';
};

$_->{t}->clean_ok for grep { !$_->{gone} } $fleet->hosts;
done_testing;
