# A small web application. POST /orders/NAME writes a row, GET /orders/NAME says how many rows have this name.
#
#   perl app.pl CONF SOCKET PROCESSES
#
# CONF is JSON: dsn, user, password. At SIGTERM it closes its socket, answers all that has come, and ends.

use strict;
use warnings;
use DBI;
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX ();

my ($conf, $socket, $processes) = @ARGV;
my $database = JSON::PP::decode_json(do { open my $file, '<', $conf or die "$conf: $!"; local $/; <$file> });
my $handle;

sub database {
    return $handle //= DBI->connect(@$database{qw(dsn user password)}, {RaiseError => 1, PrintError => 0});
}

sub answer {
    my ($method, $target) = @_;
    my ($name) = $target =~ m{^/orders/([\w-]+)$} or return (404, 'there is no such page');
    return (200, database()->selectrow_array('SELECT COUNT(*) FROM orders WHERE name = ?', undef, $name)) if $method eq 'GET';
    for my $try (1 .. 5) {
        return (200, 'saved') if eval { database()->do('INSERT INTO orders (name) VALUES (?)', undef, $name) };
        # As each app of InnoDB should.
        last if $@ !~ /Deadlock/;
    }
    die $@;
}

# Reads one request, answers it, and closes the connection.
sub serve {
    my ($client) = @_;
    my $request = '';
    $client->blocking(1);
    until ($request =~ /\r\n\r\n/) {
        sysread $client, $request, 8192, length $request or return;
    }
    my ($method, $target) = $request =~ /^(\S+) (\S+)/ or return;
    my ($status, $text) = eval { answer($method, $target) };
    if ($@) {
        ($status, $text) = (500, $@);
        $handle = undef;
    }
    $text .= "\n";
    syswrite $client, "HTTP/1.1 $status -\r\nConnection: close\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
}

# A process of the app. It ends when $until has an end.
sub work {
    my ($listener, $until) = @_;
    my $select = IO::Select->new($listener, $until);
    while (1) {
        my @ready = $select->can_read;
        while (my $client = $listener->accept) { serve($client) }
        last if grep { $_ == $until } @ready;
    }
    exit 0;
}

# The socket gets its name when all processes have reached the database.
unlink "$socket.new";
my $listener = IO::Socket::UNIX->new(Local => "$socket.new", Listen => 511) or die "$socket: $!";
chmod 0777, "$socket.new";
$listener->blocking(0);
pipe my $until, my $run or die "pipe: $!";
pipe my $ready, my $say or die "pipe: $!";
$SIG{PIPE} = 'IGNORE';
for (1 .. $processes) {
    my $pid = fork // die "fork: $!";
    next if $pid;
    close $run;
    @SIG{qw(TERM INT)} = ('IGNORE') x 2;
    database();
    syswrite $say, '.';
    close $say;
    work($listener, $until);
}
close $say;
my $up = join '', <$ready>;
die "the app cannot reach its database\n" if length $up < $processes;
# A signal before `sigsuspend` must not be missed.
my $term = POSIX::SigSet->new(POSIX::SIGTERM());
POSIX::sigprocmask(POSIX::SIG_BLOCK(), $term);
my $end = 0;
$SIG{TERM} = sub { $end = 1 };
rename "$socket.new", $socket or die "$socket: $!";
POSIX::sigsuspend(POSIX::SigSet->new) until $end;
unlink $socket;
close $run;
1 while wait > 0;
