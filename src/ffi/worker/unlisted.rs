//! The workers that have no entry in the zone, as the kernel knows them.
//!
//! Each has a lock on a file without a name, which the master makes before it forks. The lock ends
//! with its process: so nobody counts them, and one that stands still is not forgotten.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::ffi::os::file_lock::lock;

/// The file while it is open: the master's, and so every worker's that it forks.
#[derive(Debug)]
pub(crate) struct Roll(OwnedFd);

impl Roll {
    /// Makes it.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: a literal for a name; a descriptor that is not negative is ours. Not by libc's
        // function, which old ones lack.
        unsafe {
            let name = c"intermission".as_ptr();
            match libc::syscall(libc::SYS_memfd_create, name, libc::MFD_CLOEXEC) {
                fd if fd >= 0 => Ok(Self(OwnedFd::from_raw_fd(fd as RawFd))),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    /// Its number, for the zone.
    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// This process has no entry. It can only fail if the kernel has no memory left.
pub(crate) fn enter(roll: RawFd) -> io::Result<()> {
    lock(roll, libc::F_SETLK, libc::F_RDLCK).map(drop)
}

/// This process has one, or needs none.
pub(crate) fn leave(roll: RawFd) {
    // It cannot fail: it gives up what this process has, if anything.
    let _ = lock(roll, libc::F_SETLK, libc::F_UNLCK);
}

/// Whether any other process has none.
pub(crate) fn anybody_else(roll: RawFd) -> bool {
    let found = lock(roll, libc::F_GETLK, libc::F_WRLCK);
    found.map_or(true, |found| libc::c_int::from(found.l_type) != libc::F_UNLCK)
}
