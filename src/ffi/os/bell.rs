//! Bells: eventfds that are watched edge-triggered and never read, so that every ring wakes all who
//! watch one.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{eventfd, EventfdFlags};

use super::fd::Fd;

/// Makes one.
pub(crate) fn new() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Wakes all who watch it; any thread may.
pub(crate) fn ring(bell: Fd) {
    // It fails only if the counter is full, and what filled it has woken everybody.
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}
