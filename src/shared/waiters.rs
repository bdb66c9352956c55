//! The table of callers that wait: for nothing to be in flight, or for the drain to end.
#![forbid(unsafe_code)]

use crate::ids::{AppId, Cookie, WorkerId};
use crate::shared::terms::PauseRequest;
use crate::sync::crash_point;
use crate::time::Now;

/// What the caller waits for. Zero is an unused entry.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Free,
    Provisional,
    Quiet,
    Drained,
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// No request of the app is in flight. Until then the pause is provisional: if the time is over
    /// first, it is rolled back.
    Provisional,
    /// No request of the app is in flight. The pause stays in any case.
    Quiet,
    /// No request of the app is held.
    Drained,
}

/// A waiting caller.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    pub app: AppId,
    pub owner: WorkerId,
    pub cookie: Cookie,
    /// When it called.
    pub since: Now,
    /// What it asked for. Only used if the pause is provisional.
    pub request: PauseRequest,
}

/// An entry of the table.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    used: Use,
    /// The end of its time to wait; [`Now::NEVER`] if it is not known.
    pub until: Now,
    waiter: Waiter,
}

impl Wait {
    pub const FREE: Self = Self {
        used: Use::Free,
        until: Now::NEVER,
        waiter: Waiter {
            app: AppId::NONE,
            owner: WorkerId::NONE,
            cookie: Cookie(0),
            since: Now::NEVER,
            request: PauseRequest::NONE,
        },
    };

    pub fn is_free(&self) -> bool {
        self.used == Use::Free
    }

    /// What is waited for, and by which caller. Returns None if the entry is unused.
    pub fn get(&self) -> Option<(WaitFor, &Waiter)> {
        let wait_for = match self.used {
            Use::Free => return None,
            Use::Provisional => WaitFor::Provisional,
            Use::Quiet => WaitFor::Quiet,
            Use::Drained => WaitFor::Drained,
        };
        Some((wait_for, &self.waiter))
    }

    /// A caller waits here from the last write on.
    pub fn fill(&mut self, wait_for: WaitFor, waiter: Waiter) {
        self.waiter = waiter;
        self.until = Now::NEVER;
        crash_point();
        self.used = match wait_for {
            WaitFor::Provisional => Use::Provisional,
            WaitFor::Quiet => Use::Quiet,
            WaitFor::Drained => Use::Drained,
        };
        crash_point();
    }

    /// A later caller gave a reason: this one's is not used any more.
    pub fn drop_reason(&mut self) {
        self.waiter.request.reason = None;
        crash_point();
    }

    /// Makes the entry unused.
    pub fn clear(&mut self) {
        self.used = Use::Free;
        crash_point();
    }
}
