//! The channel by which the master tells this worker what to do.

use core::cell::Cell;

use nginx_sys::{ngx_event_handler_pt, ngx_event_t};

use super::event::Event;
use super::per_worker::PerWorker;
use super::{cycle, pointers};

/// nginx's own handler of the channel, which ours calls.
static NGINX_OWN: PerWorker<Cell<ngx_event_handler_pt>> = PerWorker::new(Cell::new(None));

/// What to call when the master tells this worker to leave.
static ON_TOLD: PerWorker<Cell<fn()>> = PerWorker::new(Cell::new(|| {}));

/// From now on calls `on_told` when the master tells this worker to leave. Does nothing if there is no
/// channel: without a master.
pub(crate) fn wrap(on_told: fn()) {
    let Some(cycle) = cycle::running() else { return };
    let channel = cycle::process().channel;
    let own = pointers::connections(cycle).iter().find(|one| one.fd == channel);
    if let Some(Ok(rev)) = own.map(Event::read) {
        NGINX_OWN.set(rev.update(|rev| rev.handler.replace(on_message)));
        ON_TOLD.set(on_told);
    }
}

extern "C" fn on_message(event: *mut ngx_event_t) {
    // SAFETY: nginx passes the channel's event, and its own handler gets it as without us. `ngx_quit`
    // is a number that only this thread and its signal handlers write.
    //
    // nginx's handler sets it if the master says so. If a signal has set it before, it is cleared for
    // the call and then set again: the master may say so in the same turn.
    let told = unsafe {
        let before = nginx_sys::ngx_quit;
        if before != 0 {
            nginx_sys::ngx_quit = 0;
        }
        if let Some(handler) = NGINX_OWN.get() {
            handler(event);
        }
        let told = nginx_sys::ngx_quit != 0;
        if before != 0 {
            nginx_sys::ngx_quit = before;
        }
        told
    };
    if told {
        (ON_TOLD.get())();
    }
}
