//! How many requests this worker's connections have room for, by the core's rules.

use super::held;
use crate::ffi::nginx::cycle;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::request::connections::{Connections, Kind};
use crate::shared::room::{Bounds, Room};

/// This worker's connections.
fn connections() -> Connections {
    let held = held::now();
    let (all, free) = cycle::connections();
    Connections { all, free, held: held.connections, streams: held.streams }
}

/// What limits the hold of a request of this kind, which has just come to this worker.
pub(crate) fn bounds(kind: Kind, max_held: u32) -> Bounds {
    connections().bounds(kind, max_held)
}

/// How many more requests this worker can hold. None if it is to leave.
pub(crate) fn of(this: &ThisWorker) -> Room {
    if this.is_leaving() {
        Room::NONE
    } else {
        connections().room()
    }
}

/// How many held requests this worker may release before its event loop goes on. `unfinished` were
/// released before; `starting` counts those of them that may still want a connection to the app.
pub(crate) fn for_release(unfinished: usize, starting: impl FnOnce() -> usize) -> u32 {
    connections().for_release(unfinished, starting)
}
