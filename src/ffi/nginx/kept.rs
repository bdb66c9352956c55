//! The connections that nginx keeps to the apps' servers.
//!
//! An app that was away may have left its connections without a word: nginx would learn so from the
//! first request that it sends on one, and answer 502 where it may not send that again. So none of
//! them outlives a pause.

use nginx_sys::ngx_connection_t;

use super::flags::connection;
use super::{cycle, event};
use crate::ffi::os::fd::{is_stream, Fd};

/// Closes the connections that wait for a request.
pub(crate) fn close_all() {
    let Some(cycle) = cycle::running() else { return };
    for index in 0..cycle.connection_n {
        // SAFETY: within the cycle's table, which stays where it is. A handler may close any of them.
        unsafe { close_if_kept(cycle.connections.add(index)) };
    }
}

/// As nginx does it where a worker leaves: the event's handler sees `close`.
///
/// # Safety
/// The connection is one of the cycle's, in use or not.
unsafe fn close_if_kept(c: *mut ngx_connection_t) {
    // SAFETY: the caller's; one in use has events. No reference is held while the handler runs.
    unsafe {
        let idle = (*c).fd >= 0 && connection::IDLE.is_set(&*c);
        // A client's comes from a listening socket; what is no socket is somebody's doorbell.
        if !idle || !(*c).listening.is_null() || !is_stream(Fd((*c).fd)) {
            return;
        }
        connection::CLOSE.set(&mut *c);
        event::handle((*c).read);
    }
}
