//! The workers that have no entry in the zone, as the kernel knows them.
//!
//! Each has a lock on a file without a name, which the master makes before it forks. The lock ends
//! with its process: so nobody counts them, and one that stands still is not forgotten.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{memfd_create, MemfdFlags};

use crate::ffi::os::fd::Fd;
use crate::ffi::os::file_lock::{self, Mode};

/// The file while it is open: the master's, and that of every worker that it forks.
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

/// This process has no entry. It can only fail if the kernel has no memory left.
pub(crate) fn enter(roll: Fd) -> io::Result<()> {
    file_lock::try_lock(roll, Mode::Shared)
}

/// This process has one, or needs none.
pub(crate) fn leave(roll: Fd) {
    file_lock::unlock(roll);
}

/// Whether any other process has none.
pub(crate) fn any_other(roll: Fd) -> bool {
    file_lock::holder(roll).map_or(true, |holder| holder.is_some())
}
