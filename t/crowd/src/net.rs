//! Addresses, and non-blocking stream sockets of both families.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::str::FromStr;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};

/// As long as the kernel allows: all held requests of a pause come at once.
pub(crate) const LONGEST_BACKLOG: i32 = 65_535;
/// Linux's number. The name in std is not stable yet.
const EINPROGRESS: i32 = 115;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: without a path".to_owned()),
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| format!("{text:?} is neither address:port nor unix:/path")),
        }
    }
}

/// The result of a connect that was started.
pub(crate) enum Connect {
    Done(Socket),
    UnderWay(Socket),
    /// The listen queue is full: try again.
    Busy,
}

impl Address {
    fn resolve(&self) -> io::Result<(Domain, SockAddr)> {
        match self {
            Self::Tcp(address) => Ok((Domain::for_address(*address), SockAddr::from(*address))),
            Self::Unix(path) => Ok((Domain::UNIX, SockAddr::unix(path)?)),
        }
    }

    /// `backlog`: the length of the listen queue.
    pub(crate) fn listen(&self, backlog: i32) -> io::Result<Socket> {
        let (domain, address) = self.resolve()?;
        let socket = Socket::new(domain, Type::STREAM, None)?;
        match self {
            Self::Tcp(_) => socket.set_reuse_address(true)?,
            Self::Unix(path) => match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
        socket.bind(&address)?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    pub(crate) fn connect(&self) -> io::Result<Connect> {
        let (domain, address) = self.resolve()?;
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address) {
            Ok(()) => Ok(Connect::Done(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Connect::Busy),
            Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {
                Ok(Connect::UnderWay(socket))
            }
            Err(error) => Err(error),
        }
    }
}

/// Watches a socket, edge-triggered, until it is closed.
pub(crate) fn watch(
    registry: &Registry,
    socket: &Socket,
    token: Token,
    interest: Interest,
) -> io::Result<()> {
    registry.register(&mut SourceFd(&socket.as_raw_fd()), token, interest)
}

/// As [`watch`], for a socket that is watched already.
pub(crate) fn watch_instead(
    registry: &Registry,
    socket: &Socket,
    token: Token,
    interest: Interest,
) -> io::Result<()> {
    registry.reregister(&mut SourceFd(&socket.as_raw_fd()), token, interest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_port_or_a_path() {
        assert_eq!("unix:/tmp/s".parse(), Ok(Address::Unix(PathBuf::from("/tmp/s"))));
        assert!(matches!("127.0.0.1:80".parse(), Ok(Address::Tcp(_))));
        for wrong in ["", "unix:", "localhost", "127.0.0.1", "80"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
