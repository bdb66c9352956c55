//! What this worker's connections have room for.

use super::held;
use crate::ffi::nginx::cycle;
use crate::ffi::worker::this::ThisWorker;
use crate::request::connections::{Connections, Kind};
use crate::shared::room::{Bounds, Room};

/// This worker's connections.
fn connections() -> Connections {
    let held = held::now();
    let (all, free) = cycle::connections();
    Connections { all, free, held: held.connections, streams: held.streams }
}

/// What bounds how many are held, when a request of this kind has come to this worker.
pub(crate) fn bounds(kind: Kind, max_held: u32) -> Bounds {
    connections().bounds(kind, max_held)
}

/// How many more requests this worker can hold: none if it is to leave.
pub(crate) fn of(this: &ThisWorker) -> Room {
    if this.is_leaving() {
        Room::NONE
    } else {
        connections().room()
    }
}

/// How many held requests this worker may release before its event loop goes on, while so many that
/// it released are not finished, of which some may still want a connection to the app.
pub(crate) fn for_release(unfinished: usize, starting: impl FnOnce() -> usize) -> u32 {
    connections().for_release(unfinished, starting)
}
