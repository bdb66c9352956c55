//! One app: open, paused, draining or stopped, its line, and what became of its requests.
#![forbid(unsafe_code)]

mod drain;
mod provisional;
#[cfg(test)]
mod tests;

pub use drain::{Drained, Ended, Ender, Spacing, Unreported};

use drain::Drain;
use provisional::Before;

use crate::flag::Flag;
use crate::ids::{Epoch, PauseId, Ticket, WorkerId};
use crate::shared::given_up::GivenUp;
use crate::shared::oldest::Oldest;
use crate::shared::pace::Pace;
use crate::shared::room::{Lack, Rejected};
use crate::shared::slots::List;
use crate::shared::terms::{PauseRequest, Terms};
use crate::shared::totals::{Holds, Tally, Totals};
use crate::sync::crash_point;
use crate::text::{Address, AppName, Reason};
use crate::time::Now;

/// What an app does with those who come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They pass.
    Open,
    /// They are held.
    Paused,
    /// They are held behind those whom the pause held, the last of whom has the ticket `upto`.
    Draining { upto: Ticket },
    /// They are answered that the app is out of service.
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

/// An app's entry. Its line and its baton are the zone's to move.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct App {
    used: Flag,
    code: StateRepr,
    name: AppName,
    /// When it got its entry, and when its newest pause began: of workers that have not seen that
    /// yet, nothing is known.
    created: Epoch,
    pause_epoch: Epoch,
    pause: PauseId,
    pauses: u64,
    terms: Terms,
    before: Before,
    /// Whether a pause that was taken back is still to be told.
    rolled_back: Flag,
    /// When it came into its state.
    since: Now,
    /// When the pause began.
    began: Now,
    upto: Ticket,
    next_ticket: Ticket,
    drain: Drain,
    ended_by: Ender,
    ended_at: Now,
    /// Those held, in the order of their tickets.
    pub line: List,
    /// How many were released, are counted against the drain's concurrency, and are unfinished.
    pub unfinished: u32,
    /// The worker that releases at this moment.
    pub baton: WorkerId,
    /// Whether the request that it took out of the line has not been passed on yet.
    pub granted: Flag,
    pub totals: Totals,
    pub holds: Holds,
    /// Those that found no room, by what there was too little of.
    pub rejected: Rejected,
    rejections: Tally,
    /// How many may be held for it at the most, as those said who came in the pause `bounded`.
    max_held: u32,
    bounded: PauseId,
    pub expiries: Tally,
    /// Of those that expired, how many went on to the app although it was paused; and how many when
    /// the newest pause began.
    to_app: u64,
    to_app_before: u64,
    /// Requests that went by and failed while it was not open.
    pub failures: Tally,
    /// Released requests that failed, whenever that was.
    pub failed_released: Tally,
    /// How many were answered because nginx quits, and are still to be told.
    pub turned_away_by_quit: u64,
    /// The oldest of its requests in flight.
    pub oldest: Oldest,
    /// What workers counted that are gone.
    pub given_up: GivenUp,
}

impl App {
    /// An unused entry.
    pub const UNUSED: Self = Self {
        used: Flag::OFF,
        code: StateRepr::Open,
        name: AppName::EMPTY,
        created: Epoch(0),
        pause_epoch: Epoch(0),
        pause: PauseId(0),
        pauses: 0,
        terms: Terms::NONE,
        before: Before::NONE,
        rolled_back: Flag::OFF,
        since: Now::NEVER,
        began: Now::NEVER,
        upto: Ticket(0),
        next_ticket: Ticket(1),
        drain: Drain::NONE,
        ended_by: Ender::Nobody,
        ended_at: Now::NEVER,
        line: List::EMPTY,
        unfinished: 0,
        baton: WorkerId::NONE,
        granted: Flag::OFF,
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

    /// Makes this the entry of a new app, open.
    pub fn create(&mut self, name: AppName, created: Epoch) {
        self.used = Flag::OFF;
        crash_point();
        *self = Self { name, created, ..Self::UNUSED };
        crash_point();
        self.used = Flag::ON;
    }

    /// The entry of an app that was paused or stopped before nginx started.
    pub fn restored(name: AppName, state: State, pause: PauseId, began: Now, terms: Terms) -> Self {
        let code = if state == State::Stopped { StateRepr::Stopped } else { StateRepr::Paused };
        Self { used: Flag::ON, code, name, pause, terms, since: began, began, ..Self::UNUSED }
    }

    /// Takes over what was restored; the entry is this app's own already.
    pub fn resume(&mut self, restored: &Self) {
        *self = Self { created: self.created, pause_epoch: self.created, ..*restored };
    }

    /// The app's name, if this entry is used.
    pub fn name(&self) -> Option<&AppName> {
        self.used.is_on().then_some(&self.name)
    }

    /// What it does with those who come.
    pub fn state(&self) -> State {
        match self.code {
            StateRepr::Open => State::Open,
            StateRepr::Paused => State::Paused,
            StateRepr::Draining => State::Draining { upto: self.upto },
            StateRepr::Stopped => State::Stopped,
        }
    }

    /// Whether a pause is under way: those who come are held or turned away until it is ended.
    pub fn is_paused_or_stopped(&self) -> bool {
        matches!(self.code, StateRepr::Paused | StateRepr::Stopped)
    }

    /// Its newest pause; 0 before the first.
    pub fn pause(&self) -> PauseId {
        self.pause
    }

    /// When it came into its state.
    pub fn since(&self) -> Now {
        self.since
    }

    /// When the newest pause began.
    pub fn began(&self) -> Now {
        self.began
    }

    /// When the pause under way ends by itself.
    pub fn until(&self) -> Option<Now> {
        (self.is_paused_or_stopped() && self.terms.until != Now::NEVER).then_some(self.terms.until)
    }

    /// Why and by whom it was paused last.
    pub fn reason_and_by(&self) -> (&Reason, &Address) {
        (&self.terms.reason, &self.terms.by)
    }

    /// How those held go on, or will.
    pub fn pace(&self) -> Pace {
        if self.code == StateRepr::Draining {
            self.drain.pace()
        } else {
            self.terms.pace
        }
    }

    /// How many pauses it has had since it got its entry.
    pub fn pauses(&self) -> u64 {
        self.pauses
    }

    /// When it got its entry.
    pub fn created(&self) -> Epoch {
        self.created
    }

    /// When workers were to see its newest pause.
    pub fn pause_epoch(&self) -> Epoch {
        self.pause_epoch
    }

    /// When whoever is turned away may come again: at the lease's end, in whole seconds from 1; 10
    /// where there is none.
    pub fn retry_after(&self, now: Now) -> u64 {
        let left = self.until().map(|until| until.monotonic.since(now.monotonic));
        left.map_or(10, |left| left.0.div_ceil(1000).max(1))
    }

    /// Whether those held go on, each in turn.
    pub fn releases(&self) -> bool {
        matches!(self.code, StateRepr::Open | StateRepr::Draining) && self.line.len > 0
    }

    /// Whether nothing would be lost if the entry became another app's.
    pub fn idle(&self) -> bool {
        self.code == StateRepr::Open
            && self.line.len == 0
            && self.unfinished == 0
            && !self.baton.is_some()
            && !self.owes_report()
    }

    /// Pauses: begins a pause, or turns a stop back into one. Those still held keep their places.
    pub fn enable(&mut self, request: &PauseRequest, now: Now, epoch: Epoch) {
        if self.is_paused_or_stopped() {
            self.terms = self.terms.changed(request, now);
        } else {
            self.begin(request.number, now);
            self.terms = Terms::of(request, now);
        }
        self.enter_state(StateRepr::Paused, now, epoch);
    }

    /// Stops: those held and those who come are turned away.
    pub fn stop(&mut self, request: &PauseRequest, now: Now, epoch: Epoch) {
        if self.is_paused_or_stopped() {
            // A stop is another thing than the pause: it says itself when it ends.
            let until = request.end(now);
            self.terms = Terms { until, ..self.terms }.changed(request, now);
        } else {
            self.begin(request.number, now);
            self.terms = Terms::of(request, now);
        }
        self.enter_state(StateRepr::Stopped, now, epoch);
    }

    fn begin(&mut self, pause: PauseId, now: Now) {
        self.pause = pause;
        self.pauses += 1;
        self.began = now;
        self.to_app_before = self.to_app;
    }

    /// One that expired goes on to the app.
    pub fn expired_to_app(&mut self) {
        self.to_app += 1;
    }

    /// How many did, and how many of them since the newest pause began.
    pub fn all_expired_to_app(&self) -> (u64, u64) {
        (self.to_app, self.to_app.saturating_sub(self.to_app_before))
    }

    /// One comes to a place where at most so many are held. Of several places the one counts that
    /// allows most.
    pub fn bound(&mut self, max_held: u32) {
        let known = if self.bounded == self.pause { self.max_held } else { 0 };
        (self.bounded, self.max_held) = (self.pause, known.max(max_held));
    }

    /// How many more may be held for it, as far as those said who came.
    pub fn left_of_max_held(&self) -> u32 {
        self.max_held.saturating_sub(self.line.len)
    }

    /// One finds no room; if a line in the log is due, returns for how many.
    pub fn reject(&mut self, lack: Lack, now: Now) -> Option<u32> {
        self.totals.rejected += 1;
        self.rejected.add(lack);
        self.rejections.add(now.monotonic)
    }

    fn enter_state(&mut self, code: StateRepr, now: Now, epoch: Epoch) {
        self.since = now;
        self.pause_epoch = epoch;
        crash_point();
        self.code = code;
        crash_point();
    }

    /// Changes the pause under way: its reason, and its end, later only. Returns whether it did.
    pub fn change(&mut self, request: &PauseRequest, now: Now) -> bool {
        let terms = self.terms.changed(request, now);
        let changed = terms != self.terms;
        self.terms = terms;
        changed
    }

    /// So many were answered that they are not held: by a stop, or because nginx quits.
    pub fn turned_away(&mut self, count: u32) {
        self.totals.stopped += u64::from(count);
        if self.code == StateRepr::Paused {
            self.turned_away_by_quit += u64::from(count);
        }
    }

    /// How many are held: those in line, and the one that is about to be passed on.
    pub fn held(&self) -> u32 {
        self.line.len.saturating_add(self.about_to_go_on())
    }

    /// How many have left the line and have not been passed on yet: 0 or 1.
    pub fn about_to_go_on(&self) -> u32 {
        u32::from(self.baton.is_some() && self.granted.is_on())
    }

    /// The request that the baton's holder took has been passed on, if it had not been already.
    pub fn granted_goes_on(&mut self) {
        self.totals.released += u64::from(self.granted.take());
    }

    /// Whether anything is still to be told.
    pub fn owes_report(&self) -> bool {
        self.drain.owes_report() || self.rolled_back.is_on()
    }

    /// The next place in line.
    pub fn ticket(&mut self) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket = ticket.next();
        crash_point();
        ticket
    }

    /// Sees to it that no ticket up to this one is given again.
    pub fn ticket_seen(&mut self, ticket: Ticket) {
        self.next_ticket = self.next_ticket.max(ticket.next());
    }

    fn last_ticket(&self) -> Ticket {
        Ticket(self.next_ticket.0.saturating_sub(1))
    }
}
