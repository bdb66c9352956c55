//! Descriptors that a process knows by their number only.

use std::os::fd::{AsFd, BorrowedFd, RawFd};

/// A descriptor that the process has from the one that forked it, or that nginx has. One that is not
/// open is an error to whatever uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fd(pub RawFd);

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: a number other than -1; nothing of memory depends on what it is open for.
        unsafe { BorrowedFd::borrow_raw(self.0.max(0)) }
    }
}

/// Whether this is a socket for a stream of bytes.
pub(crate) fn is_stream(fd: Fd) -> bool {
    let kind = rustix::net::sockopt::socket_type(fd);
    kind.is_ok_and(|kind| kind == rustix::net::SocketType::STREAM)
}
