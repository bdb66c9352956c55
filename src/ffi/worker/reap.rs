//! What becomes of the requests that a dead worker held.

use super::zone::SharedZone;
use crate::ffi::os::process;
use crate::ids::{Process, WorkerId};
use crate::zone::Zone;

/// Takes the requests of workers that are gone out of every line.
pub(crate) fn reap_dead_workers(zone: &SharedZone) {
    let mut dead = Vec::new();
    dead.reserve_exact(zone.max_workers());
    zone.visit(|zone| dead.extend(all(zone)));
    dead.retain(|(_, process)| process::is_gone(*process));
    for (id, process) in dead {
        zone.visit(|zone| zone.reap(id, process));
    }
}

fn all<'a>(zone: &'a Zone<'_>) -> impl Iterator<Item = (WorkerId, Process)> + 'a {
    let workers = zone.workers.iter().enumerate();
    workers.filter_map(|(index, worker)| Some((WorkerId::at(index), worker.process()?)))
}
