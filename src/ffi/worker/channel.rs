//! Whether it was nginx's master that told this worker to leave.
//!
//! The master writes to a worker's channel; anybody else sends the worker a signal. nginx does not keep
//! which of them it was. So the handler of the channel is wrapped.

use core::cell::Cell;

use super::hooks;
use crate::ffi::nginx::cycle;
use crate::ffi::nginx::master_channel;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::posting::Post;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::os::process;

/// Whether the channel said it.
static TOLD: PerWorker<Cell<bool>> = PerWorker::new(Cell::new(false));

/// Happens once. nginx adds the channel after the init_process of its modules: by now it is there.
static BEGINNING: Timer = Timer::new(on_beginning);

/// In init_process: watches the channel from the first turn of the event loop on.
pub(crate) fn begin() {
    // An event that is posted for the next turn keeps nginx from waiting in this one.
    BEGINNING.post(Post::NextTurn);
}

/// Whether the master told this worker to leave, or is gone and can tell nothing.
pub(crate) fn is_told_to_leave() -> bool {
    TOLD.get() || master_is_gone()
}

/// Whether this worker has outlived the master.
pub(crate) fn master_is_gone() -> bool {
    process::parent() != cycle::process().parent
}

fn on_beginning() {
    // A worker that is told to leave so early was told by the master: nobody else knew its pid.
    TOLD.set(cycle::process().is_leaving);
    master_channel::wrap(on_told);
}

fn on_told() {
    TOLD.set(true);
    if let Some(hooks) = hooks::get() {
        (hooks.on_told_to_leave)();
    }
}
