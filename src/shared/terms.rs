//! Why an app is paused, until when, and how those held go on.
#![forbid(unsafe_code)]

use crate::ids::PauseId;
use crate::shared::pace::Pace;
use crate::text::{Address, Reason};
use crate::time::{Msec, Now};

/// What `enable` or `stop` says of the pause that it begins or changes.
#[derive(Clone, Copy, Debug)]
pub struct PauseRequest {
    /// A number for the pause, if one begins.
    pub number: PauseId,
    pub by: Address,
    /// None where none was given.
    pub reason: Option<Reason>,
    /// After so long it ends by itself; never where none.
    pub lease: Option<Msec>,
    /// How those held go on when it ends.
    pub pace: Pace,
}

impl PauseRequest {
    /// Of nobody.
    pub const NONE: Self = Self {
        number: PauseId(0),
        by: Address::EMPTY,
        reason: None,
        lease: None,
        pace: Pace { spread: Msec(0), concurrency: 0 },
    };

    /// The end of its lease, if it began then; [`Now::NEVER`] where there is none.
    pub fn end(&self, began: Now) -> Now {
        self.lease.map_or(Now::NEVER, |lease| began.after(lease))
    }
}

/// What holds for a pause.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Empty where none was given.
    pub reason: Reason,
    pub by: Address,
    /// When it ends by itself; [`Now::NEVER`] where it does not.
    pub until: Now,
    pub pace: Pace,
}

impl Terms {
    /// Of no pause.
    pub const NONE: Self = Self {
        reason: Reason::EMPTY,
        by: Address::EMPTY,
        until: Now::NEVER,
        pace: Pace { spread: Msec(0), concurrency: 0 },
    };

    /// Of a pause that begins.
    pub fn of(request: &PauseRequest, now: Now) -> Self {
        Self {
            reason: request.reason.unwrap_or(Reason::EMPTY),
            by: request.by,
            until: request.end(now),
            pace: request.pace,
        }
    }

    /// Another reason, and another end: later only.
    pub fn changed(mut self, request: &PauseRequest, now: Now) -> Self {
        self.until = match (self.until, request.end(now)) {
            (Now::NEVER, _) | (_, Now::NEVER) => Now::NEVER,
            (old, new) if old.monotonic > new.monotonic => old,
            (_, new) => new,
        };
        self.reason = request.reason.unwrap_or(self.reason);
        self
    }
}
