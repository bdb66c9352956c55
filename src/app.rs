//! One app: open, paused, draining or stopped, its line, and what became of its requests.
#![forbid(unsafe_code)]

use crate::flight::Epoch;
use crate::ids::{PauseId, Ticket, WorkerId};
use crate::pace::{Allowance, Pace, Progress};
use crate::queue::List;
use crate::sync::step;
use crate::terms::{Cause, Terms};
use crate::text::{Address, AppName, Reason};
use crate::time::{Msec, Now};
use crate::totals::{Holds, Tally, Totals};

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
enum Code {
    Open,
    Paused,
    Draining,
    Stopped,
}

/// How a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How many are held now.
    pub held: u32,
    /// For how long new requests were held.
    pub lasted: Msec,
    /// How many were rejected and expired since a line in the log last said so.
    pub rejected: u32,
    pub expired: u32,
}

/// How a drain went.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    pub released: u64,
    pub took: Msec,
}

/// A drain under way, or over and not yet reported.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Drain {
    /// How many the pause held.
    held: u32,
    progress: Progress,
    began: Msec,
    released_before: u64,
    result: Drained,
    /// When it ended; [`Now::NEVER`] before the first.
    ended: Now,
    unreported: u32,
}

/// What an app goes back to where those who wait for it to be quiet give up.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Settled {
    /// Whether there is such a thing: somebody waits who may yet take his pause back.
    used: u32,
    code: Code,
    terms: Terms,
}

impl Settled {
    const NONE: Self = Self { used: 0, code: Code::Open, terms: Terms::NONE };
}

/// An app's entry. Its line and its baton are the zone's to move.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct App {
    used: u32,
    code: Code,
    name: AppName,
    /// When it got its entry, and when its newest pause began: of workers that have not seen that
    /// yet, nothing is known.
    created: Epoch,
    shut: Epoch,
    pause: PauseId,
    pauses: u64,
    terms: Terms,
    settled: Settled,
    /// Whether a pause that was taken back is still to be told.
    taken_back: u32,
    /// When it came into its state.
    since: Now,
    /// When the pause began.
    began: Now,
    upto: Ticket,
    next_ticket: Ticket,
    drain: Drain,
    /// Those held, in the order of their tickets.
    pub line: List,
    /// How many were released, are counted against the drain's concurrency, and are unfinished.
    pub going: u32,
    /// The worker that releases at this moment.
    pub baton: WorkerId,
    /// How many it took along.
    pub run: u32,
    pub totals: Totals,
    pub holds: Holds,
    pub rejections: Tally,
    pub expiries: Tally,
}

impl App {
    /// An unused entry.
    pub const UNUSED: Self = Self {
        used: 0,
        code: Code::Open,
        name: AppName::EMPTY,
        created: Epoch(0),
        shut: Epoch(0),
        pause: PauseId(0),
        pauses: 0,
        terms: Terms::NONE,
        settled: Settled::NONE,
        taken_back: 0,
        since: Now::NEVER,
        began: Now::NEVER,
        upto: Ticket(0),
        next_ticket: Ticket(1),
        drain: Drain {
            held: 0,
            progress: Progress::NONE,
            began: Msec(0),
            released_before: 0,
            result: Drained { released: 0, took: Msec(0) },
            ended: Now::NEVER,
            unreported: 0,
        },
        line: List::EMPTY,
        going: 0,
        baton: WorkerId::NONE,
        run: 0,
        totals: Totals::NONE,
        holds: Holds::NONE,
        rejections: Tally::NONE,
        expiries: Tally::NONE,
    };

    /// Makes this the entry of a new app, open.
    pub fn create(&mut self, name: AppName, created: Epoch) {
        self.used = 0;
        step();
        *self = Self { name, created, ..Self::UNUSED };
        step();
        self.used = 1;
    }

    /// The entry of an app that was paused or stopped before nginx started.
    pub fn restored(name: AppName, state: State, pause: PauseId, began: Now, terms: Terms) -> Self {
        let code = if state == State::Stopped { Code::Stopped } else { Code::Paused };
        Self { used: 1, code, name, pause, terms, since: began, began, ..Self::UNUSED }
    }

    /// Takes over what was restored; the entry is this app's own already.
    pub fn resume(&mut self, restored: &Self) {
        *self = Self { created: self.created, shut: self.created, ..*restored };
    }

    /// The app's name, if this entry is used.
    pub fn name(&self) -> Option<&AppName> {
        (self.used != 0).then_some(&self.name)
    }

    /// What it does with those who come.
    pub fn state(&self) -> State {
        match self.code {
            Code::Open => State::Open,
            Code::Paused => State::Paused,
            Code::Draining => State::Draining { upto: self.upto },
            Code::Stopped => State::Stopped,
        }
    }

    /// Whether a pause is under way: those who come are held or turned away until it is ended.
    pub fn is_shut(&self) -> bool {
        matches!(self.code, Code::Paused | Code::Stopped)
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
        (self.is_shut() && self.terms.until != Now::NEVER).then_some(self.terms.until)
    }

    /// Why and by whom it was paused last.
    pub fn cause(&self) -> (&Reason, &Address) {
        (&self.terms.reason, &self.terms.by)
    }

    /// How those held go on, or will.
    pub fn pace(&self) -> Pace {
        if self.code == Code::Draining {
            self.drain.progress.pace()
        } else {
            self.terms.pace
        }
    }

    /// How many pauses it has had since it got its entry.
    pub fn pauses(&self) -> u64 {
        self.pauses
    }

    /// How the last drain went, and when it ended.
    pub fn last_drain(&self) -> Option<(Drained, Now)> {
        (self.drain.ended != Now::NEVER).then_some((self.drain.result, self.drain.ended))
    }

    /// When it got its entry.
    pub fn created(&self) -> Epoch {
        self.created
    }

    /// When workers were to see its newest pause.
    pub fn shut_since(&self) -> Epoch {
        self.shut
    }

    /// When whoever is turned away may come again: at the lease's end, in whole seconds from 1; 10
    /// where there is none.
    pub fn retry_after(&self, now: Now) -> u64 {
        let left = self.until().map(|until| until.monotonic.since(now.monotonic));
        left.map_or(10, |left| left.0.div_ceil(1000).max(1))
    }

    /// Whether those held go on, each in turn.
    pub fn releases(&self) -> bool {
        matches!(self.code, Code::Open | Code::Draining) && self.line.len > 0
    }

    /// Whether nothing would be lost if the entry became another app's.
    pub fn idle(&self) -> bool {
        self.code == Code::Open
            && self.line.len == 0
            && self.going == 0
            && !self.baton.is_some()
            && !self.owes_report()
    }

    /// Pauses: begins a pause, or turns a stop back into one. Those still held keep their places.
    pub fn enable(&mut self, cause: &Cause, now: Now, epoch: Epoch) {
        if self.is_shut() {
            self.terms = self.terms.changed(cause, now);
        } else {
            self.begin(cause.fresh, now);
            self.terms = Terms::of(cause, now);
        }
        self.turn(Code::Paused, now, epoch);
    }

    /// Stops: those held and those who come are turned away.
    pub fn stop(&mut self, cause: &Cause, now: Now, epoch: Epoch) {
        if self.is_shut() {
            // A stop is another thing than the pause: it says itself when it ends.
            let until = cause.end(now);
            self.terms = Terms { until, ..self.terms }.changed(cause, now);
        } else {
            self.begin(cause.fresh, now);
            self.terms = Terms::of(cause, now);
        }
        self.turn(Code::Stopped, now, epoch);
    }

    fn begin(&mut self, pause: PauseId, now: Now) {
        self.pause = pause;
        self.pauses += 1;
        self.began = now;
    }

    fn turn(&mut self, code: Code, now: Now, epoch: Epoch) {
        self.since = now;
        self.shut = epoch;
        step();
        self.code = code;
        step();
    }

    /// Changes the pause under way: its reason, and its end, later only. Returns whether it did.
    pub fn change(&mut self, cause: &Cause, now: Now) -> bool {
        let terms = self.terms.changed(cause, now);
        let changed = terms != self.terms;
        self.terms = terms;
        changed
    }

    /// Whether the pause under way, or a change of it, may yet be taken back.
    pub fn is_provisional(&self) -> bool {
        self.settled.used != 0
    }

    /// Somebody comes who may yet take his pause back: what there was before is kept.
    pub fn keep_what_is(&mut self) {
        if !self.is_provisional() {
            let terms = Terms { pace: self.pace(), ..self.terms };
            self.settled = Settled { used: 0, code: self.code, terms };
            step();
            self.settled.used = 1;
            step();
        }
    }

    /// A pause was answered that began, or changed what there was, at this time: it stays.
    pub fn commit(&mut self, cause: &Cause, at: Now) {
        let terms = match self.settled.code {
            Code::Paused | Code::Stopped => self.settled.terms.changed(cause, at),
            Code::Open | Code::Draining => Terms::of(cause, at),
        };
        self.settled.terms = terms;
        step();
        self.settled.code = Code::Paused;
        step();
    }

    /// Nobody may take anything back any more.
    pub fn forget_what_was(&mut self) {
        self.settled.used = 0;
        step();
    }

    /// Becomes what there was before with `asked`, by those who still wait, on top of it. Where
    /// that is no pause, the one under way ends.
    pub fn take_back(&mut self, asked: impl Iterator<Item = (Cause, Now)>, now: Now, epoch: Epoch) {
        let Settled { mut code, mut terms, .. } = self.settled;
        for (cause, at) in asked {
            terms = match code {
                Code::Paused | Code::Stopped => terms.changed(&cause, at),
                Code::Open | Code::Draining => Terms::of(&cause, at),
            };
            code = Code::Paused;
        }
        match code {
            Code::Open if self.is_shut() => {
                self.end(self.terms.pace, now);
            }
            Code::Draining if self.is_shut() => {
                self.end(terms.pace, now);
            }
            Code::Open | Code::Draining => {}
            Code::Paused | Code::Stopped => {
                self.terms = terms;
                if self.code != code {
                    self.turn(code, now, epoch);
                }
            }
        }
    }

    /// As it is without those who may yet take their pause back.
    pub fn settled(&self) -> Self {
        match self.is_provisional() {
            true => Self { code: self.settled.code, terms: self.settled.terms, ..*self },
            false => *self,
        }
    }

    /// A pause was taken back, which is to be told.
    pub fn was_taken_back(&mut self) {
        self.taken_back = 1;
    }

    /// Ends the pause: those held up to now go first.
    pub fn end(&mut self, pace: Pace, now: Now) -> Ended {
        let ended = Ended {
            held: self.line.len,
            lasted: now.monotonic.since(self.began.monotonic),
            rejected: self.rejections.rest(),
            expired: self.expiries.rest(),
        };
        self.upto = self.last_ticket();
        self.drain.progress = Progress::begin(pace, self.line.len, now.monotonic);
        self.drain.held = self.line.len;
        self.drain.began = now.monotonic;
        self.drain.released_before = self.totals.released;
        self.since = now;
        step();
        self.code = Code::Draining;
        step();
        ended
    }

    /// Goes on draining at another pace.
    pub fn set_pace(&mut self, pace: Pace, now: Now) {
        self.drain.progress = Progress::begin(pace, self.line.len, now.monotonic);
    }

    /// Opens, where the last of those whom the pause held is gone; `head` is the first in line. A
    /// paced drain takes those who came meanwhile along first, faster each time.
    pub fn settle(&mut self, head: Option<Ticket>, now: Now) {
        if self.code != Code::Draining || self.baton.is_some() {
            return;
        }
        match head {
            Some(head) if head <= self.upto => {}
            Some(_) if !self.drain.progress.pace().is_unlimited() => {
                self.upto = self.last_ticket();
                self.drain.progress.next_round(self.line.len, now.monotonic);
            }
            _ => {
                self.drain.result = Drained {
                    released: self.totals.released.saturating_sub(self.drain.released_before),
                    took: now.monotonic.since(self.drain.began),
                };
                self.drain.ended = now;
                self.since = now;
                step();
                self.code = Code::Open;
                step();
                self.drain.unreported = u32::from(self.drain.held > 0);
            }
        }
    }

    /// How many may go on now. Those who queued behind a drain at full speed go at once.
    pub fn allowance(&self, now: Now) -> Allowance {
        match self.code {
            Code::Draining => self.drain.progress.allowance(self.going, now.monotonic),
            _ => Allowance::Now(u32::MAX),
        }
    }

    /// Whether those released now are counted until they are finished.
    pub fn counts_unfinished(&self) -> bool {
        self.code == Code::Draining && self.drain.progress.pace().concurrency > 0
    }

    /// So many went on.
    pub fn passed_on(&mut self, count: u32) {
        self.totals.released += u64::from(count);
    }

    /// So many were taken out of the line to go on.
    pub fn taken(&mut self, count: u32) {
        self.drain.progress.passed_on(count);
    }

    /// Whether anything is still to be told.
    pub fn owes_report(&self) -> bool {
        self.drain.unreported != 0 || self.taken_back != 0
    }

    /// How the last drain went, once.
    pub fn report_drained(&mut self) -> Option<Drained> {
        let due = core::mem::take(&mut self.drain.unreported) != 0;
        due.then_some(self.drain.result)
    }

    /// The pause that was taken back, once.
    pub fn report_taken_back(&mut self) -> Option<PauseId> {
        let due = core::mem::take(&mut self.taken_back) != 0;
        due.then_some(self.pause)
    }

    /// The next place in line.
    pub fn ticket(&mut self) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket = ticket.next();
        step();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(msec: u64) -> Now {
        Now { monotonic: Msec(msec), wall: Msec(1_000_000 + msec) }
    }

    fn cause(lease: Option<u64>) -> Cause {
        Cause { fresh: PauseId(7), lease: lease.map(Msec), ..Cause::NONE }
    }

    fn paused(lease: Option<u64>) -> App {
        let mut app = App::UNUSED;
        app.create(AppName::EMPTY, Epoch(1));
        app.enable(&cause(lease), at(0), Epoch(2));
        app
    }

    #[test]
    fn a_drain_ends_with_the_last_one_whom_the_pause_held() {
        let mut app = paused(None);
        let last = app.ticket();
        app.line.len = 1;
        app.end(Pace::default(), at(100));
        app.ticket();
        app.settle(Some(last), at(110));
        assert_eq!(app.state(), State::Draining { upto: last });
        app.settle(Some(last.next()), at(120));
        assert_eq!(app.state(), State::Open);
        assert_eq!(app.report_drained(), Some(Drained { released: 0, took: Msec(20) }));
        assert_eq!(app.report_drained(), None);
    }

    #[test]
    fn a_paced_drain_takes_those_along_who_came_meanwhile() {
        let mut app = paused(None);
        let first = app.ticket();
        app.end(Pace { spread: Msec(0), concurrency: 2 }, at(100));
        let second = app.ticket();
        app.settle(Some(second), at(110));
        assert_eq!(app.state(), State::Draining { upto: second });
        assert!(first < second);
        app.settle(None, at(120));
        assert_eq!(app.state(), State::Open);
    }

    #[test]
    fn no_enable_shortens_a_pause() {
        let until = |app: &App| app.until().map(|until| until.monotonic.0);
        let mut app = paused(Some(5000));
        assert!(!app.change(&cause(Some(1000)), at(100)));
        assert_eq!(until(&app), Some(5000));
        assert!(app.change(&cause(Some(5000)), at(100)));
        assert_eq!(until(&app), Some(5100));
        assert!(app.change(&cause(None), at(200)));
        assert!(!app.change(&cause(Some(99_000)), at(300)));
        assert_eq!(until(&app), None);
    }

    #[test]
    fn whoever_is_turned_away_is_told_when_the_lease_ends() {
        assert_eq!(paused(None).retry_after(at(0)), 10);
        let app = paused(Some(4200));
        assert_eq!((app.retry_after(at(0)), app.retry_after(at(4100))), (5, 1));
        assert_eq!(app.retry_after(at(9000)), 1);
    }

    #[test]
    fn a_stop_and_back_is_the_same_pause() {
        let mut app = paused(Some(5000));
        app.stop(&Cause { fresh: PauseId(8), ..cause(None) }, at(10), Epoch(3));
        assert_eq!((app.state(), app.pause()), (State::Stopped, PauseId(7)));
        app.enable(&Cause { fresh: PauseId(9), ..cause(None) }, at(20), Epoch(4));
        assert_eq!((app.state(), app.pause(), app.until()), (State::Paused, PauseId(7), None));
    }
}
