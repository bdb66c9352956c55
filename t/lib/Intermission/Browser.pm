package Intermission::Browser;

# A headless Chromium, driven through chromedriver (WebDriver: HTTP and JSON).
#
#   my $browser = Intermission::Browser->new(width => 1200, height => 800);
#   $browser->open('http://127.0.0.1:8080/');
#   $browser->click('button');
#   $browser->wait_text('p', qr/done/);

use strict;
use warnings;
use Carp ();
use File::Temp ();
use HTTP::Tiny;
use Intermission::Process;
use JSON::PP ();
use MIME::Base64 ();
use Scalar::Util ();

my $driver = $ENV{TEST_CHROMEDRIVER} // '/usr/bin/chromedriver';
my $chromium = $ENV{TEST_CHROMIUM} // '/usr/bin/chromium';
my $element = 'element-6066-11e4-a52e-4f735466cecf';    # WebDriver's name for an element's reference

my @running;    # weak references: a browser that nothing refers to is closed

# The characters that WebDriver uses for other keys, for `press`.
my %key = (Tab => "\x{E004}", Enter => "\x{E007}", Escape => "\x{E00C}", Shift => "\x{E008}", Space => ' ');

# The program that is missing here, or undef.
sub missing { (grep { !-x } $driver, $chromium)[0] }

# width and height of the page, dark => 1, hosts => {name => address}
sub new {
    my ($class, %opt) = @_;
    my $profile = File::Temp::tempdir('chromium-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless {profile => $profile, owner => $$, console => [], requests => []}, $class;
    push @running, $self;
    Scalar::Util::weaken($running[-1]);
    pipe my $ready, my $stdout or die "pipe: $!";
    open my $errors, '>', "$profile/chromedriver.stderr" or die "chromedriver.stderr: $!";
    # Chromium puts its own files there too. They are removed with the folder.
    local @ENV{qw(TMPDIR HOME XDG_CONFIG_HOME XDG_CACHE_HOME)} = ($profile) x 4;
    $self->{driver} = Intermission::Process::start(chromedriver => [$driver, '--port=0'], stdout => $stdout, stderr => $errors);
    close $stdout;
    $self->{ready} = $ready;
    $self->{port} = _port($ready) // die "chromedriver does not start\n";
    $self->{http} = HTTP::Tiny->new(timeout => 30);
    my @arguments = (
        '--headless=new', '--remote-debugging-pipe', "--user-data-dir=$profile/profile", '--hide-scrollbars',
        '--no-first-run', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking',
        '--disable-component-update', '--disable-sync', 'about:blank',
    );
    push @arguments, '--no-sandbox' if $> == 0;
    my $hosts = $opt{hosts} // {};
    push @arguments, '--host-resolver-rules=' . join ',', map { "MAP $_ $hosts->{$_}" } sort keys %$hosts if %$hosts;
    my $session = $self->_call(POST => '/session', {capabilities => {alwaysMatch => {
        'goog:chromeOptions' => {binary => $chromium, args => \@arguments},
        'goog:loggingPrefs' => {browser => 'ALL', performance => 'ALL'},
        timeouts => {pageLoad => 20_000, script => 20_000},
    }}});
    $self->{session} = "/session/$session->{sessionId}";
    $self->size($opt{width} // 1200, $opt{height} // 900);
    $self->dark($opt{dark}) if $opt{dark};
    return $self;
}

# ---- what a person does

sub open { $_[0]->_session(POST => '/url', {url => $_[1]}) }

sub click { $_[0]->_session(POST => "/element/@{[$_[0]->_element($_[1])]}/click", {}) }

# Types into a field, instead of the text that is there.
sub type {
    my ($self, $selector, $text) = @_;
    my $field = $self->_element($selector);
    $self->_session(POST => "/element/$field/clear", {});
    $self->_session(POST => "/element/$field/value", {text => $text}) if length $text;
}

# Presses keys one after the other: characters, Tab, Enter, Escape, Space, or 'Shift+Tab'.
sub press {
    my ($self, @keys) = @_;
    my @actions;
    for my $key (@keys) {
        my @held = map { $key{$_} // $_ } split /\+/, $key;
        push @actions, map({ {type => 'keyDown', value => $_} } @held), map({ {type => 'keyUp', value => $_} } reverse @held);
    }
    $self->_session(POST => '/actions', {actions => [{type => 'key', id => 'keyboard', actions => \@actions}]});
}

# Sets the size of the page, not of the window.
sub size {
    my ($self, $width, $height) = @_;
    $self->devtools('Emulation.setDeviceMetricsOverride',
        {width => $width, height => $height, deviceScaleFactor => 1, mobile => JSON::PP::false});
}

sub dark {
    my ($self, $dark) = @_;
    my $scheme = {name => 'prefers-color-scheme', value => $dark ? 'dark' : 'light'};
    $self->devtools('Emulation.setEmulatedMedia', {features => [$scheme]});
}

# ---- what a person sees

# Runs JavaScript with these arguments. Returns its value.
sub script {
    my ($self, $code, @arguments) = @_;
    return $self->_session(POST => '/execute/sync', {script => $code, args => \@arguments});
}

# The rendered text of the first match; '' if there is none.
sub text {
    my ($self, $selector) = @_;
    return $self->script('return document.querySelector(arguments[0])?.innerText ?? ""', $selector);
}

sub wait_text {
    my ($self, $selector, $pattern, $seconds) = @_;
    $seconds //= 10;
    my $text = '';
    my $found = Intermission::Process::wait_until(sub { ($text = $self->text($selector)) =~ $pattern }, $seconds);
    return $found ? $text : Carp::croak("not within $seconds s: $selector is $pattern; it is \"$text\"");
}

# The name that assistive technology has for each match.
sub labels {
    my ($self, $selector) = @_;
    my $found = $self->_session(POST => '/elements', {using => 'css selector', value => $selector});
    return map { $self->_session(GET => "/element/$_->{$element}/computedlabel") } @$found;
}

sub screenshot {
    my ($self, $path) = @_;
    CORE::open my $file, '>:raw', $path or die "$path: $!";
    print {$file} MIME::Base64::decode_base64($self->_session(GET => '/screenshot'));
    close $file or die "$path: $!";
}

# ---- what the browser records

# All messages of the console since the start: {level, source, message}.
sub console {
    my ($self) = @_;
    push @{$self->{console}}, @{$self->_session(POST => '/se/log', {type => 'browser'})};
    return @{$self->{console}};
}

# All requests since the start: {url, method, headers}.
sub requests {
    my ($self) = @_;
    for my $entry (@{$self->_session(POST => '/se/log', {type => 'performance'})}) {
        my $message = JSON::PP::decode_json($entry->{message})->{message};
        push @{$self->{requests}}, $message->{params}{request} if $message->{method} eq 'Network.requestWillBeSent';
    }
    return @{$self->{requests}};
}

# A command of the DevTools protocol.
sub devtools {
    my ($self, $command, $parameters) = @_;
    return $self->_session(POST => '/goog/cdp/execute', {cmd => $command, params => $parameters // {}});
}

sub close {
    my ($self) = @_;
    my $driver = delete $self->{driver} or return;
    my @browsers = Intermission::Process::children($driver);
    eval { $self->_session('DELETE') } if $self->{session};
    Intermission::Process::end($driver, [TERM => 5], [KILL => 5]);
    # A browser whose driver is gone ends by itself. It must have ended before its folder is removed.
    my $gone = sub { !grep { Intermission::Process::is_alive($_) } @browsers };
    Intermission::Process::wait_until($gone, 5) or kill KILL => @browsers;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ($@, $?, $!);
    $self->close;
}

END { $_->DESTROY for grep { defined } @running }

# ---- the protocol

# The port that chromedriver prints; undef if it prints none within 20 s.
sub _port {
    my ($ready) = @_;
    local $SIG{ALRM} = sub { die };
    alarm 20;
    my $port = eval {
        while (my $line = <$ready>) { return $1 if $line =~ /started successfully on port (\d+)/ }
    };
    alarm 0;
    return $port || undef;
}

sub _element {
    my ($self, $selector) = @_;
    return $self->_session(POST => '/element', {using => 'css selector', value => $selector})->{$element};
}

sub _session {
    my ($self, $method, $path, $body) = @_;
    return $self->_call($method, $self->{session} . ($path // ''), $body);
}

sub _call {
    my ($self, $method, $path, $body) = @_;
    my %content = $body ? (content => JSON::PP->new->utf8->encode($body)) : ();
    my $answer = $self->{http}->request($method, "http://127.0.0.1:$self->{port}$path", \%content);
    my $value = eval { JSON::PP::decode_json($answer->{content})->{value} };
    return $value if $answer->{success};
    Carp::croak("$method $path: " . (ref $value ? "$value->{error}: $value->{message}" : $answer->{content}));
}

1;
