//! Processes: who this one is, and whether another one lives.

use std::fs::File;
use std::io::Read;

use rustix::io::Errno;
use rustix::process::{test_kill_process, Pid};

use crate::ids::Process;

/// This process.
pub(crate) fn own() -> Process {
    let pid = std::process::id() as i32;
    Process { pid, started: started(pid).unwrap_or(0) }
}

/// Whether a process has ended. Another one may have its pid by now: then that one started at another
/// time.
pub(crate) fn is_gone(process: Process) -> bool {
    let Some(pid) = Pid::from_raw(process.pid) else { return true };
    let none = test_kill_process(pid) == Err(Errno::SRCH);
    // A start that could not be read is 0. Then the two cannot be compared.
    let another = |started| started == 0 || (process.started != 0 && started != process.started);
    none || started(process.pid).is_some_and(another)
}

/// The pid of the parent: the process that forked this one, or, after that has ended, another one.
pub(crate) fn parent() -> i32 {
    rustix::process::getppid().map_or(0, Pid::as_raw_pid)
}

/// When a process started, in clock ticks since the machine did (proc(5)); 0 if it is a zombie. None if
/// that cannot be read.
fn started(pid: i32) -> Option<u64> {
    // All of it comes with one read: it has 52 fields.
    let mut stat = [0; 2048];
    let read = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut stat).ok()?;
    let stat = stat.get(..read)?;
    // The second field is a name in parentheses, which may contain any character.
    let rest = stat.rsplitn(2, |byte| *byte == b')').next()?;
    let mut fields = core::str::from_utf8(rest).ok()?.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => Some(0),
        _ => fields.nth(18)?.parse().ok(),
    }
}
