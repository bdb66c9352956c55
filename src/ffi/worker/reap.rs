//! What becomes of what a dead worker had in the zone.

use super::zone::SharedZone;
use crate::ffi::os::process;
use crate::ids::{Process, WorkerId};
use crate::zone::Zone;

/// Gives back what workers that died had in the zone: their requests leave their lines, and their
/// batons, waits, counts and entries are free. Whether a process lives is asked without the lock.
pub(crate) fn reap_dead_workers(zone: &SharedZone) {
    let mut dead = Vec::new();
    dead.reserve_exact(zone.max_workers());
    zone.visit(|zone| dead.extend(all(zone)));
    dead.retain(|(_, process)| process::is_gone(*process));
    for (id, process) in dead {
        zone.visit(|zone| zone.reap(id, process));
    }
}

/// The workers that have an entry.
fn all<'a>(zone: &'a Zone<'_>) -> impl Iterator<Item = (WorkerId, Process)> + 'a {
    let workers = zone.workers.iter().enumerate();
    workers.filter_map(|(index, worker)| Some((WorkerId::at(index), worker.process()?)))
}
