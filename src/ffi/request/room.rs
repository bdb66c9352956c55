//! Connections: held requests leave enough for everybody else, and release never uses them up.

use nginx_sys::ngx_cycle;

use crate::ffi::worker::workers::ThisWorker;
use crate::request::connections::{Connections, Kind};
use crate::shared::room::{Bounds, Room};

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

/// What bounds how many are held, when a request has come to this worker.
pub(crate) fn bounds(this: &ThisWorker, kind: Kind, max_held: u32) -> Bounds {
    connections(this).bounds(kind, max_held)
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

/// How many held requests this worker may release before its event loop goes on.
pub(crate) fn for_release(this: &ThisWorker) -> u32 {
    let starting = || this.under_way.iter().filter(|mark| mark.is_starting()).count();
    connections(this).for_release(this.under_way_count.get(), starting)
}
