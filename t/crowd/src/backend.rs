//! The backend: answers every request, and logs in which order requests came.
//!
//! The order is exact except in one case: the backend reads from a new connection in the turn after it
//! has accepted it. So it may log a request there after a later request on a connection that it already
//! had. So each line says in which turn the request was read; for the first request of a connection, in
//! which turn the connection was accepted; and the connection's number, in the order in which they
//! were accepted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Registry, Token, Waker};
use slab::Slab;
use socket2::Socket;

use crate::args::Backend as Options;
use crate::clock::Clock;
use crate::http;
use crate::net;
use crate::peer::{Peer, Request, Stage};
use crate::stdin;

const LISTENER: Token = Token(usize::MAX);
const STDIN: Token = Token(usize::MAX - 1);
/// How many events a turn takes. With fewer the listener could come between connections that are ready.
const EVENTS: usize = 16_384;
/// Linux's number for "too many open files".
const EMFILE: i32 = 24;

pub(crate) fn run(options: &Options) -> io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let listener = options.listen.listen(options.backlog)?;
    let mut poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    net::watch(&registry, &listener, LISTENER, Interest::READABLE)?;
    // Kept here, because the last wake is lost when the waker is dropped.
    let waker = Arc::new(Waker::new(&registry, STDIN)?);
    let wake = Arc::clone(&waker);
    stdin::listen(move |word| {
        if word == stdin::Word::Stop {
            let _ = wake.wake();
        }
    });
    let mut backend = Backend {
        registry,
        listener: Some(listener),
        delay: options.delay,
        clock: Clock::new(),
        peers: Slab::new(),
        seq: 0,
        full: false,
        turn: 0,
        connections: 0,
        due: Vec::new(),
        delayed: BinaryHeap::new(),
        log: File::create(&options.log)?,
        lines: Vec::new(),
        buffer: vec![0; 65_536],
    };
    println!("ready");
    io::stdout().flush()?;

    let mut events = Events::with_capacity(EVENTS);
    loop {
        match poll.poll(&mut events, backend.until_next_answer()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        backend.turn += 1;
        for event in &events {
            match event.token() {
                LISTENER => backend.accept()?,
                STDIN => backend.stop()?,
                Token(slot) => backend.hear(slot)?,
            }
        }
        backend.answer()?;
        if backend.full {
            backend.accept()?;
        }
        if backend.is_done() {
            return Ok(());
        }
    }
}

struct Backend {
    registry: Registry,
    /// None once it was stopped.
    listener: Option<Socket>,
    delay: Duration,
    clock: Clock,
    peers: Slab<Peer>,
    seq: u64,
    /// Whether connections wait in the listen queue until others are closed.
    full: bool,
    /// The number of the turn: how often epoll has reported events.
    turn: u64,
    /// How many connections were accepted.
    connections: u64,
    /// Answers to give in this turn: the peer, and its request's number.
    due: Vec<(usize, u64)>,
    /// Answers to give at a time in unix µs.
    delayed: BinaryHeap<Reverse<(u64, usize, u64)>>,
    log: File,
    /// Lines that are not written to the log yet.
    lines: Vec<u8>,
    buffer: Vec<u8>,
}

impl Backend {
    /// Accepts what has come, and no more after that.
    fn stop(&mut self) -> io::Result<()> {
        self.accept()?;
        self.listener = None;
        Ok(())
    }

    /// Whether it was stopped, and has answered all. Closes the connections that have nothing to be answered.
    fn is_done(&mut self) -> bool {
        if self.listener.is_some() {
            return false;
        }
        self.peers.retain(|_, peer| !peer.is_idle());
        self.peers.is_empty()
    }

    fn accept(&mut self) -> io::Result<()> {
        self.full = false;
        while let Some(listener) = &self.listener {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.raw_os_error() == Some(EMFILE) => {
                    self.full = true;
                    return Ok(());
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                    _ => return Err(error),
                },
            };
            socket.set_nonblocking(true)?;
            let entry = self.peers.vacant_entry();
            // Not read here: epoll reports it in the order of arrival, together with older connections.
            net::watch(&self.registry, &socket, Token(entry.key()), Interest::READABLE)?;
            self.connections += 1;
            entry.insert(Peer::new(socket, self.connections, self.turn));
        }
        Ok(())
    }

    fn hear(&mut self, slot: usize) -> io::Result<()> {
        let Some(peer) = self.peers.get_mut(slot) else {
            return Ok(());
        };
        let open = peer.read(&mut self.buffer) && self.write(slot)?;
        self.digest(slot)?;
        if !open {
            self.forget(slot);
        }
        Ok(())
    }

    /// Writes a peer's output. Returns whether its connection goes on. Room for more is watched only if
    /// output is left: otherwise epoll would report the room instead of a later request.
    fn write(&mut self, slot: usize) -> io::Result<bool> {
        let Some(peer) = self.peers.get_mut(slot) else {
            return Ok(true);
        };
        let open = peer.write();
        let interest = if peer.output.is_empty() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        if open && interest != peer.interest {
            peer.interest = interest;
            net::watch_instead(&self.registry, &peer.socket, Token(slot), interest)?;
        }
        Ok(open)
    }

    fn forget(&mut self, slot: usize) {
        if let Some(Peer { stage: Stage::Body(request), .. }) = self.peers.try_remove(slot) {
            request.note(&mut self.lines, "cut");
        }
    }

    /// Takes the next request from a peer's input, as far as it has come.
    fn digest(&mut self, slot: usize) -> io::Result<()> {
        let Some(peer) = self.peers.get_mut(slot) else {
            return Ok(());
        };
        if let Stage::Head = peer.stage {
            match http::request_head(&peer.input) {
                Ok(None) => return Ok(()),
                Ok(Some((length, head))) => {
                    peer.input.drain(..length);
                    self.seq += 1;
                    let (turn, accepted) = (self.turn, peer.accepted.take());
                    let request = Request {
                        seq: self.seq,
                        time: self.clock.now(),
                        turn,
                        accepted,
                        connection: peer.number,
                        head,
                    };
                    peer.stage = Stage::Body(Box::new(request));
                }
                Err(http::Malformed) => {
                    self.forget(slot);
                    return Ok(());
                }
            }
        }
        match std::mem::replace(&mut peer.stage, Stage::Echo) {
            Stage::Body(mut request) => {
                let Ok(taken) = request.head.body.take(&peer.input) else {
                    request.note(&mut self.lines, "cut");
                    self.forget(slot);
                    return Ok(());
                };
                peer.input.drain(..taken);
                if !request.head.body.is_over() {
                    peer.stage = Stage::Body(request);
                    return Ok(());
                }
                request.note(&mut self.lines, "whole");
                let delay = request.delay().unwrap_or(self.delay);
                if delay.is_zero() {
                    self.due.push((slot, request.seq));
                } else {
                    let at = self.clock.now() + delay.as_micros() as u64;
                    self.delayed.push(Reverse((at, slot, request.seq)));
                }
                peer.stage = Stage::Answering(request);
            }
            Stage::Echo => {
                peer.output.append(&mut peer.input);
                if !self.write(slot)? {
                    self.forget(slot);
                }
            }
            other => peer.stage = other,
        }
        Ok(())
    }

    fn until_next_answer(&self) -> Option<Duration> {
        let Reverse((at, ..)) = self.delayed.peek()?;
        Some(Duration::from_micros(at.saturating_sub(self.clock.now())))
    }

    /// Writes the log, then the answers that are due.
    fn answer(&mut self) -> io::Result<()> {
        while let Some(Reverse((at, slot, seq))) = self.delayed.peek().copied() {
            if at > self.clock.now() {
                break;
            }
            self.delayed.pop();
            self.due.push((slot, seq));
        }
        loop {
            self.log.write_all(&self.lines)?;
            self.lines.clear();
            if self.due.is_empty() {
                return Ok(());
            }
            for (slot, seq) in std::mem::take(&mut self.due) {
                if let Some(peer) = self.peers.get_mut(slot) {
                    peer.answer(seq);
                }
                if self.write(slot)? {
                    self.digest(slot)?;
                } else {
                    self.forget(slot);
                }
            }
        }
    }
}
