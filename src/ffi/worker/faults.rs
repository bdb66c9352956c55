//! For the tests: a worker dies while it holds the lock, when and where it is told to.
//!
//! A file `fault` in nginx's prefix holds a number of steps. Whichever worker removes it dies that
//! many steps later, counted within visits to the zone. A file `fault.PID` is for one worker.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::Signal;

use crate::ffi::nginx::cycle;
use crate::sync::faults;

/// Called with the lock held, before the tables are touched.
pub(crate) fn arm_if_told() {
    let Some(prefix) = cycle::running().map(|cycle| cycle.prefix) else { return };
    let folder = Path::new(OsStr::from_bytes(prefix.as_bytes()));
    for name in ["fault".into(), format!("fault.{}", std::process::id())] {
        let file = folder.join(name);
        let Ok(steps) = std::fs::read_to_string(&file) else { continue };
        if std::fs::remove_file(&file).is_ok() {
            faults::arm(steps.trim().parse().unwrap_or(0), die);
        }
    }
}

fn die() {
    // The signal comes at once; until then this must not return.
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    std::thread::park();
}
