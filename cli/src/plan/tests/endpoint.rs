//! A control endpoint, as far as a plan can tell: pauses with numbers, leases, waiting callers.
#![forbid(unsafe_code)]

use crate::client::answer::{Effect, Failure, Kind, Said, State, Status};

/// What another caller does.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// For this time, in ms; None: without end.
    Enable(Option<u64>),
    Disable,
    Stop,
}

/// An endpoint with one app.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    count: u64,
    pub active: Option<Active>,
    ended_by: Option<String>,
    /// Whether another caller, or a lease, has ended a pause.
    pub interfered: bool,
}

/// A pause or a stop.
#[derive(Clone, Debug)]
pub struct Active {
    pub pause: u64,
    pub by: String,
    pub is_stopped: bool,
    pub until: Option<u64>,
    /// The call whose wait may roll the pause back.
    pub provisional: Option<u64>,
    /// Another caller's `enable` was answered in this pause.
    pub is_shared: bool,
}

pub const BOB: &str = "bob";

impl Endpoint {
    /// The lease may be over.
    pub fn pass(&mut self, now: u64) {
        if self.active.as_ref().is_some_and(|one| one.until.is_some_and(|until| until <= now)) {
            self.end("lease");
            self.interfered = true;
        }
    }

    pub fn end(&mut self, by: &str) {
        self.active = None;
        self.ended_by = Some(by.to_owned());
    }

    pub fn deed(&mut self, now: u64, deed: Deed) {
        match (deed, self.active.as_mut()) {
            (Deed::Enable(lease), Some(one)) => {
                one.is_stopped = false;
                one.is_shared = true;
                one.provisional = None;
                one.until = later(one.until, lease.map(|lease| now + lease));
            }
            (Deed::Enable(lease), None) => self.begin(now, BOB, lease, None),
            (Deed::Stop, Some(one)) => {
                one.is_stopped = true;
                one.provisional = None;
                one.until = None;
            }
            (Deed::Stop, None) => {
                self.begin(now, BOB, None, None);
                self.active.as_mut().unwrap().is_stopped = true;
            }
            (Deed::Disable, Some(_)) => {
                self.end(BOB);
                self.interfered = true;
            }
            (Deed::Disable, None) => {}
        }
    }

    pub fn begin(&mut self, now: u64, by: &str, lease: Option<u64>, provisional: Option<u64>) {
        self.count += 1;
        self.active = Some(Active {
            pause: self.count,
            by: by.to_owned(),
            is_stopped: false,
            until: lease.map(|lease| now + lease),
            provisional,
            is_shared: false,
        });
    }

    /// `enable?new=1&wait=` by the call with this number. None: it waits.
    pub fn enable(&mut self, now: u64, by: &str, lease: u64, call: u64) -> Option<Said> {
        if self.active.is_some() {
            return Some(refused(Kind::NotOpen));
        }
        self.begin(now, by, Some(lease), Some(call));
        None
    }

    /// `enable?id=&paused=1`
    pub fn renew(&mut self, now: u64, pause: u64, lease: u64) -> Said {
        match self.active.as_mut().filter(|one| one.pause == pause && !one.is_stopped) {
            None => refused(Kind::NotThatPause),
            Some(one) => {
                one.until = later(one.until, Some(now + lease));
                self.look(None)
            }
        }
    }

    /// `disable?id=&paused=1`
    pub fn disable(&mut self, pause: u64, by: &str) -> Said {
        let Some(one) = self.active.clone().filter(|one| one.pause == pause) else {
            let is_repeat = self.count == pause && self.ended_by.as_deref() == Some(by);
            return if is_repeat { self.look(Some(false)) } else { refused(Kind::NotThatPause) };
        };
        if one.is_stopped {
            return refused(Kind::NotThatPause);
        }
        assert_eq!(one.by, by, "another caller's pause is ended");
        self.end(by);
        self.look(Some(true))
    }

    /// `status`, or the answer to a verb.
    pub fn look(&self, changed: Option<bool>) -> Said {
        let state = match &self.active {
            None => State::Open,
            Some(one) if one.is_stopped => State::Stopped,
            Some(_) => State::Paused,
        };
        let by = self.active.as_ref().map(|one| one.by.clone());
        let drained_by = self.ended_by.clone().filter(|_| self.active.is_none());
        let pause = self.active.as_ref().map_or(self.count, |one| one.pause);
        Ok(Box::new(Status { state, pause, by, drained_by, changed, ..status() }))
    }

    /// Another caller's action dismisses a caller that waits.
    pub fn waits(&self, call: u64) -> bool {
        self.active.as_ref().is_some_and(|one| one.provisional == Some(call))
    }
}

fn later(old: Option<u64>, new: Option<u64>) -> Option<u64> {
    Some(old?.max(new?))
}

pub fn refused(kind: Kind) -> Said {
    Err(Failure { kind, text: "no".to_owned(), effect: Effect::Nothing })
}

/// Of an app that was never paused.
pub fn status() -> Status {
    serde_json::from_str(r#"{"app":"a","state":"open","pause":0}"#).unwrap()
}
