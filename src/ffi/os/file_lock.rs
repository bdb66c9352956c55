//! A lock on a whole file, which ends with its process, however that ends.
//!
//! It belongs to the process (fcntl), not to the open file (flock): workers inherit the open file from
//! the master, and would share its lock.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{fcntl_lock, FlockOperation};
use rustix::process::{fcntl_getlk, Flock, FlockType, Pid};

/// How a process locks a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Other processes may have a shared lock at the same time.
    Shared,
    /// No other process may have a lock.
    Exclusive,
}

/// Takes the lock. Fails with EACCES or EAGAIN if another process's lock is in the way.
pub(crate) fn try_lock(file: impl AsFd, mode: Mode) -> io::Result<()> {
    let operation = match mode {
        Mode::Shared => FlockOperation::NonBlockingLockShared,
        Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    Ok(fcntl_lock(file, operation)?)
}

/// Gives the lock up, if this process has it.
pub(crate) fn unlock(file: impl AsFd) {
    // For an open file it cannot fail.
    let _ = fcntl_lock(file, FlockOperation::NonBlockingUnlock);
}

/// The pid of another process that has the file locked, in either mode; 0 if that process cannot be
/// seen from here. None if there is none.
pub(crate) fn holder(file: impl AsFd) -> io::Result<Option<i32>> {
    let found = fcntl_getlk(file, &Flock::from(FlockType::WriteLock))?;
    Ok(found.map(|lock| lock.pid.map_or(0, Pid::as_raw_pid)))
}
