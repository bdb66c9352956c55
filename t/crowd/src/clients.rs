//! Many clients at once, on one thread.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{channel, Receiver};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use serde_json::json;
use socket2::Socket;

use crate::args::{Clients as Options, Leave};
use crate::client::{request, Client, Stage};
use crate::clock::Clock;
use crate::http::AnswerHead;
use crate::net::{self, Connect};
use crate::report::{say, Fault, Outcome, Record, Report};
use crate::stdin::{self, Word};

const STDIN: Token = Token(usize::MAX);
const PROGRESS_US: u64 = 200_000;
/// The time until a full listen queue is tried again.
const BUSY_US: u64 = 1_000;

/// Returns whether each client was answered, or left on purpose.
pub(crate) fn run(options: &Options) -> io::Result<bool> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let mut crowd = Crowd::new(options)?;
    let mut events = Events::with_capacity(1024);
    while !crowd.is_over() {
        crowd.launch()?;
        match crowd.poll.poll(&mut events, Some(crowd.until_next_chore())) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() != STDIN {
                crowd.attend(event.token().0);
            }
        }
        crowd.chores()?;
    }
    if let Some(path) = &options.log {
        crowd.report.write_log(path)?;
    }
    say(&crowd.report.done())?;
    Ok(crowd.report.is_good(&options.expect))
}

struct Crowd<'a> {
    options: &'a Options,
    clock: Clock,
    poll: Poll,
    words: Receiver<Word>,
    /// Kept here, because the last wake is lost when the waker is dropped.
    _waker: Arc<Waker>,
    /// The clients that were launched; None if a client is done.
    clients: Vec<Option<Client>>,
    report: Report,
    buffer: Vec<u8>,
    /// Times here are unix µs.
    began: u64,
    deadline: u64,
    next_progress: u64,
    next_connect: u64,
    /// How many clients `--connecting` counts.
    starting: usize,
    open: usize,
    /// Clients that have not written their first request, launched or not.
    unsent: u64,
    /// Whether requests may be sent.
    go: bool,
    /// When clients leave, the earliest first.
    leaving: VecDeque<(u64, usize)>,
    /// How many leavers have not left yet.
    leavers: usize,
    said_connected: bool,
    said_sent: bool,
    said_left: bool,
}

impl<'a> Crowd<'a> {
    fn new(options: &'a Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (send, words) = channel();
        let waker = Arc::new(Waker::new(poll.registry(), STDIN)?);
        if options.listens() {
            let waker = Arc::clone(&waker);
            stdin::listen(move |word| {
                let _ = send.send(word);
                let _ = waker.wake();
            });
        }
        let clock = Clock::new();
        let began = clock.now();
        let mut ids = options.first..options.first + options.count;
        let leavers = ids.by_ref().filter(|id| options.leaves(*id)).count();
        Ok(Self {
            options,
            clock,
            poll,
            words,
            _waker: waker,
            clients: Vec::new(),
            report: Report::default(),
            buffer: vec![0; 65_536],
            began,
            deadline: began + options.timeout.as_micros() as u64,
            next_progress: began + PROGRESS_US,
            next_connect: began,
            starting: 0,
            open: 0,
            unsent: options.count,
            go: !options.start_on_stdin,
            leaving: VecDeque::new(),
            leavers,
            said_connected: !options.start_on_stdin,
            said_sent: false,
            said_left: leavers == 0,
        })
    }

    fn to_launch(&self) -> u64 {
        self.options.count - self.clients.len() as u64
    }

    fn is_over(&self) -> bool {
        self.to_launch() == 0 && self.open == 0
    }

    /// Connects as many clients as `--connecting` allows.
    fn launch(&mut self) -> io::Result<()> {
        while self.to_launch() > 0
            && self.starting < self.options.connecting
            && self.clock.now() >= self.next_connect
        {
            let slot = self.clients.len();
            let id = self.options.first + slot as u64;
            let (socket, stage) = match self.connect(slot) {
                Ok(Some(connection)) => connection,
                Ok(None) => {
                    self.next_connect = self.clock.now() + BUSY_US;
                    break;
                }
                Err(_) => {
                    self.clients.push(None);
                    self.unsent -= 1;
                    self.note((id, 0), None, Outcome::Failed(Fault::Connect), None);
                    continue;
                }
            };
            let to_come = self.options.keepalive - 1;
            self.clients.push(Some(Client::new(id, socket, stage, to_come)));
            self.starting += 1;
            self.open += 1;
            if let Some(rate) = self.options.rate {
                self.next_connect = self.began + (self.clients.len() as f64 / rate * 1e6) as u64;
            }
            if stage == Stage::Connected {
                self.attend(slot);
            }
        }
        Ok(())
    }

    /// Returns None if the listen queue is full.
    fn connect(&self, slot: usize) -> io::Result<Option<(Socket, Stage)>> {
        let (socket, stage) = match self.options.to.connect()? {
            Connect::Busy => return Ok(None),
            Connect::Done(socket) => (socket, Stage::Connected),
            Connect::UnderWay(socket) => (socket, Stage::Connecting),
        };
        let both = Interest::READABLE | Interest::WRITABLE;
        net::watch(self.poll.registry(), &socket, Token(slot), both)?;
        Ok(Some((socket, stage)))
    }

    /// Does all that a client can do now without waiting.
    fn attend(&mut self, slot: usize) {
        let Some(mut client) = self.clients.get_mut(slot).and_then(Option::take) else {
            return;
        };
        loop {
            match self.step(slot, &mut client) {
                Ok(None) => break,
                Ok(Some(answer)) => {
                    let outcome = Outcome::Answered(answer.status);
                    let keep_alive = answer.keep_alive;
                    self.note(
                        (client.id, self.nth(&client)),
                        client.sent.take(),
                        outcome,
                        Some(answer),
                    );
                    if client.to_come == 0 {
                        return self.through(&mut client);
                    }
                    client.to_come -= 1;
                    client.stage = Stage::Connected;
                    if !keep_alive {
                        match self.connect(slot) {
                            Ok(Some((socket, stage))) => client.reconnect(socket, stage),
                            _ => return self.end(client, Outcome::Failed(Fault::Connect)),
                        }
                    }
                }
                Err(fault) => return self.end(client, Outcome::Failed(fault)),
            }
        }
        if let Some(place) = self.clients.get_mut(slot) {
            *place = Some(client);
        }
    }

    fn step(&mut self, slot: usize, client: &mut Client) -> Result<Option<AnswerHead>, Fault> {
        if client.stage == Stage::Connecting {
            client.finish_connect()?;
        }
        if client.stage == Stage::Connected {
            if !self.go {
                self.settle(client);
                return Ok(None);
            }
            client.start(request(self.options, client.id, self.nth(client)));
        }
        let now = self.clock.now();
        if client.stage == Stage::Writing && client.write()? {
            client.sent = Some(now);
            self.report.sent += 1;
            self.settle(client);
            if std::mem::take(&mut client.unsent) {
                self.unsent -= 1;
                if let (true, Leave::After(time)) =
                    (self.options.leaves(client.id), self.options.leave)
                {
                    self.leaving.push_back((now + time.as_micros() as u64, slot));
                }
            }
        }
        client.read(&mut self.buffer, self.options.method == "HEAD")
    }

    fn settle(&mut self, client: &mut Client) {
        if std::mem::take(&mut client.starting) {
            self.starting -= 1;
        }
    }

    fn end(&mut self, mut client: Client, outcome: Outcome) {
        self.note((client.id, self.nth(&client)), client.sent, outcome, None);
        self.through(&mut client);
    }

    fn through(&mut self, client: &mut Client) {
        self.settle(client);
        self.open -= 1;
        if std::mem::take(&mut client.unsent) {
            self.unsent -= 1;
        }
        if self.options.leaves(client.id) {
            self.leavers -= 1;
        }
    }

    /// The number of a client's present request, from 0.
    fn nth(&self, client: &Client) -> u32 {
        self.options.keepalive - 1 - client.to_come
    }

    fn note(
        &mut self,
        (id, nth): (u64, u32),
        sent: Option<u64>,
        outcome: Outcome,
        answer: Option<AnswerHead>,
    ) {
        let (seq, retry_after) = answer.map_or((None, None), |head| (head.seq, head.retry_after));
        let ended = self.clock.now();
        self.report.add(Record { id, nth, sent, ended, outcome, seq, retry_after });
    }

    fn until_next_chore(&self) -> Duration {
        let mut next = self.deadline;
        if self.options.progress {
            next = next.min(self.next_progress);
        }
        if self.to_launch() > 0 && self.starting < self.options.connecting {
            next = next.min(self.next_connect);
        }
        if let Some((at, _)) = self.leaving.front() {
            next = next.min(*at);
        }
        Duration::from_micros(next.saturating_sub(self.clock.now()))
    }

    /// Handles words on stdin, leavers and timeouts.
    fn chores(&mut self) -> io::Result<()> {
        while let Ok(word) = self.words.try_recv() {
            match word {
                Word::Go => self.send_all(),
                Word::Leave => self.leave_all(),
                Word::Closed if self.go => {}
                // For a backend.
                Word::Stop => {}
                // No "go" can come any more.
                Word::Closed => self.deadline = 0,
            }
        }
        let now = self.clock.now();
        while let Some((_, slot)) = self.leaving.front().copied().filter(|(at, _)| *at <= now) {
            self.leaving.pop_front();
            self.leave(slot);
        }
        if now >= self.deadline {
            self.give_up();
        }
        self.say_events(now)
    }

    fn send_all(&mut self) {
        self.go = true;
        for slot in 0..self.clients.len() {
            self.attend(slot);
        }
    }

    fn leave_all(&mut self) {
        for slot in 0..self.clients.len() {
            let client = self.clients.get(slot).and_then(Option::as_ref);
            if client.is_some_and(|client| self.options.leaves(client.id)) {
                self.leave(slot);
            }
        }
    }

    fn leave(&mut self, slot: usize) {
        if let Some(client) = self.clients.get_mut(slot).and_then(Option::take) {
            self.end(client, Outcome::Left);
        }
    }

    fn give_up(&mut self) {
        for slot in 0..self.clients.len() {
            if let Some(client) = self.clients.get_mut(slot).and_then(Option::take) {
                self.end(client, Outcome::TimedOut);
            }
        }
        while self.to_launch() > 0 {
            let id = self.options.first + self.clients.len() as u64;
            self.clients.push(None);
            self.note((id, 0), None, Outcome::TimedOut, None);
        }
    }

    fn say_events(&mut self, now: u64) -> io::Result<()> {
        if !self.said_connected && self.to_launch() == 0 && self.starting == 0 {
            self.said_connected = true;
            say(&json!({"event": "connected"}))?;
        }
        if !self.said_sent && self.unsent == 0 {
            self.said_sent = true;
            say(&json!({"event": "sent"}))?;
        }
        if !self.said_left && self.leavers == 0 {
            self.said_left = true;
            say(&json!({"event": "left"}))?;
        }
        if self.options.progress && now >= self.next_progress {
            self.next_progress = now + PROGRESS_US;
            say(&self.report.progress(self.open))?;
        }
        Ok(())
    }
}
