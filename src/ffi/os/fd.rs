//! Descriptors that a process knows by their number only.

use std::os::fd::{AsFd, BorrowedFd, RawFd};

/// A descriptor that the process has from the one that forked it, or that nginx has. A number that is
/// not open is an error to whatever uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fd(pub RawFd);

/// The kernel gives no process so many.
const NEVER_OPEN: RawFd = RawFd::MAX;

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let number = if self.0 < 0 { NEVER_OPEN } else { self.0 };
        // SAFETY: the number is not -1. Only system calls use it, and they check it.
        unsafe { BorrowedFd::borrow_raw(number) }
    }
}

/// Whether this is a socket for a stream of bytes.
pub(crate) fn is_stream(fd: Fd) -> bool {
    let kind = rustix::net::sockopt::socket_type(fd);
    kind.is_ok_and(|kind| kind == rustix::net::SocketType::STREAM)
}
