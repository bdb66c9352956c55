//! Whether it was nginx's master that told this worker to leave.
//!
//! The master tells its workers by a channel; whoever sends one of them a signal does not. nginx
//! keeps no note of which it was: so the channel's handler is wrapped.

use core::cell::Cell;
use core::ptr;

use nginx_sys::{ngx_event_handler_pt, ngx_event_t, ngx_post_event, ngx_posted_next_events};

use crate::ffi::worker::workers::{self, Timer};

/// What this process knows of its channel.
pub(crate) struct Channel {
    /// Happens once, when nginx has added the channel: it does so after the modules' init_process.
    begins: Timer,
    /// nginx's own handler.
    handler: Cell<ngx_event_handler_pt>,
    told: Cell<bool>,
}

impl Channel {
    pub(crate) fn new(log: *mut nginx_sys::ngx_log_t) -> Self {
        Self {
            begins: Timer::new(on_beginning, log),
            handler: Cell::new(None),
            told: Cell::new(false),
        }
    }

    /// At its final place, in init_process. The event loop turns at once, without a wait.
    pub(crate) fn init(&self) {
        // SAFETY: our own event; nginx's queue is there since the event module's init_process.
        unsafe { ngx_post_event(self.begins.event(), &raw mut ngx_posted_next_events) };
    }

    /// Whether the master told this worker to leave; or is gone, so that nobody can.
    pub(crate) fn told_to_leave(&self) -> bool {
        self.told.get() || master_is_gone()
    }
}

/// Whether this worker has outlived the master.
pub(crate) fn master_is_gone() -> bool {
    // SAFETY: no preconditions; nginx noted its parent when it forked this process.
    unsafe { libc::getppid() != nginx_sys::ngx_parent }
}

extern "C" fn on_beginning(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    let channel = &this.channel;
    // SAFETY: nginx's cycle and its connections; on this thread nobody else touches them meanwhile.
    unsafe {
        // So early nobody but the master can have told it.
        channel.told.set(nginx_sys::ngx_quit != 0 || nginx_sys::ngx_exiting != 0);
        let cycle = &*nginx_sys::ngx_cycle;
        let connections = core::slice::from_raw_parts(cycle.connections, cycle.connection_n);
        let Some(own) = connections.iter().find(|c| c.fd == nginx_sys::ngx_channel) else { return };
        channel.handler.set(ptr::replace(&raw mut (*own.read).handler, Some(on_message)));
    }
}

extern "C" fn on_message(event: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    // SAFETY: nginx's own event and handler; the flag is this process's. A signal that came before
    // has set it, and it is set again: the master may say the same in this very turn.
    let told = unsafe {
        let before = nginx_sys::ngx_quit;
        if before != 0 {
            nginx_sys::ngx_quit = 0;
        }
        if let Some(handler) = this.channel.handler.get() {
            handler(event);
        }
        let told = nginx_sys::ngx_quit != 0;
        if before != 0 {
            nginx_sys::ngx_quit = before;
        }
        told
    };
    if told {
        this.channel.told.set(true);
        workers::check_for_quit();
    }
}
