//! Statuses for tests.
#![forbid(unsafe_code)]

use super::*;

/// The wall clock of all of them.
pub(crate) const THEN: &str = "1970-01-01T00:00:00.000Z";

pub(crate) fn address(text: &str) -> Address {
    Address::new(text.as_bytes()).unwrap()
}

/// Open, and never paused.
pub(crate) fn open() -> Status {
    Status { heard_of: true, ..Status::unknown(AppName::new(b"shop").unwrap()) }
}

/// Paused by alice.
pub(crate) fn paused() -> Status {
    Status {
        state: Word::Paused,
        pause: PauseNumber(PauseId(13)),
        since: Some(Time(Msec(0))),
        by: Some(address("alice")),
        reason: Reason::new(b"db switch").ok(),
        ..open()
    }
}

/// Alice's pause is over.
pub(crate) fn ended(by: Ender) -> Status {
    let (drained_by, ended) = (DrainedBy(by), Some(Time(Msec(0))));
    Status { state: Word::Open, by: None, reason: None, drained_by, ended, ..paused() }
}
