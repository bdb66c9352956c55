//! One app: open, paused, draining or stopped, its line, and what became of its requests.
#![forbid(unsafe_code)]

use serde::Serialize;

use crate::ids::{PauseId, Ticket, WorkerId};
use crate::pace::{Allowance, Pace, Progress};
use crate::queue::List;
use crate::sync::step;
use crate::text::{Address, AppName, Reason};
use crate::time::Msec;

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

/// A point in time, in milliseconds on two clocks.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since some start that all workers share; never goes back.
    pub monotonic: Msec,
    /// Since 1970, UTC.
    pub wall: Msec,
}

impl Now {
    /// No point in time.
    pub const NEVER: Self = Self { monotonic: Msec(0), wall: Msec(0) };
}

/// What became of an app's requests since it was first paused.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Took a ticket.
    pub held: u64,
    /// Were passed on in their turn.
    pub released: u64,
    /// Were held for their max_time.
    pub expired: u64,
    /// Found no room.
    pub rejected: u64,
    /// Health checks and privileged ones that went by while the app was not open.
    pub bypassed: u64,
    /// Were answered that the app is out of service, by `stop` or because nginx quits.
    pub stopped: u64,
    /// Closed their connection while held.
    pub left: u64,
    /// Were held by a worker that died.
    pub lost: u64,
}

/// What `enable` or `stop` says of the pause that it begins or changes.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// A number for the pause, if one begins.
    pub fresh: PauseId,
    pub by: Address,
    /// None where none was given.
    pub reason: Option<Reason>,
    /// After so long it ends by itself; never where none.
    pub lease: Option<Msec>,
    /// How those held go on when it ends.
    pub pace: Pace,
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

/// Counts what happens too often to be logged each time: one line a second says how many.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    unsaid: u32,
    said_at: Msec,
}

impl Tally {
    /// Counts one; returns how many to report where a report is due.
    pub fn add(&mut self, now: Msec) -> Option<u32> {
        self.unsaid = self.unsaid.saturating_add(1);
        let due = self.said_at == Msec(0) || now.since(self.said_at) >= Msec(1000);
        due.then(|| {
            self.said_at = now;
            self.rest()
        })
    }

    /// How many are not reported yet; they count as reported from now on.
    pub fn rest(&mut self) -> u32 {
        core::mem::take(&mut self.unsaid)
    }
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
    unreported: u32,
}

/// An app's entry. Its line and its baton are the zone's to move.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct App {
    used: u32,
    code: Code,
    name: AppName,
    pause: PauseId,
    reason: Reason,
    by: Address,
    /// When it came into its state.
    since: Now,
    /// When the pause began.
    began: Now,
    /// The end of the lease; all zero where there is none.
    until: Now,
    pace: Pace,
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
    pub rejections: Tally,
    pub expiries: Tally,
}

impl App {
    /// An unused entry.
    pub const UNUSED: Self = Self {
        used: 0,
        code: Code::Open,
        name: AppName::EMPTY,
        pause: PauseId(0),
        reason: Reason::EMPTY,
        by: Address::EMPTY,
        since: Now::NEVER,
        began: Now::NEVER,
        until: Now::NEVER,
        pace: Pace { spread: Msec(0), concurrency: 0 },
        upto: Ticket(0),
        next_ticket: Ticket(1),
        drain: Drain {
            held: 0,
            progress: Progress::NONE,
            began: Msec(0),
            released_before: 0,
            result: Drained { released: 0, took: Msec(0) },
            unreported: 0,
        },
        line: List::EMPTY,
        going: 0,
        baton: WorkerId::NONE,
        run: 0,
        totals: Totals {
            held: 0,
            released: 0,
            expired: 0,
            rejected: 0,
            bypassed: 0,
            stopped: 0,
            left: 0,
            lost: 0,
        },
        rejections: Tally { unsaid: 0, said_at: Msec(0) },
        expiries: Tally { unsaid: 0, said_at: Msec(0) },
    };

    /// Makes this the entry of a new app, open.
    pub fn create(&mut self, name: AppName) {
        self.used = 0;
        step();
        *self = Self { name, ..Self::UNUSED };
        step();
        self.used = 1;
    }

    /// The entry of an app that was paused or stopped before nginx started.
    pub fn restored(
        name: AppName,
        state: State,
        pause: PauseId,
        began: Now,
        until: Option<Now>,
        (reason, by): (Reason, Address),
        pace: Pace,
    ) -> Self {
        let code = if state == State::Stopped { Code::Stopped } else { Code::Paused };
        let until = until.unwrap_or(Now::NEVER);
        Self {
            used: 1,
            code,
            name,
            pause,
            reason,
            by,
            since: began,
            began,
            until,
            pace,
            ..Self::UNUSED
        }
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
        (self.is_shut() && self.until != Now::NEVER).then_some(self.until)
    }

    /// Why and by whom it was paused last.
    pub fn cause(&self) -> (&Reason, &Address) {
        (&self.reason, &self.by)
    }

    /// How those held go on, or will.
    pub fn pace(&self) -> Pace {
        if self.code == Code::Draining {
            self.drain.progress.pace()
        } else {
            self.pace
        }
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
            && self.drain.unreported == 0
    }

    /// Pauses: begins a pause, or turns a stop back into one. Those still held keep their places.
    pub fn enable(&mut self, cause: &Cause, now: Now) {
        self.shut(Code::Paused, cause, now);
    }

    /// Stops: those held and those who come are turned away.
    pub fn stop(&mut self, cause: &Cause, now: Now) {
        self.shut(Code::Stopped, cause, now);
    }

    fn shut(&mut self, code: Code, cause: &Cause, now: Now) {
        if self.is_shut() {
            // A stop is another thing than the pause: it says itself when it ends.
            if code == Code::Stopped {
                self.until = lease_end(cause.lease, now);
            }
            self.change(cause, now);
        } else {
            self.pause = cause.fresh;
            self.reason = cause.reason.unwrap_or(Reason::EMPTY);
            self.by = cause.by;
            self.began = now;
            self.until = lease_end(cause.lease, now);
            self.pace = cause.pace;
        }
        self.since = now;
        step();
        self.code = code;
        step();
    }

    /// Changes the pause under way: its reason, and its end, later only. Returns whether it did.
    pub fn change(&mut self, cause: &Cause, now: Now) -> bool {
        let until = match (self.until, lease_end(cause.lease, now)) {
            (Now::NEVER, _) | (_, Now::NEVER) => Now::NEVER,
            (old, new) if old.monotonic > new.monotonic => old,
            (_, new) => new,
        };
        let reason = cause.reason.unwrap_or(self.reason);
        let changed = until != self.until || reason != self.reason;
        self.until = until;
        self.reason = reason;
        changed
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

    /// Whether the end of a drain is still to be told.
    pub fn owes_report(&self) -> bool {
        self.drain.unreported != 0
    }

    /// How the last drain went, once.
    pub fn report(&mut self) -> Option<Drained> {
        self.owes_report().then(|| {
            self.drain.unreported = 0;
            self.drain.result
        })
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

/// Both clocks at the end of a lease that begins now; [`Now::NEVER`] where there is none.
fn lease_end(lease: Option<Msec>, now: Now) -> Now {
    lease.map_or(Now::NEVER, |lease| Now {
        monotonic: now.monotonic.after(lease),
        wall: now.wall.after(lease),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(msec: u64) -> Now {
        Now { monotonic: Msec(msec), wall: Msec(1_000_000 + msec) }
    }

    fn cause(lease: Option<u64>) -> Cause {
        Cause {
            fresh: PauseId(7),
            by: Address::EMPTY,
            reason: None,
            lease: lease.map(Msec),
            pace: Pace::default(),
        }
    }

    fn paused(lease: Option<u64>) -> App {
        let mut app = App::UNUSED;
        app.create(AppName::EMPTY);
        app.enable(&cause(lease), at(0));
        app
    }

    #[test]
    fn a_tally_speaks_once_a_second_and_forgets_nobody() {
        let mut tally = Tally::default();
        assert_eq!(tally.add(Msec(5000)), Some(1));
        assert_eq!((1..=9).find_map(|ms| tally.add(Msec(5000 + ms))), None);
        assert_eq!(tally.add(Msec(6000)), Some(10));
        tally.add(Msec(6001));
        assert_eq!((tally.rest(), tally.rest()), (1, 0));
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
        assert_eq!(app.report(), Some(Drained { released: 0, took: Msec(20) }));
        assert_eq!(app.report(), None);
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
        app.stop(&Cause { fresh: PauseId(8), ..cause(None) }, at(10));
        assert_eq!((app.state(), app.pause()), (State::Stopped, PauseId(7)));
        app.enable(&Cause { fresh: PauseId(9), ..cause(None) }, at(20));
        assert_eq!((app.state(), app.pause(), app.until()), (State::Paused, PauseId(7), None));
    }
}
