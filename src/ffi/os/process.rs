//! Processes: whether one lives.

use rustix::io::Errno;
use rustix::process::{test_kill_process, Pid};

use crate::ids::Process;

/// The one that asks.
pub(crate) fn own() -> Process {
    let pid = std::process::id() as i32;
    Process { pid, started: started(pid).unwrap_or(0) }
}

/// Whether a process has ended; another one may have its number by now.
pub(crate) fn is_gone(process: Process) -> bool {
    let Some(pid) = Pid::from_raw(process.pid) else { return true };
    let none = test_kill_process(pid) == Err(Errno::SRCH);
    // Where it could not be read once, nothing can be compared with it.
    let another = |started| started == 0 || (process.started != 0 && started != process.started);
    none || started(process.pid).is_some_and(another)
}

/// The process that has forked this one, or the one that has taken its place.
pub(crate) fn parent() -> i32 {
    rustix::process::getppid().map_or(0, Pid::as_raw_pid)
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
