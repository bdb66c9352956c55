//! The module in a host's nginx, as far as an agent can tell: one app, leases, tokens.
#![forbid(unsafe_code)]

use crate::agent::call::{Call, Refusal, Said, State, Status, What};

/// A pause. `until`: on the host's clock, in ms.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub number: u64,
    pub by: String,
    pub until: u64,
    /// None: it is not of the fleet.
    pub token: Option<u64>,
    pub what: What,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Module {
    pub active: Option<Active>,
    count: u64,
    token: u64,
    drained_by: Option<String>,
    /// On the host's clock.
    drains_until: u64,
}

impl Module {
    /// The lease may be over.
    pub(super) fn pass(&mut self, now: u64) {
        if self.active.as_ref().is_some_and(|one| one.until <= now) {
            self.end("lease", now);
        }
    }

    pub(super) fn end(&mut self, by: &str, now: u64) {
        self.active = None;
        self.drained_by = Some(by.to_owned());
        self.drains_until = now + 50;
    }

    /// Another operator.
    pub(super) fn alice(&mut self, now: u64, lease: u64) {
        if self.active.is_none() {
            self.begin("alice", now + lease, None);
        }
    }

    fn begin(&mut self, by: &str, until: u64, token: Option<u64>) {
        self.count += 1;
        let (number, what) = (self.count, What::Pause);
        self.active = Some(Active { number, by: by.to_owned(), until, token, what });
    }

    /// A number that no pause had: those of an nginx that starts count on from the time.
    pub(super) fn number(&self, now: u64) -> u64 {
        self.count.max(now) + 1
    }

    pub(super) fn start(&mut self, now: u64) {
        self.count = self.count.max(now);
    }

    /// What the state file says, which is all that is known when nginx starts.
    pub(super) fn prepare(&mut self, active: Active) {
        self.count = self.count.max(active.number);
        self.token = self.token.max(active.token.unwrap_or(0));
        self.active = Some(active);
    }

    /// What the app's state is, with the time of its change.
    pub(super) fn status(&self, now: u64) -> Status {
        let state = match &self.active {
            Some(one) if one.what == What::Stop => State::Stopped,
            Some(_) => State::Paused,
            None if now < self.drains_until => State::Draining,
            None => State::Open,
        };
        let pause = self.active.as_ref().map_or(self.count, |one| one.number);
        let by = self.active.as_ref().map(|one| one.by.clone());
        let drained_by = self.drained_by.clone().filter(|_| self.active.is_none());
        Status { state, pause, by, drained_by, held: 0, in_flight: 0 }
    }

    /// Carries out a call, but does not wait.
    pub(super) fn call(&mut self, now: u64, call: &Call) -> Said {
        let ms = |time: &std::time::Duration| u64::try_from(time.as_millis()).unwrap();
        let token = match call {
            Call::Look => return Said::Is(self.status(now)),
            Call::Enable { token, .. }
            | Call::Renew { token, .. }
            | Call::Wait { token, .. }
            | Call::Stop { token, .. }
            | Call::Disable { token, .. } => token.0,
        };
        if token < self.token {
            return Said::Refused(Refusal::OldToken);
        }
        self.token = token;
        match call {
            Call::Look => {}
            Call::Enable { .. } if self.active.is_some() || now < self.drains_until => {
                return Said::Refused(Refusal::NotOpen);
            }
            Call::Enable { by, lease, .. } => self.begin(by, now + ms(lease), Some(token)),
            Call::Stop { by, .. } => {
                if self.active.is_none() {
                    self.begin(by, u64::MAX, Some(token));
                }
                if let Some(one) = self.active.as_mut().filter(|one| one.what == What::Pause) {
                    // It keeps its name.
                    (one.until, one.what, one.token) = (u64::MAX, What::Stop, Some(token));
                }
            }
            Call::Renew { pause, lease, .. } | Call::Wait { pause, lease, .. } => {
                let is_that = |one: &&mut Active| (one.number, one.what) == (*pause, What::Pause);
                match self.active.as_mut().filter(is_that) {
                    Some(one) => one.until = one.until.max(now + ms(lease)),
                    None => return Said::Refused(Refusal::NotThatPause),
                }
            }
            Call::Disable { pause, what, by, .. } => {
                let is_that = |one: &Active| {
                    one.number == *pause && (*what == What::Stop || one.what == What::Pause)
                };
                if !self.active.as_ref().is_some_and(is_that) {
                    return Said::Refused(Refusal::NotThatPause);
                }
                self.end(by, now);
            }
        }
        Said::Is(self.status(now))
    }
}
