//! Bells: eventfds. They are watched edge-triggered and never read, so each ring wakes all processes
//! that watch the bell.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{eventfd, EventfdFlags};

use super::fd::Fd;

/// Makes a bell.
pub(crate) fn new() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Wakes all processes that watch the bell. Any thread may call it.
pub(crate) fn ring(bell: Fd) {
    // It fails only if the counter is full: the ring that filled it has woken them.
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}
