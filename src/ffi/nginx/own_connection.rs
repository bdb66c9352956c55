//! Watching a file descriptor of our own in nginx's event loop, by one of nginx's connections.

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
    /// The descriptor has become readable, perhaps more than once.
    Ready,
    /// This worker is told to leave.
    ToLeave,
}

type Handler = fn(Told);

static HANDLER: PerWorker<Cell<Option<Handler>>> = PerWorker::new(Cell::new(None));

/// Watches a descriptor, edge-triggered, until the worker ends. The descriptor must stay open. All
/// that are watched have one handler, the last one given. Fails if nginx has no free connection.
pub(crate) fn watch(fd: Fd, handler: Handler) -> Result<(), Failed> {
    HANDLER.set(Some(handler));
    // SAFETY: callers are workers: nginx has made the event loop and the connections before. A
    // connection that it gives out has both events, and is nobody else's until it is closed.
    unsafe {
        let c = ngx_get_connection(fd.0, cycle::log());
        let connection = c.as_mut().ok_or(Failed)?;
        let (rev, wev) = (&mut *connection.read, &mut *connection.write);
        (rev.log, wev.log) = (cycle::log(), cycle::log());
        // As nginx marks its own channel. Without it a worker that ends complains of an open connection.
        event::CHANNEL.set(rev);
        event::CHANNEL.set(wev);
        // nginx sets `close` and calls the handler of each idle connection when the worker is told to
        // leave.
        connection::IDLE.set(connection);
        rev.handler = Some(on_event);
        let add = ngx_event_actions.add.ok_or(Failed)?;
        if add(rev, NGX_READ_EVENT as ngx_int_t, NGX_CLEAR_EVENT as ngx_uint_t)
            != NGX_OK as ngx_int_t
        {
            // Other processes use the descriptor too, and this one may: nginx gets a copy to close.
            (*c).fd = libc::dup((*c).fd);
            ngx_close_connection(c);
            return Err(Failed);
        }
    }
    Ok(())
}

extern "C" fn on_event(rev: *mut ngx_event_t) {
    // SAFETY: nginx passes the read event that has this handler. Its data is its connection, in nginx's
    // table; nothing else has a reference to it.
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
