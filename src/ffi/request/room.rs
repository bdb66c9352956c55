//! Connections: held requests leave enough for everybody else, and release never uses them up.

use nginx_sys::ngx_cycle;

use crate::ffi::worker::workers::ThisWorker;
use crate::shared::room::{Bounds, Connections, Lack, Room};

/// At most so many are released before the event loop goes on.
const MAX_BATCH: usize = 256;

/// This worker's connections.
fn connections(this: &ThisWorker) -> Connections {
    // SAFETY: nginx's running cycle, on its one thread.
    let (all, free) = unsafe {
        let cycle = &*ngx_cycle;
        (cycle.connection_n, cycle.free_connection_n + cycle.reusable_connections_n)
    };
    let (held, streams) = (this.held_connections.get(), this.held_streams.get());
    Connections { all, free, held, streams }
}

/// What bounds how many are held where a request has come, on a connection of its own or as a
/// stream of HTTP/2, and where at most so many are held for its app.
pub(crate) fn bounds(this: &ThisWorker, has_connection: bool, max_held: u32) -> Bounds {
    let now = connections(this);
    let (lack, with_it) = if has_connection {
        let lack = (!now.fits_connection()).then_some(Lack::Connections);
        (lack, Connections { held: now.held + 1, ..now })
    } else {
        let lack = (!now.fits_stream()).then_some(Lack::Streams);
        (lack, Connections { streams: now.streams + 1, ..now })
    };
    Bounds { lack, max_held, room: with_it.room() }
}

/// How many more requests this worker can hold: none where it is to leave.
pub(crate) fn of(this: &ThisWorker) -> Room {
    if this.is_leaving() {
        Room::NONE
    } else {
        connections(this).room()
    }
}

/// Says it, where nothing is held here and nothing that was is under way: before, it has been said
/// as each came.
pub(crate) fn say_at_rest(this: &ThisWorker) {
    if this.held.get() == 0 && this.under_way_count.get() == 0 {
        this.zone.visit(|zone| zone.set_room(this.id(), of(this)));
    }
}

/// How many held requests may go on now. One at least where none is under way, whatever is free:
/// nobody would make room for it.
pub(crate) fn for_release(this: &ThisWorker) -> u32 {
    let now = connections(this);
    let spare = now.free.saturating_sub(now.reserve());
    // Those under way that have not connected to their upstream yet will want a connection.
    let under_way = this.under_way_count.get();
    let room = if spare >= MAX_BATCH + under_way {
        MAX_BATCH
    } else {
        spare.saturating_sub(this.under_way.iter().filter(|mark| mark.is_starting()).count())
    };
    u32::try_from(room).unwrap_or(u32::MAX).max(u32::from(under_way == 0))
}
