//! Connections: held requests leave enough for everybody else, and release never uses them up.

use nginx_sys::ngx_cycle;

use super::workers::ThisWorker;

/// A run is no longer than this.
const ENOUGH: usize = 256;

/// This worker's connections: how many a newcomer can have, of how many. What nginx closes for a
/// newcomer, above all idle clients, is as good as free.
fn connections() -> (usize, usize) {
    // SAFETY: nginx's running cycle, on its one thread.
    unsafe {
        let cycle = &*ngx_cycle;
        (cycle.free_connection_n + cycle.reusable_connections_n, cycle.connection_n)
    }
}

/// So many stay free of requests that go on after a hold: below an eighth nginx may stop accepting,
/// below a sixteenth it closes idle clients.
fn reserve(all: usize) -> usize {
    (all / 8).max(16)
}

/// Whether one more request may be held on a connection of its own. Those held take five eighths
/// of the connections at the most, and leave a quarter: an eighth for the release, which needs
/// another one for each, and the reserve for whoever comes while they wait.
pub(super) fn for_connection(this: &ThisWorker) -> bool {
    let (free, all) = connections();
    this.held_connections.get() < all * 5 / 8 && free > (all / 4).max(reserve(all))
}

/// Whether one more stream of HTTP/2 may be held. A stream costs memory and no connection: so many
/// are held as the worker has connections, however few of them the streams come over.
pub(super) fn for_stream(this: &ThisWorker) -> bool {
    this.held_streams.get() < connections().1
}

/// How many held requests may go on now. One at least where none is under way, whatever is free:
/// nobody would make room for it.
pub(super) fn for_release(this: &ThisWorker) -> u32 {
    let (free, all) = connections();
    let spare = free.saturating_sub(reserve(all));
    // Those under way that have not connected to their upstream yet will want a connection.
    let under_way = this.under_way_count.get();
    let room = if spare >= ENOUGH + under_way {
        ENOUGH
    } else {
        spare.saturating_sub(this.under_way.iter().filter(|hold| hold.is_starting()).count())
    };
    u32::try_from(room).unwrap_or(u32::MAX).max(u32::from(under_way == 0))
}
