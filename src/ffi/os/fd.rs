//! File descriptors that are known by their number only.

use std::os::fd::{AsFd, BorrowedFd, RawFd};

/// A descriptor that this process inherited, or that nginx has. If the number is not open, each use of
/// it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fd(pub RawFd);

/// A number that is never open: the kernel allows fewer.
const NEVER_OPEN: RawFd = RawFd::MAX;

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let number = if self.0 < 0 { NEVER_OPEN } else { self.0 };
        // SAFETY: the number is not -1. Only system calls use it, and they check it.
        unsafe { BorrowedFd::borrow_raw(number) }
    }
}

/// Whether this is a stream socket, such as one of TCP.
pub(crate) fn is_stream(fd: Fd) -> bool {
    let kind = rustix::net::sockopt::socket_type(fd);
    kind.is_ok_and(|kind| kind == rustix::net::SocketType::STREAM)
}
