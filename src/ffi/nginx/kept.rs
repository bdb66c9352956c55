//! The idle connections that nginx keeps to upstream servers (`keepalive`).

use nginx_sys::ngx_connection_t;

use super::event::Event;
use super::flags::connection;
use super::{cycle, functions};
use crate::ffi::os::fd::{is_stream, Fd};

/// Closes them all, as nginx does when a worker leaves: it sets `close` and calls the handler of the
/// read event, which closes the connection, and may close others.
pub(crate) fn close_all() {
    let Some(cycle) = cycle::running() else { return };
    for index in 0..cycle.connection_n {
        // SAFETY: the index is one of the cycle's table, which stays where it is. The reference ends
        // before the handler runs.
        let rev = unsafe {
            let connection = &mut *cycle.connections.add(index);
            if !is_kept(connection) {
                continue;
            }
            connection::CLOSE.set(connection);
            Event::read(connection)
        };
        if let Ok(rev) = rev {
            functions::handle(rev);
        }
    }
}

/// Whether this is an idle connection to a server. A client's connection has a listening socket that it
/// came from. A module may also watch an eventfd by an idle connection: that is no stream.
fn is_kept(connection: &ngx_connection_t) -> bool {
    connection.fd >= 0
        && connection::IDLE.is_set(connection)
        && connection.listening.is_null()
        && is_stream(Fd(connection.fd))
}
