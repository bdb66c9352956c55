//! A connection of nginx's that watches a descriptor of our own, and that no client has.

use core::cell::Cell;

use nginx_sys::{
    ngx_close_connection, ngx_connection_t, ngx_event_actions, ngx_event_t, ngx_get_connection,
    ngx_int_t, ngx_uint_t, NGX_OK,
};

use super::flags::{connection, event, NGX_CLEAR_EVENT, NGX_READ_EVENT};
use super::per_worker::PerWorker;
use super::{cycle, Failed};
use crate::ffi::os::fd::Fd;

/// Why the handler is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// There is something new.
    Ready,
    /// The worker is told to leave.
    ToLeave,
}

type Handler = fn(Told);

static HANDLER: PerWorker<Cell<Option<Handler>>> = PerWorker::new(Cell::new(None));

/// Adds a descriptor to the event loop, edge-triggered, until the worker ends; it must stay open. All
/// such descriptors have the same handler. Fails if there is no free connection.
pub(crate) fn watch(fd: Fd, handler: Handler) -> Result<(), Failed> {
    HANDLER.set(Some(handler));
    // SAFETY: in a worker the event loop is ready; the connection is ours until the end.
    unsafe {
        let c = ngx_get_connection(fd.0, cycle::log());
        let connection = c.as_mut().ok_or(Failed)?;
        let (rev, wev) = (&mut *connection.read, &mut *connection.write);
        (rev.log, wev.log) = (cycle::log(), cycle::log());
        // Not a client's: nginx does not look for it when the worker leaves.
        event::CHANNEL.set(rev);
        event::CHANNEL.set(wev);
        // Idle: nginx calls its handler, with `close` set, when the worker is told to leave.
        connection::IDLE.set(connection);
        rev.handler = Some(on_event);
        let add = ngx_event_actions.add.ok_or(Failed)?;
        if add(rev, NGX_READ_EVENT as ngx_int_t, NGX_CLEAR_EVENT as ngx_uint_t)
            != NGX_OK as ngx_int_t
        {
            // The descriptor is everybody's: what is closed is a copy.
            (*c).fd = libc::dup((*c).fd);
            ngx_close_connection(c);
            return Err(Failed);
        }
    }
    Ok(())
}

extern "C" fn on_event(rev: *mut ngx_event_t) {
    // SAFETY: our own event, whose data is its connection.
    let connection = unsafe { &mut *(*rev).data.cast::<ngx_connection_t>() };
    let told = if connection::CLOSE.is_set(connection) {
        connection::CLOSE.clear(connection);
        Told::ToLeave
    } else {
        Told::Ready
    };
    if let Some(handler) = HANDLER.get() {
        handler(told);
    }
}
