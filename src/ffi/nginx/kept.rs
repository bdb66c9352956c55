//! The connections that nginx keeps to the apps' servers.
//!
//! An app that was away may have left its connections without a word: nginx would learn so from the
//! first request that it sends on one, and answer 502 where it may not send that again. So none of
//! them outlives a pause.

use nginx_sys::ngx_connection_t;

use super::event::Event;
use super::flags::connection;
use super::{cycle, functions};
use crate::ffi::os::fd::{is_stream, Fd};

/// Closes the connections that wait for a request, as nginx does it if a worker leaves: the event's
/// handler sees `close`, and may close any of them.
pub(crate) fn close_all() {
    let Some(cycle) = cycle::running() else { return };
    for index in 0..cycle.connection_n {
        // SAFETY: within the cycle's table, which stays where it is. No reference is held while a
        // handler runs.
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

/// Whether it is to a server. A client's comes from a listening socket; what is no socket is somebody's
/// doorbell.
fn is_kept(connection: &ngx_connection_t) -> bool {
    connection.fd >= 0
        && connection::IDLE.is_set(connection)
        && connection.listening.is_null()
        && is_stream(Fd(connection.fd))
}
