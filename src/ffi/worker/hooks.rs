//! What happens upstairs when something happens here.
//!
//! The zone wakes workers, and its workers' bells ring: what is to be done then is the business of
//! requests and control requests, which stand on this floor. So whoever starts the worker gives these
//! functions once, before any bell can ring. Until then, and in the master, nothing happens.

use once_cell::unsync::OnceCell;

use crate::ffi::nginx::per_worker::PerWorker;
use crate::ids::WorkerId;

pub(crate) struct Hooks {
    /// This worker may be able to release.
    pub my_turn: fn(),
    /// Its bell rang: anything may have changed.
    pub rang: fn(),
    /// It is to leave when its requests are done: the master said so, or somebody by hand.
    pub leaving: fn(),
    /// The master said so.
    pub told_to_leave: fn(),
    /// It counts in the row of this entry from now on.
    pub takes_row: fn(WorkerId),
    /// Whether nothing of what is left here needs an entry.
    pub has_nothing_left: fn() -> bool,
}

static HOOKS: PerWorker<OnceCell<Hooks>> = PerWorker::new(OnceCell::new());

/// Once per process.
pub(crate) fn give(hooks: Hooks) {
    // A second time nothing changes.
    let _ = HOOKS.set(hooks);
}

/// What was given. None in the master.
pub(crate) fn get() -> Option<&'static Hooks> {
    HOOKS.get()
}
