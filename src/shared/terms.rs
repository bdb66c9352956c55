//! The terms of a pause: its reason, who asked for it, its end, and the pace of its drain.
#![forbid(unsafe_code)]

use crate::ids::PauseId;
use crate::shared::pace::Pace;
use crate::text::{Address, Reason};
use crate::time::{Msec, Now};

/// What a call of `enable` or `stop` asks for.
#[derive(Clone, Copy, Debug)]
pub struct PauseRequest {
    /// The number of the pause if one begins. The zone gives it.
    pub number: PauseId,
    pub by: Address,
    /// None if the call gives none: then the pause keeps its own.
    pub reason: Option<Reason>,
    /// The pause ends by itself after this time; never if None.
    pub lease: Option<Msec>,
    /// The pace of the drain when the pause ends.
    pub pace: Pace,
}

impl PauseRequest {
    pub const NONE: Self = Self {
        number: PauseId(0),
        by: Address::EMPTY,
        reason: None,
        lease: None,
        pace: Pace { spread: Msec(0), concurrency: 0 },
    };

    /// The end of a lease that begins at `began`; [`Now::NEVER`] without a lease.
    pub fn end(&self, began: Now) -> Now {
        self.lease.map_or(Now::NEVER, |lease| began.after(lease))
    }
}

/// The terms of a pause.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Empty if none was given.
    pub reason: Reason,
    pub by: Address,
    /// When the pause ends by itself; [`Now::NEVER`] if it does not.
    pub until: Now,
    pub pace: Pace,
}

impl Terms {
    pub const NONE: Self = Self {
        reason: Reason::EMPTY,
        by: Address::EMPTY,
        until: Now::NEVER,
        pace: Pace { spread: Msec(0), concurrency: 0 },
    };

    /// The terms of a pause that begins.
    pub fn of(request: &PauseRequest, now: Now) -> Self {
        Self {
            reason: request.reason.unwrap_or(Reason::EMPTY),
            by: request.by,
            until: request.end(now),
            pace: request.pace,
        }
    }

    /// The terms after another call: its reason, and its end if that is later. The pace stays.
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
