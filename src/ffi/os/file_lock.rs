//! A lock on a whole file, which ends with its process, however that ends.
//!
//! It is the process's: a lock that comes with the open file would be shared by all workers, who
//! inherit that.

use std::io;
use std::os::fd::RawFd;

/// Takes such a lock, gives it up or asks who has one that is in its way, as fcntl(2) says.
pub(crate) fn lock(fd: RawFd, what: libc::c_int, kind: libc::c_int) -> io::Result<libc::flock> {
    // SAFETY: plain C data, for which all zero is a value: here it means the whole file.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: a live struct; what is no open file is an error.
    match unsafe { libc::fcntl(fd, what, &raw mut lock) } {
        0 => Ok(lock),
        _ => Err(io::Error::last_os_error()),
    }
}
