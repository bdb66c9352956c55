//! Those who asked for a pause or its end, and are answered when the app is quiet, or drained.
#![forbid(unsafe_code)]

use crate::ids::{AppId, Cookie, WorkerId};
use crate::shared::terms::PauseRequest;
use crate::sync::crash_point;
use crate::time::Now;

/// What a caller waits for. Zero is an unused entry.
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
    /// That nothing of the app is in flight; until then its pause may be taken back.
    Provisional,
    /// The same, but the pause stays.
    Quiet,
    /// That nobody is held any more.
    Drained,
}

/// A caller who waits.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    pub app: AppId,
    pub owner: WorkerId,
    pub cookie: Cookie,
    /// When he came.
    pub since: Now,
    /// What he asked for, where it may be taken back.
    pub request: PauseRequest,
}

/// An entry of the table.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    used: Use,
    /// For how long he waits; [`Now::NEVER`] where that is not known.
    pub until: Now,
    waiter: Waiter,
}

impl Wait {
    /// An unused entry.
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

    /// Whether nobody has this entry.
    pub fn is_free(&self) -> bool {
        self.used == Use::Free
    }

    /// Who waits here, and for what.
    pub fn get(&self) -> Option<(WaitFor, &Waiter)> {
        let wait_for = match self.used {
            Use::Free => return None,
            Use::Provisional => WaitFor::Provisional,
            Use::Quiet => WaitFor::Quiet,
            Use::Drained => WaitFor::Drained,
        };
        Some((wait_for, &self.waiter))
    }

    /// Somebody waits here: from the last write on he counts.
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

    /// Somebody else gave a reason after he did: his own counts no more.
    pub fn drop_reason(&mut self) {
        self.waiter.request.reason = None;
        crash_point();
    }

    /// Nobody waits here any more.
    pub fn clear(&mut self) {
        self.used = Use::Free;
        crash_point();
    }
}
