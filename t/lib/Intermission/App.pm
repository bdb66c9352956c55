package Intermission::App;

# An app that comes and goes, unlike the usual backend of a test.
#
#   upstream app { server unix:@DIR@/app.sock; }
#
#   my $app = Intermission::App->new($t);
#   my $client = $t->send('/a');
#   $app->up;
#   $client->response; $app->came; $app->logs;

use strict;
use warnings;
use IO::Socket::INET;
use Intermission::Process;

# Nothing listens yet. name => of its socket (app.sock), or port => number: TCP, and address => of it (127.0.0.1).
sub new {
    my ($class, $t, %opt) = @_;
    my $path = $t->dir . '/' . ($opt{name} // 'app.sock');
    return bless {
        t => $t, dir => $t->dir, path => $opt{port} ? undef : $path, lives => 0,
        listen => $opt{port} ? ($opt{address} // '127.0.0.1') . ":$opt{port}" : "unix:$path",
    }, $class;
}

# A port that nothing listens on, below those that clients get: what listened there can do so again.
sub free_port {
    for (1 .. 100) {
        my $port = 20_000 + int rand 10_000;
        my $probe = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 1, ReuseAddr => 1) or next;
        return $port;
    }
    die 'no port';
}

# It listens from now on. backlog => the length of its listen queue.
sub up {
    my ($self, %opt) = @_;
    $self->{lives}++;
    my $name = ($self->{path} // 'tcp') =~ s{.*/}{}r;
    $self->{log} = "$self->{dir}/$name.$self->{lives}.log";
    push @{$self->{logs}}, $self->{log};
    pipe my $ready, my $stdout or die "pipe: $!";
    pipe my $stdin, my $say or die "pipe: $!";
    $say->autoflush(1);
    $self->{say} = $say;
    my $crowd = $ENV{TEST_CROWD} // Intermission::root() . '/target/release/crowd';
    my @backlog = $opt{backlog} ? ('--backlog', $opt{backlog}) : ();
    my @command = ($crowd, 'backend', '--listen', $self->{listen}, '--log', $self->{log}, @backlog);
    $self->{pid} = Intermission::Process::start('app', \@command, stdin => $stdin, stdout => $stdout);
    close $_ for $stdin, $stdout;
    <$ready> // die "the app does not start\n";
    chmod 0777, $self->{path} if $self->{path};
    return $self;
}

# It is gone, and with it what it was doing; its socket stays where it was: connections are refused.
sub down {
    my ($self) = @_;
    Intermission::Process::end(delete $self->{pid}, [KILL => 5]) if $self->{pid};
}

# It stops in order: it answers what has come, accepts no more, and ends. Returns false if it does not, and had to be killed.
sub stop {
    my ($self) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print {$self->{say}} "stop\n";
    my $ends = Intermission::Process::wait_until(sub { defined Intermission::Process::reaped($self->{pid}) }, 5);
    return delete $self->{pid} if $ends;
    $self->down;
    return 0;
}

sub is_up { defined $_[0]{pid} }

# The logs of all its lives.
sub logs { @{$_[0]{logs} // []} }

# How often a request for each target came, in all its lives.
sub came {
    my ($self) = @_;
    my %came;
    for my $log (@{$self->{logs} // []}) {
        $came{(split /\t/)[2]}++ for split /\n/, Intermission::Process::slurp($log) // '';
    }
    return \%came;
}

# The targets in the order in which they came to its current life.
sub order {
    my ($self) = @_;
    return map { (split /\t/)[2] } split /\n/, Intermission::Process::slurp($self->{log}) // '';
}

# The numbers of the connections on which they came to its current life, in the order of the requests.
sub connections {
    my ($self) = @_;
    return map { (split /\t/)[9] } split /\n/, Intermission::Process::slurp($self->{log}) // '';
}

# How long the bodies were, and whether they came whole: target => "length ended".
sub bodies {
    my ($self) = @_;
    my %bodies;
    for my $log (@{$self->{logs} // []}) {
        for (split /\n/, Intermission::Process::slurp($log) // '') {
            my @field = split /\t/;
            $bodies{$field[2]} = "$field[5] $field[6]";
        }
    }
    return \%bodies;
}

sub DESTROY { $_[0]->down }

1;
