//! One app: its state, its pause, its line, and what became of its requests.
#![forbid(unsafe_code)]

mod away;
mod drain;
mod pause;
mod provisional;
mod requests;
#[cfg(test)]
mod tests;

pub use drain::{Drained, Ended, Ender, Spacing, Unreported};

use away::Away;
use drain::Drain;
use provisional::Before;

use crate::flag::Flag;
use crate::ids::{Epoch, PauseId, SlotId, Ticket, Token, WorkerId};
use crate::shared::given_up::GivenUp;
use crate::shared::oldest::Oldest;
use crate::shared::pace::Pace;
use crate::shared::room::Rejected;
use crate::shared::slots::List;
use crate::shared::terms::Terms;
use crate::shared::totals::{Holds, Tally, Totals};
use crate::sync::crash_point;
use crate::text::{Address, AppName, Reason};
use crate::time::Now;

/// What an app does with requests that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They are passed on.
    Open,
    /// They are held.
    Paused,
    /// The pause is over, and its held requests are being released. The last of them has the ticket
    /// `upto`; requests that come are held behind it.
    Draining { upto: Ticket },
    /// They are answered 503.
    Stopped,
}

#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StateRepr {
    Open,
    Paused,
    Draining,
    Stopped,
}

/// The entry of an app. Only the zone changes its line and its baton.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct App {
    used: Flag,
    code: StateRepr,
    name: AppName,
    /// When it got its entry. A worker that has not seen this does not count its requests yet.
    created: Epoch,
    /// When its newest pause began. A worker that has not seen this may still pass requests on.
    pause_epoch: Epoch,
    pause: PauseId,
    pauses: u64,
    /// The greatest that a verb named.
    token: Token,
    terms: Terms,
    before: Before,
    /// Whether a pause was rolled back, and that is not reported yet.
    rolled_back: Flag,
    /// When it entered its state.
    since: Now,
    /// When its newest pause began.
    began: Now,
    upto: Ticket,
    next_ticket: Ticket,
    drain: Drain,
    away: Away,
    ended_by: Ender,
    ended_at: Now,
    /// Its held requests, in the order of their tickets.
    pub line: List,
    /// How many released requests are unfinished and count against the concurrency of the drain.
    pub unfinished: u32,
    /// The worker that is releasing a request. No other one may then.
    pub baton: WorkerId,
    /// Whether the request being released has not been passed on yet.
    pub granted: Flag,
    /// Whether it had been passed on before.
    pub granted_again: Flag,
    /// The slot that it keeps, if it is watched until it is finished.
    pub granted_slot: SlotId,
    pub totals: Totals,
    pub holds: Holds,
    /// How many were rejected, by what there was too little of.
    pub rejected: Rejected,
    rejections: Tally,
    /// The largest `intermission_max_held` of the locations where requests came in the pause `bounded`.
    max_held: u32,
    bounded: PauseId,
    pub expiries: Tally,
    /// How many expired requests went on to the app although it was paused.
    to_app: u64,
    /// The same when the newest pause began.
    to_app_before: u64,
    /// Requests that bypassed the pause and failed.
    pub failures: Tally,
    /// Released requests that failed.
    pub failed_released: Tally,
    /// How many were answered 503 because nginx quits, and are not reported yet.
    pub turned_away_by_quit: u64,
    /// Its oldest requests in flight.
    pub oldest: Oldest,
    /// Requests given up, as counted by workers that are gone.
    pub given_up: GivenUp,
}

impl App {
    pub const UNUSED: Self = Self {
        used: Flag::OFF,
        code: StateRepr::Open,
        name: AppName::EMPTY,
        created: Epoch(0),
        pause_epoch: Epoch(0),
        pause: PauseId(0),
        pauses: 0,
        token: Token(0),
        terms: Terms::NONE,
        before: Before::NONE,
        rolled_back: Flag::OFF,
        since: Now::NEVER,
        began: Now::NEVER,
        upto: Ticket(0),
        next_ticket: Ticket(1),
        drain: Drain::NONE,
        away: Away::NONE,
        ended_by: Ender::Nobody,
        ended_at: Now::NEVER,
        line: List::EMPTY,
        unfinished: 0,
        baton: WorkerId::NONE,
        granted: Flag::OFF,
        granted_again: Flag::OFF,
        granted_slot: SlotId::NONE,
        totals: Totals::NONE,
        holds: Holds::NONE,
        rejected: Rejected::NONE,
        rejections: Tally::NONE,
        max_held: u32::MAX,
        bounded: PauseId(0),
        expiries: Tally::NONE,
        to_app: 0,
        to_app_before: 0,
        failures: Tally::NONE,
        failed_released: Tally::NONE,
        turned_away_by_quit: 0,
        oldest: Oldest::NONE,
        given_up: GivenUp::NONE,
    };

    /// Makes this the entry of a new app, which is open.
    pub fn create(&mut self, name: AppName, created: Epoch) {
        self.used = Flag::OFF;
        crash_point();
        *self = Self { name, created, ..Self::UNUSED };
        crash_point();
        self.used = Flag::ON;
    }

    /// An app that was paused or stopped when nginx ended.
    pub fn restored(name: AppName, state: State, pause: PauseId, began: Now, terms: Terms) -> Self {
        let code = if state == State::Stopped { StateRepr::Stopped } else { StateRepr::Paused };
        Self { used: Flag::ON, code, name, pause, terms, since: began, began, ..Self::UNUSED }
    }

    /// Takes over a restored app. This entry is that app's already.
    pub fn resume(&mut self, restored: &Self) {
        let Self { created, token, .. } = *self;
        *self = Self { created, token, pause_epoch: created, ..*restored };
    }

    /// Returns None if the entry is unused.
    pub fn name(&self) -> Option<&AppName> {
        self.used.is_on().then_some(&self.name)
    }

    pub fn state(&self) -> State {
        match self.code {
            StateRepr::Open => State::Open,
            StateRepr::Paused => State::Paused,
            StateRepr::Draining => State::Draining { upto: self.upto },
            StateRepr::Stopped => State::Stopped,
        }
    }

    /// Whether requests that come are held or turned away until the pause ends.
    pub fn is_paused_or_stopped(&self) -> bool {
        matches!(self.code, StateRepr::Paused | StateRepr::Stopped)
    }

    /// Whether it is not open because of its newest pause: that is not over, or its drain is not.
    pub fn is_closed_by_pause(&self) -> bool {
        self.is_paused_or_stopped() || self.drain() != PauseId(0)
    }

    /// Its newest pause; 0 if it had none.
    pub fn pause(&self) -> PauseId {
        self.pause
    }

    /// When it entered its state.
    pub fn since(&self) -> Now {
        self.since
    }

    pub fn began(&self) -> Now {
        self.began
    }

    /// When the current pause ends by itself. None if it does not, or if there is none.
    pub fn until(&self) -> Option<Now> {
        (self.is_paused_or_stopped() && self.terms.until != Now::NEVER).then_some(self.terms.until)
    }

    /// The reason of the newest pause, and who asked for it.
    pub fn reason_and_by(&self) -> (&Reason, &Address) {
        (&self.terms.reason, &self.terms.by)
    }

    /// The pace of the current drain, or else of the next one.
    pub fn pace(&self) -> Pace {
        if self.code == StateRepr::Draining {
            self.drain.pace()
        } else {
            self.terms.pace
        }
    }

    /// How many pauses it had since it got its entry.
    pub fn pauses(&self) -> u64 {
        self.pauses
    }

    /// The greatest token that a verb named; 0 if none did.
    pub fn token(&self) -> Token {
        self.token
    }

    /// Notes that a verb named this token. Returns whether it is the greatest now, and was not before.
    pub fn token_seen(&mut self, token: Token) -> bool {
        let is_new = token > self.token;
        self.token = self.token.max(token);
        crash_point();
        is_new
    }

    /// When it got its entry.
    pub fn created(&self) -> Epoch {
        self.created
    }

    /// When its newest pause began: a worker that has seen this counts all that it passed on before.
    pub fn pause_epoch(&self) -> Epoch {
        self.pause_epoch
    }

    /// Whether its held requests may be released, each in turn.
    pub fn releases(&self) -> bool {
        matches!(self.code, StateRepr::Open | StateRepr::Draining) && self.line.len > 0
    }

    /// Whether another app can have the entry, with nothing lost.
    pub fn is_idle(&self) -> bool {
        self.code == StateRepr::Open
            && self.line.len == 0
            && self.unfinished == 0
            && !self.baton.is_some()
            && !self.owes_report()
    }

    /// Whether the end of a drain, or a rollback, is not reported yet.
    pub fn owes_report(&self) -> bool {
        self.drain.owes_report() || self.rolled_back.is_on()
    }
}
