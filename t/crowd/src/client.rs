//! One client: a connection, and the request on it.

use std::io::{self, Read, Write};

use socket2::Socket;

use crate::args::Clients as Options;
use crate::http::{self, AnswerHead};
use crate::report::Fault;

pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) stage: Stage,
    /// How many requests follow the present one.
    pub(crate) to_come: u32,
    /// Unix µs at which the request was written.
    pub(crate) sent: Option<u64>,
    /// Whether `--connecting` still counts this client.
    pub(crate) starting: bool,
    /// Whether its first request is not written yet.
    pub(crate) unsent: bool,
    socket: Socket,
    output: Vec<u8>,
    input: Vec<u8>,
    answer: Option<AnswerHead>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Connected,
    Writing,
    Waiting,
}

impl Client {
    pub(crate) fn new(id: u64, socket: Socket, stage: Stage, to_come: u32) -> Self {
        Self {
            id,
            stage,
            to_come,
            sent: None,
            starting: true,
            unsent: true,
            socket,
            output: Vec::new(),
            input: Vec::new(),
            answer: None,
        }
    }

    /// Goes on over another connection, with the requests that are left.
    pub(crate) fn reconnect(&mut self, socket: Socket, stage: Stage) {
        self.socket = socket;
        self.stage = stage;
        self.input.clear();
    }

    /// Checks whether the connect has succeeded.
    pub(crate) fn finish_connect(&mut self) -> Result<(), Fault> {
        match self.socket.take_error() {
            Ok(None) => {
                self.stage = Stage::Connected;
                Ok(())
            }
            _ => Err(Fault::Connect),
        }
    }

    pub(crate) fn start(&mut self, request: Vec<u8>) {
        self.stage = Stage::Writing;
        self.sent = None;
        self.answer = None;
        self.output = request;
    }

    /// Whether the request is written.
    pub(crate) fn write(&mut self) -> Result<bool, Fault> {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Ok(false),
                    _ => return Err(Fault::Reset),
                },
            }
        }
        self.stage = Stage::Waiting;
        Ok(true)
    }

    /// The answer, if it is whole.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        no_body: bool,
    ) -> Result<Option<AnswerHead>, Fault> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => {
                    return match self.answer.take() {
                        Some(answer) if answer.body.ends_with_connection() => Ok(Some(answer)),
                        _ => Err(Fault::Eof),
                    }
                }
                Ok(length) => {
                    self.input.extend(buffer.iter().take(length));
                    self.digest(no_body).map_err(|_| Fault::Malformed)?;
                    if self.answer.as_ref().is_some_and(|answer| answer.body.is_over()) {
                        return Ok(self.answer.take());
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Ok(None),
                    _ => return Err(Fault::Reset),
                },
            }
        }
    }

    fn digest(&mut self, no_body: bool) -> Result<(), http::Malformed> {
        while self.answer.is_none() {
            let Some((length, head)) = http::answer_head(&self.input, no_body)? else {
                return Ok(());
            };
            self.input.drain(..length);
            if head.status == 101 || head.status >= 200 {
                self.answer = Some(head);
            }
        }
        if let Some(answer) = &mut self.answer {
            let taken = answer.body.take(&self.input)?;
            self.input.drain(..taken);
        }
        Ok(())
    }
}

/// A request as it goes over the wire.
pub(crate) fn request(options: &Options, id: u64, nth: u32) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", options.method, options.path_of(id, nth));
    head += &format!("Host: {}\r\nX-Id: {id}\r\n", options.host);
    if !options.agent.is_empty() {
        head += &format!("User-Agent: {}\r\n", options.agent);
    }
    for (name, value) in &options.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if options.body > 0 {
        head += &format!("Content-Length: {}\r\n", options.body);
    }
    head += "\r\n";
    let mut request = head.into_bytes();
    request.resize(request.len() + options.body, b'.');
    request
}
