//! Connections: held requests leave enough for everybody else, and release never uses them up.

use nginx_sys::ngx_cycle;

use super::workers::ThisWorker;

/// A run is no longer than this.
const ENOUGH: usize = 256;

/// This worker's connections: how many are free, of how many.
fn connections() -> (usize, usize) {
    // SAFETY: nginx's running cycle, on its one thread.
    unsafe { ((*ngx_cycle).free_connection_n, (*ngx_cycle).connection_n) }
}

/// So many stay free of requests that go on after a hold: below an eighth nginx may stop accepting,
/// below a sixteenth it closes idle clients.
fn reserve(all: usize) -> usize {
    (all / 8).max(16)
}

/// Whether one more request may be held on a connection of its own. Those held take three eighths
/// of the connections at the most: each needs another one to go on, and whoever comes while they
/// wait needs one to be answered.
pub(super) fn to_hold(this: &ThisWorker) -> bool {
    let (free, all) = connections();
    this.held_connections.get() < all / 8 * 3 && free > 2 * reserve(all)
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
