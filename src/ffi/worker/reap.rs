//! Processes: whether one lives, and what becomes of those whom a dead one held.

use crate::ffi::worker::zone::SharedZone;
use crate::ids::{Process, WorkerId};
use crate::zone::Zone;

/// Takes the requests of workers that are gone out of every line.
pub(crate) fn reap_dead_workers(zone: &SharedZone) {
    let mut dead = Vec::new();
    dead.reserve_exact(zone.max_workers());
    zone.visit(|zone| dead.extend(all(zone)));
    dead.retain(|(_, process)| is_gone(*process));
    for (id, process) in dead {
        zone.visit(|zone| zone.reap(id, process));
    }
}

fn all<'a>(zone: &'a Zone<'_>) -> impl Iterator<Item = (WorkerId, Process)> + 'a {
    let workers = zone.workers.iter().enumerate();
    workers.filter_map(|(index, worker)| Some((WorkerId::at(index), worker.process()?)))
}

/// The one that asks.
pub(crate) fn this() -> Process {
    // SAFETY: no preconditions.
    let pid = unsafe { libc::getpid() };
    Process { pid, started: started(pid).unwrap_or(0) }
}

/// Whether a process has ended; another one may have its number by now.
pub(crate) fn is_gone(process: Process) -> bool {
    // SAFETY: signal 0 is sent to nobody.
    let none = unsafe { libc::kill(process.pid, 0) } != 0
        && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
    // Where it could not be read once, nothing can be compared with it.
    let another = |started| started == 0 || (process.started != 0 && started != process.started);
    none || started(process.pid).is_some_and(another)
}

/// When a process started, from proc(5); 0 for one that has ended and only waits to be reaped.
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field, a name in parentheses, may hold anything.
    let rest = stat.rsplitn(2, |byte| *byte == b')').next()?;
    let mut fields = core::str::from_utf8(rest).ok()?.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => Some(0),
        _ => fields.nth(18)?.parse().ok(),
    }
}
