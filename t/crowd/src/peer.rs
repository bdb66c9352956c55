//! A connection to the backend, and the request on it.

use std::io::{self, Read, Write};
use std::time::Duration;

use mio::Interest;
use socket2::Socket;

use crate::http::RequestHead;

pub(crate) struct Peer {
    pub(crate) socket: Socket,
    /// The readiness for which the socket is watched.
    pub(crate) interest: Interest,
    /// The connection's number, in the order in which they were accepted, from 1.
    pub(crate) number: u64,
    /// The backend's turn in which it was accepted; None after the first request has come.
    pub(crate) accepted: Option<u64>,
    pub(crate) input: Vec<u8>,
    pub(crate) output: Vec<u8>,
    pub(crate) stage: Stage,
    /// Whether to close when the output is written.
    last: bool,
}

pub(crate) enum Stage {
    Head,
    Body(Box<Request>),
    Answering(Box<Request>),
    /// Upgraded: every byte is sent back.
    Echo,
}

pub(crate) struct Request {
    pub(crate) seq: u64,
    /// Unix µs of the head's arrival.
    pub(crate) time: u64,
    /// The backend's turn in which the head was read.
    pub(crate) turn: u64,
    /// The turn in which its connection was accepted; None if it is not the first request on it.
    pub(crate) accepted: Option<u64>,
    /// Its connection's number.
    pub(crate) connection: u64,
    pub(crate) head: RequestHead,
}

impl Peer {
    pub(crate) fn new(socket: Socket, number: u64, turn: u64) -> Self {
        Self {
            socket,
            number,
            interest: Interest::READABLE,
            accepted: Some(turn),
            input: Vec::new(),
            output: Vec::new(),
            stage: Stage::Head,
            last: false,
        }
    }

    /// Whether it has had an answer, and nothing has come since.
    pub(crate) fn is_idle(&self) -> bool {
        let is_over = self.input.is_empty() && self.output.is_empty();
        is_over && self.accepted.is_none() && matches!(self.stage, Stage::Head)
    }

    /// Whether the peer is still there.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return false,
                Ok(length) => self.input.extend(buffer.iter().take(length)),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    other => return other == io::ErrorKind::WouldBlock,
                },
            }
        }
    }

    /// Whether the connection goes on.
    pub(crate) fn write(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    other => return other == io::ErrorKind::WouldBlock,
                },
            }
        }
        !self.last
    }

    /// Prepares the answer to the request with this number.
    pub(crate) fn answer(&mut self, seq: u64) {
        let request = match std::mem::replace(&mut self.stage, Stage::Head) {
            Stage::Answering(request) if request.seq == seq => request,
            // Another connection has the slot now.
            other => {
                self.stage = other;
                return;
            }
        };
        if request.head.upgrade {
            self.stage = Stage::Echo;
        }
        self.last = !request.head.keep_alive && !request.head.upgrade;
        request.answer(&mut self.output);
    }
}

impl Request {
    /// The delay that the request's query asks for.
    pub(crate) fn delay(&self) -> Option<Duration> {
        number(&self.head.target, "delay").map(Duration::from_millis)
    }

    /// Adds this request's line to the log.
    pub(crate) fn note(&self, lines: &mut Vec<u8>, ended: &str) {
        let Self { seq, time, turn, accepted, connection, head } = self;
        let (position, id) = (head.position.as_deref(), head.id.as_deref());
        let (position, id) = (position.unwrap_or("-"), id.unwrap_or("-"));
        let (target, length) = (&head.target, head.body.length);
        let accepted = accepted.map_or("-".to_owned(), |turn| turn.to_string());
        let line = format!(
            "{seq}\t{time}\t{target}\t{position}\t{id}\t{length}\t{ended}\t{turn}\t{accepted}\t\
             {connection}\n"
        );
        lines.extend_from_slice(line.as_bytes());
    }

    pub(crate) fn answer(&self, output: &mut Vec<u8>) {
        let Self { seq, head, .. } = self;
        if head.upgrade {
            let lines = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo";
            output.extend_from_slice(format!("{lines}\r\nX-Seq: {seq}\r\n\r\n").as_bytes());
            return;
        }
        let mut body = format!("seq={seq}\n").into_bytes();
        if let Some(size) = number(&head.target, "size") {
            body.resize(size as usize, b'.');
        }
        let status = number(&head.target, "status").unwrap_or(200);
        let length = body.len();
        let connection = if head.keep_alive { "keep-alive" } else { "close" };
        let head_lines = format!(
            "HTTP/1.1 {status} OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Connection: {connection}\r\nX-Seq: {seq}\r\n\r\n"
        );
        output.extend_from_slice(head_lines.as_bytes());
        if !head.no_answer_body {
            output.append(&mut body);
        }
    }
}

/// A number in a target's query.
fn number(target: &str, name: &str) -> Option<u64> {
    let (_, query) = target.split_once('?')?;
    let pair = |pair: &str| pair.split_once('=').filter(|(key, _)| *key == name)?.1.parse().ok();
    query.split('&').find_map(pair)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_query_may_hold_a_number() {
        assert_eq!(number("/a?x=1&delay=20", "delay"), Some(20));
        assert_eq!(number("/a?delay=x", "delay"), None);
        assert_eq!(number("/a?mydelay=3", "delay"), None);
        assert_eq!(number("/delay=3", "delay"), None);
    }
}
