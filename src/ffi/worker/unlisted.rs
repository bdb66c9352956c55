//! The roll of the workers that have no entry in the zone, as locks that the kernel keeps.
//!
//! The roll is a file without a name that the master makes before it forks. A worker without an entry
//! has a shared lock on it. The kernel ends the lock with the process: no count can be wrong when a
//! worker is killed, and a worker that is stopped is not forgotten.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{memfd_create, MemfdFlags};

use crate::ffi::os::fd::Fd;
use crate::ffi::os::file_lock::{self, Mode};

/// The file while it is open, in the master and in each process that it forks.
#[derive(Debug)]
pub(crate) struct Roll(OwnedFd);

impl Roll {
    /// Makes it.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(memfd_create("intermission", MemfdFlags::CLOEXEC)?))
    }

    /// Its number, for the zone.
    pub(crate) fn number(&self) -> Fd {
        Fd(self.0.as_raw_fd())
    }
}

/// Puts this process on the roll: it has no entry. Fails only if the kernel has no memory left.
pub(crate) fn enter(roll: Fd) -> io::Result<()> {
    file_lock::try_lock(roll, Mode::Shared)
}

/// Takes this process off the roll: it has an entry, or needs none.
pub(crate) fn leave(roll: Fd) {
    file_lock::unlock(roll);
}

/// Whether any other process is on the roll; also if that cannot be found out.
pub(crate) fn any_other(roll: Fd) -> bool {
    file_lock::holder(roll).map_or(true, |holder| holder.is_some())
}
