//! Promises of an agent that the model does not need: what they guard against is rare, or does no harm
//! by itself.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::call::{Call, Said, State, Status, What};
use super::local::{Hold, Local, Manner};
use super::view::Seen;
use crate::keys::{Fleet, LeaseId, Revision, Token};
use crate::snapshot::PauseEntry;
use crate::values::{Ack, AckState, Millis, Pause, Stage, VERSION};

pub(super) const NOW: Duration = Duration::from_secs(100);

/// A pause whose hard end is 20 s after its beat, which is of now.
pub(super) fn seen(beat: u64) -> Seen {
    let pause = Pause {
        v: VERSION,
        by: "alice".to_owned(),
        reason: None,
        beat,
        hold: Millis(20_000),
        wait: Millis(1000),
        stage: Stage::Hold,
        spread: None,
        concurrency: None,
    };
    let (modified, lease) = (Revision(4 + beat), LeaseId(1));
    let entry = PauseEntry { token: Token(5), modified, lease, pause: Some(pause) };
    Seen { entry, since: Some(NOW) }
}

pub(super) fn manner() -> Manner {
    let (look, slack) = (Duration::from_secs(1), Duration::from_secs(1));
    Manner { fleet: Fleet::parse("web").unwrap(), look, slack }
}

fn paused() -> Status {
    let by = Some("fleet web 5 alice".to_owned());
    Status { state: State::Paused, pause: 7, by, drained_by: None, held: 0, in_flight: 0 }
}

/// An app that holds for the first beat.
fn holds_for(seconds: u64) -> Local {
    let (token, until) = (Token(5), after(seconds));
    let (what, is_promised) = (What::Pause, false);
    let mut local = Local::default();
    local.hold = Some(Hold { token, pause: 7, until, beat: 1, is_quiet: true, what, is_promised });
    local.known = Some(paused());
    local
}

fn after(seconds: u64) -> Duration {
    NOW + Duration::from_secs(seconds)
}

/// The caller counts on it before it sees the ack.
#[test]
fn the_first_ack_promises_half_of_the_hard_end() {
    let seen = seen(1);
    assert_eq!(holds_for(9).ack(NOW, Some(&seen)), None);
    let mut local = holds_for(10);
    let (token, ack) = local.ack(NOW, Some(&seen)).unwrap();
    assert_eq!((ack.state, ack.remaining), (AckState::Quiet, Millis(10_000)));
    local.acked(token, Ack { beat: 0, ..ack });
    let (_, second) = local.ack(after(5), Some(&seen)).unwrap();
    assert_eq!(second.remaining, Millis(5000), "the second one promises what there is");
}

/// Its process slept between the reckoning of the lease and the call.
#[test]
fn a_hold_that_lasts_beyond_the_hard_end_is_ended() {
    let call = holds_for(60).call(after(19), Some(&seen(1)), &manner());
    assert_eq!(call, Some(Call::Look));
    let call = holds_for(60).call(after(20), Some(&seen(1)), &manner());
    let is_pauses = matches!(call, Some(Call::Disable { pause: 7, what: What::Pause, .. }));
    assert!(is_pauses, "{call:?}");
}

#[test]
fn a_beat_that_comes_during_a_renewal_is_renewed_for() {
    let mut local = holds_for(10);
    let (second, manner) = (seen(2), manner());
    let call = local.call(NOW, Some(&second), &manner).unwrap();
    assert!(matches!(call, Call::Renew { .. }), "{call:?}");
    let third = Seen { since: Some(after(5)), ..seen(3) };
    local.answered(after(5), Said::Is(paused()), Some(&third), &manner);
    let call = local.call(after(5), Some(&third), &manner);
    assert!(matches!(call, Some(Call::Renew { .. })), "{call:?}");
}

/// Without etcd: the key still says that the app is to be held.
#[test]
fn a_pause_that_its_caller_has_ended_at_the_endpoint_is_not_begun_again() {
    let (seen, manner) = (seen(1), manner());
    for (by, begins) in [("alice", false), ("bob", true)] {
        let mut local = holds_for(10);
        local.known = None;
        assert_eq!(local.call(NOW, Some(&seen), &manner), Some(Call::Look));
        let open = Status { state: State::Open, drained_by: Some(by.to_owned()), ..paused() };
        local.answered(NOW, Said::Is(open), Some(&seen), &manner);
        let call = local.call(after(2), Some(&seen), &manner).unwrap();
        assert_eq!(matches!(call, Call::Enable { .. }), begins, "{by}: {call:?}");
    }
}
