//! A lock on a whole file, which ends with its process, however that ends.
//!
//! It is the process's: a lock that comes with the open file would be shared by all workers, who
//! inherit that.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{fcntl_lock, FlockOperation};
use rustix::process::{fcntl_getlk, Flock, FlockType, Pid};

/// How a process has a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As others may at the same time.
    Shared,
    /// Alone.
    Exclusive,
}

/// Takes the lock; fails with EACCES or EAGAIN if another process is in the way.
pub(crate) fn try_lock(file: impl AsFd, mode: Mode) -> io::Result<()> {
    let operation = match mode {
        Mode::Shared => FlockOperation::NonBlockingLockShared,
        Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    Ok(fcntl_lock(file, operation)?)
}

/// Gives the lock up, if this process has it.
pub(crate) fn unlock(file: impl AsFd) {
    // It cannot fail for a file that is open.
    let _ = fcntl_lock(file, FlockOperation::NonBlockingUnlock);
}

/// Another process that has the file locked, in whatever mode: its number. None if there is none.
pub(crate) fn holder(file: impl AsFd) -> io::Result<Option<i32>> {
    let found = fcntl_getlk(file, &Flock::from(FlockType::WriteLock))?;
    Ok(found.map(|lock| lock.pid.map_or(0, Pid::as_raw_pid)))
}
