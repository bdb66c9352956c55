//! An app in the model: a plain list, and what is known of its pause and its drain.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::absences::{ModelAway, Outrun};
use super::callers::Earlier;
use super::rounds::{Next, Round};
use super::*;
use crate::shared::app::Drained;
use crate::shared::totals::Totals;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ModelRequest {
    pub ticket: Ticket,
    pub owner: WorkerId,
    pub cookie: Cookie,
    pub slot: SlotId,
    pub arrived: Msec,
    /// It was passed on before.
    pub back: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ModelApp {
    pub name: usize,
    pub state: State,
    pub since: Now,
    pub pause: u64,
    pub token: Token,
    pub reason: Option<bool>,
    pub began: Now,
    pub until: Option<Now>,
    pub pace: Pace,
    /// The last ticket that a pause held.
    pub upto: Ticket,
    pub next_ticket: Ticket,
    pub line: VecDeque<ModelRequest>,
    /// Released requests that count against the concurrency until they are finished.
    pub unfinished: Vec<ModelRequest>,
    /// The worker that releases, and the request that it took until that is passed on.
    pub baton: Option<(WorkerId, Option<ModelRequest>)>,
    pub spacing: Spacing,
    pub round: Round,
    pub totals: Totals,
    /// How many expired requests went on to the app.
    pub to_app: u64,
    pub drain_began: Msec,
    pub drain_held: usize,
    pub released_before: u64,
    pub drain_failed: u64,
    pub last_drain: Option<Drained>,
    /// When it got its entry.
    pub created: Msec,
    /// When its newest pause or stop began.
    pub paused_at: Msec,
    /// The state before the provisional pauses.
    pub earlier: Option<Earlier>,
    pub rolled_back: bool,
    /// Whether its newest pause was ended by a disable that named it.
    pub ended_by_holder: bool,
    /// Its oldest requests in flight, and their workers.
    pub told: Vec<(Msec, WorkerId)>,
    pub unreported: Option<Drained>,
    pub last_passed_on: Ticket,
    pub away: Option<ModelAway>,
    pub outrun: Option<Outrun>,
    /// Its requests may come back.
    pub takes_back: bool,
    /// Its drain ends a pause.
    pub ends_pause: bool,
}

/// Whether nginx quits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nginx {
    Runs,
    Quits,
}

impl ModelApp {
    pub(super) fn new(name: usize, created: Now) -> Self {
        Self {
            name,
            state: State::Open,
            since: Now::NEVER,
            pause: 0,
            token: Token(0),
            reason: None,
            began: Now::NEVER,
            until: None,
            pace: Pace::default(),
            upto: Ticket(0),
            next_ticket: Ticket(1),
            line: VecDeque::new(),
            unfinished: Vec::new(),
            baton: None,
            spacing: Spacing::OneByOne,
            round: Round::first(Pace::default(), 0, Msec(0)),
            totals: Totals::default(),
            to_app: 0,
            drain_began: Msec(0),
            drain_held: 0,
            released_before: 0,
            drain_failed: 0,
            last_drain: None,
            created: created.monotonic,
            paused_at: created.monotonic,
            earlier: None,
            rolled_back: false,
            ended_by_holder: false,
            told: Vec::new(),
            unreported: None,
            last_passed_on: Ticket(0),
            away: None,
            outrun: None,
            takes_back: false,
            ends_pause: false,
        }
    }

    pub(super) fn is_paused_or_stopped(&self) -> bool {
        matches!(self.state, State::Paused | State::Stopped)
    }

    pub(super) fn turns_away(&self, nginx: Nginx) -> bool {
        self.state == State::Stopped || (self.state == State::Paused && nginx == Nginx::Quits)
    }

    /// 1 if a request was taken and not passed on yet, else 0.
    pub(super) fn taken(&self) -> u32 {
        u32::from(self.baton.is_some_and(|(_, one)| one.is_some()))
    }

    /// When the first request in line may go on. None if it may not.
    pub(super) fn next(&self, now: Msec) -> Option<Next> {
        match self.state {
            _ if self.baton.is_some() || self.line.is_empty() => None,
            State::Open => Some(Next::Now),
            State::Draining { .. } => Some(match self.next_by_absence(now) {
                Next::Now if self.away.is_none() => self.round.next(self.unfinished.len(), now),
                other => other,
            }),
            State::Paused | State::Stopped => None,
        }
    }

    /// The app after a restart of nginx.
    pub(super) fn restarted(self, now: Now) -> Self {
        let Self { name, state, pause, token, reason, began, until, pace, .. } = self;
        Self {
            state,
            since: began,
            pause,
            token,
            reason,
            began,
            until,
            pace,
            ..Self::new(name, now)
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let empty = self.line.is_empty() && self.unfinished.is_empty() && self.baton.is_none();
        self.state == State::Open && empty && self.unreported.is_none() && !self.rolled_back
    }

    pub(super) fn retry_after(&self, now: Now) -> u64 {
        match self.until.filter(|_| self.is_paused_or_stopped()) {
            Some(until) => until.monotonic.since(now.monotonic).0.div_ceil(1000).max(1),
            None => 10,
        }
    }
}
