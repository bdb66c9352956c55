//! Whether it was nginx's master that told this worker to leave.
//!
//! The master tells its workers by a channel; somebody who sends one of them a signal does not. nginx
//! keeps no note of which it was: so the channel's handler is wrapped.

use core::cell::Cell;

use super::hooks;
use crate::ffi::nginx::cycle;
use crate::ffi::nginx::master_channel;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::posting::Post;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::os::process;

/// Whether the master said it.
static TOLD: PerWorker<Cell<bool>> = PerWorker::new(Cell::new(false));

/// Happens once, when nginx has added the channel: it does so after the modules' init_process.
static BEGINNING: Timer = Timer::new(on_beginning);

/// In init_process. The event loop turns at once, without a wait.
pub(crate) fn begin() {
    BEGINNING.post(Post::NextTurn);
}

/// Whether the master told this worker to leave; or is gone, so that nobody can.
pub(crate) fn told_to_leave() -> bool {
    TOLD.get() || master_is_gone()
}

/// Whether this worker has outlived the master.
pub(crate) fn master_is_gone() -> bool {
    process::parent() != cycle::process().parent
}

fn on_beginning() {
    // So early nobody but the master can have told it.
    TOLD.set(cycle::process().leaves);
    master_channel::wrap(on_told);
}

fn on_told() {
    TOLD.set(true);
    if let Some(hooks) = hooks::get() {
        (hooks.told_to_leave)();
    }
}
