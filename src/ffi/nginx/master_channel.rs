//! The channel by which the master tells its workers what to do.

use core::cell::Cell;

use nginx_sys::{ngx_event_handler_pt, ngx_event_t};

use super::event::Event;
use super::per_worker::PerWorker;
use super::{cycle, pointers};

/// nginx's own handler of the channel.
static NGINX_OWN: PerWorker<Cell<ngx_event_handler_pt>> = PerWorker::new(Cell::new(None));

/// What is called when the master has told to leave.
static ON_TOLD: PerWorker<Cell<fn()>> = PerWorker::new(Cell::new(|| {}));

/// From now on calls this when the master tells this worker to leave.
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
    // SAFETY: nginx's own event and handler; the flag is this process's. A signal that came before has
    // set it, and it is set again: the master may say the same in this very turn.
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
