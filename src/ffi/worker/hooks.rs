//! Functions of higher floors that this floor calls.
//!
//! A floor uses only lower floors, so nothing here names a request. But two things begin here and go
//! on there: a bell rings, and then requests are released and control requests answered; a worker gives its
//! entry away, if the requests that it has left need none. So the worker's start (`module/process.rs`)
//! gives these functions once.
//!
//! How one can still get it wrong:
//! * They are called only after they were given. Before, and in the master, nothing happens: a
//!   worker's start must give them before it listens to a bell, and before it holds a request.
//! * [`Hooks::on_my_turn`] is called at the end of a visit to the zone, while the visitor still uses its
//!   request: it must not release or end a request, and only posts an event.
//! * [`Hooks::take_row`] and [`Hooks::has_nothing_left`] are also called when a request comes: they must
//!   not end a request either. The other three are called by the event loop, and may.
//! * None may be called with the zone's lock held: each visits the zone.

use once_cell::unsync::OnceCell;

use crate::ffi::nginx::per_worker::PerWorker;
use crate::ids::WorkerId;

pub(crate) struct Hooks {
    /// A request held by this worker may be the next one in line.
    pub on_my_turn: fn(),
    /// A bell that this worker listens to rang: anything may have changed.
    pub on_ring: fn(),
    /// This worker is to leave when its requests are done: the master said so, or a signal.
    pub on_leaving: fn(),
    /// The master told this worker to leave. May come before or after [`Hooks::on_leaving`].
    pub on_told_to_leave: fn(),
    /// From now on this worker counts its requests in the row of this entry; in none if NONE.
    pub take_row: fn(WorkerId),
    /// Whether none of the requests that are left here needs an entry.
    pub has_nothing_left: fn() -> bool,
}

static HOOKS: PerWorker<OnceCell<Hooks>> = PerWorker::new(OnceCell::new());

/// Gives them, once per process.
pub(crate) fn give(hooks: Hooks) {
    // Nothing changes if they were given before.
    let _ = HOOKS.set(hooks);
}

/// Returns None before they are given, and in the master.
pub(crate) fn get() -> Option<&'static Hooks> {
    HOOKS.get()
}
