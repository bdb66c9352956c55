//! A worker without an entry seeks one for as long as it has none, and one that is to leave and has
//! nothing left that it could be asked about gives its entry away.

use nginx_sys::ngx_msec_t;

use super::entry::is_lacking;
use super::hooks;
use super::this::{current, ThisWorker};
use crate::ffi::nginx::timer::Timer;
use crate::ids::WorkerId;

/// How often a worker without an entry asks for one, in ms.
const INTERVAL: ngx_msec_t = 500;

static TIMER: Timer = Timer::new(on_timer);

/// Seeks an entry from now on, if this worker has none.
pub(crate) fn begin(this: &ThisWorker) {
    if !this.id().is_some() {
        TIMER.start(INTERVAL);
    }
}

/// A worker that is to leave and has nothing left gives its entry to one that has none.
pub(crate) fn give_way(this: &ThisWorker) {
    let may = this.is_leaving() && this.id().is_some() && has_nothing_left();
    if may && is_lacking(&this.zone) {
        takes_row(WorkerId::NONE);
        this.entry.end();
    }
}

/// A request comes. If this worker gave its entry away, it is to be asked again.
pub(crate) fn is_needed(this: &ThisWorker) {
    if !this.id().is_some() && this.is_leaving() {
        seek(this);
    }
}

fn seek(this: &ThisWorker) {
    let entry = &this.entry;
    let id = entry.find(this.orders());
    if id.is_some() && entry.listen(id).is_ok() {
        entry.have(id);
        return takes_row(id);
    }
    if id.is_some() {
        entry.decline(id);
    }
    TIMER.start(INTERVAL);
}

fn on_timer() {
    let Some(this) = current().filter(|this| !this.id().is_some()) else { return };
    if this.is_leaving() && has_nothing_left() {
        this.entry.is_not_meant();
    } else {
        seek(this);
    }
}

fn has_nothing_left() -> bool {
    hooks::get().is_some_and(|hooks| (hooks.has_nothing_left)())
}

fn takes_row(id: WorkerId) {
    if let Some(hooks) = hooks::get() {
        (hooks.takes_row)(id);
    }
}
