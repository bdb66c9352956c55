//! The connections that nginx keeps to the apps' servers.
//!
//! An app that was away may have left its connections without a word: nginx would learn so from the
//! first request that it sends on one, and answer 502 where it may not send that again. So none of
//! them outlives a pause.

use std::os::fd::RawFd;

use nginx_sys::{ngx_connection_t, ngx_cycle};

use crate::ffi::nginx::flags::connection;
use crate::ffi::worker::workers::ThisWorker;

/// If a pause has ended since, closes the connections that wait for a request.
pub(crate) fn freshen(this: &ThisWorker) {
    let endings = this.zone.signals().endings();
    if this.endings.replace(endings) == endings {
        return;
    }
    // SAFETY: a worker's cycle has so many connections, for as long as the worker runs.
    let (connections, count) = unsafe { ((*ngx_cycle).connections, (*ngx_cycle).connection_n) };
    for index in 0..count {
        // SAFETY: within the table. Who handles an event may close any of them, and moves none.
        unsafe { close_if_kept(connections.add(index)) };
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
        if !idle || !(*c).listening.is_null() || !is_stream((*c).fd) {
            return;
        }
        connection::CLOSE.set(&mut *c);
        let rev = (*c).read;
        if let Some(handler) = (*rev).handler {
            handler(rev);
        }
    }
}

/// Whether this is a socket for a stream of bytes.
fn is_stream(fd: RawFd) -> bool {
    let mut kind: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: room for an int, and its length.
    let done = unsafe {
        let place = (&raw mut kind).cast();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, place, &raw mut length)
    };
    done == 0 && kind == libc::SOCK_STREAM
}
