# pt-online-schema-change --plugin pt_osc_pause.pm: pauses the app while triggers are created and tables are swapped.
# For these moments the tool needs a lock on the whole table; the app's requests would queue up behind it.
#
# If the app cannot be paused, this tries again for INTERMISSION_PATIENCE seconds (300). After that it gives up before
# the triggers are created, and goes on without a pause before the swap: the copied rows are worth more.
package pt_online_schema_change_plugin;

use strict;
use warnings;

sub new {
    my ($class, %args) = @_;
    return bless {execute => $args{execute}, key => "pt-osc-$$", paused => 0, owner => $$}, $class;
}

sub before_create_triggers {
    my ($self) = @_;
    $self->pause || die "the app cannot be paused\n";
}

sub before_swap_tables {
    my ($self) = @_;
    $self->pause || warn "pt-online-schema-change goes on without a pause\n";
}

sub after_create_triggers { $_[0]->resume }
sub after_swap_tables     { $_[0]->resume }

sub pause {
    my ($self) = @_;
    return 1 if !$self->{execute};
    my $end = time + ($ENV{INTERMISSION_PATIENCE} // 300);
    until (system(qw(intermission pause --lease 60s --wait 5s --reason pt-online-schema-change --key), $self->{key}) == 0) {
        return 0 if time >= $end;
        sleep 2;
    }
    return $self->{paused} = 1;
}

sub resume {
    my ($self) = @_;
    return if !$self->{paused};
    $self->{paused} = 0;
    system(qw(intermission resume --key), $self->{key});
}

# Also where the tool gives up between the two.
sub DESTROY {
    my ($self) = @_;
    local ($?, $@);
    $self->resume if $$ == $self->{owner};
}

1;
