//! How a worker without an entry comes to one, and how one that is to leave gives its entry to another.

use nginx_sys::ngx_msec_t;

use super::entry::any_lacks_entry;
use super::hooks;
use super::this_worker::ThisWorker;
use crate::ffi::nginx::timer::Timer;
use crate::ids::WorkerId;

/// How often a worker without an entry asks for one, in ms.
const INTERVAL: ngx_msec_t = 500;

static TIMER: Timer = Timer::new(on_timer);

/// If this worker has no entry, it asks for one again and again from now on.
pub(crate) fn begin(this: &ThisWorker) {
    if !this.id().is_some() {
        TIMER.start(INTERVAL);
    }
}

/// If this worker is to leave, has nothing left that needs its entry, and another worker has none, it
/// gives its entry back.
pub(crate) fn give_way(this: &ThisWorker) {
    let may = this.is_leaving() && this.id().is_some() && has_nothing_left();
    if may && any_lacks_entry(&this.zone) {
        take_row(WorkerId::NONE);
        this.entry.end();
    }
}

/// A request comes. If this worker has given its entry back, it asks for one at once.
pub(crate) fn ensure_entry(this: &ThisWorker) {
    if !this.id().is_some() && this.is_leaving() {
        seek(this);
    }
}

/// Asks for an entry; if there is none, or it cannot be used, the timer asks again.
fn seek(this: &ThisWorker) {
    let entry = &this.entry;
    let id = entry.register(this.orders());
    if id.is_some() && entry.listen(id).is_ok() {
        entry.take(id);
        return take_row(id);
    }
    if id.is_some() {
        entry.decline(id);
    }
    TIMER.start(INTERVAL);
}

fn on_timer() {
    let Some(this) = ThisWorker::current().filter(|this| !this.id().is_some()) else { return };
    if this.is_leaving() && has_nothing_left() {
        this.entry.leave_roll();
    } else {
        seek(this);
    }
}

fn has_nothing_left() -> bool {
    hooks::get().is_some_and(|hooks| (hooks.has_nothing_left)())
}

fn take_row(id: WorkerId) {
    if let Some(hooks) = hooks::get() {
        (hooks.take_row)(id);
    }
}
