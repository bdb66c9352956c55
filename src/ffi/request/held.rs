//! How many requests this worker holds: what its connections have room for depends on it.

use core::cell::Cell;

use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::request::Request;
use crate::request::connections::Kind;

#[derive(Clone, Copy, Default)]
pub(crate) struct Held {
    /// Requests that have a connection of their own.
    pub connections: usize,
    /// Streams of HTTP/2, which share a connection.
    pub streams: usize,
}

static HELD: PerWorker<Cell<Held>> = PerWorker::new(Cell::new(Held { connections: 0, streams: 0 }));

/// As it is now.
pub(crate) fn now() -> Held {
    HELD.get()
}

/// Whether it holds any.
pub(crate) fn any() -> bool {
    let Held { connections, streams } = now();
    connections + streams > 0
}

/// Whether a request takes a connection of its worker or only a stream.
pub(crate) fn kind(r: Request) -> Kind {
    if r.has_connection() {
        Kind::Connection
    } else {
        Kind::Stream
    }
}

/// A request is held from now on.
pub(crate) fn begin(r: Request) {
    change(r, |count| *count += 1);
}

/// A request is held no more.
pub(crate) fn end(r: Request) {
    change(r, |count| *count = count.saturating_sub(1));
}

fn change(r: Request, f: impl FnOnce(&mut usize)) {
    let mut held = now();
    f(match kind(r) {
        Kind::Connection => &mut held.connections,
        Kind::Stream => &mut held.streams,
    });
    HELD.set(held);
}
