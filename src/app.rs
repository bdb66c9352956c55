//! One app: open, paused or draining, its line, and what became of its requests.
#![forbid(unsafe_code)]

use serde::Serialize;

use crate::ids::{PauseId, Ticket, WorkerId};
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
}

#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Open,
    Paused,
    Draining,
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
    /// Closed their connection while held.
    pub left: u64,
    /// Were held by a worker that died.
    pub lost: u64,
}

/// What `enable` says of the pause that it begins or changes.
#[derive(Clone, Copy, Debug)]
pub struct Enable {
    /// A number for the pause, if one begins.
    pub fresh: PauseId,
    pub by: Address,
    /// Empty where none was given.
    pub reason: Reason,
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
    since: Now,
    upto: Ticket,
    next_ticket: Ticket,
    drain: Drain,
    /// Those held, in the order of their tickets.
    pub line: List,
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
        since: Now {
            monotonic: Msec(0),
            wall: Msec(0),
        },
        upto: Ticket(0),
        next_ticket: Ticket(1),
        drain: Drain {
            began: Msec(0),
            released_before: 0,
            result: Drained {
                released: 0,
                took: Msec(0),
            },
            unreported: 0,
        },
        line: List::EMPTY,
        baton: WorkerId::NONE,
        run: 0,
        totals: Totals {
            held: 0,
            released: 0,
            expired: 0,
            rejected: 0,
            bypassed: 0,
            left: 0,
            lost: 0,
        },
        rejections: Tally {
            unsaid: 0,
            said_at: Msec(0),
        },
        expiries: Tally {
            unsaid: 0,
            said_at: Msec(0),
        },
    };

    /// Makes this the entry of a new app, open.
    pub fn create(&mut self, name: AppName) {
        self.used = 0;
        step();
        *self = Self {
            name,
            ..Self::UNUSED
        };
        step();
        self.used = 1;
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
        }
    }

    /// Its newest pause; 0 before the first.
    pub fn pause(&self) -> PauseId {
        self.pause
    }

    /// When it came into its state.
    pub fn since(&self) -> Now {
        self.since
    }

    /// Why and by whom it was paused last.
    pub fn cause(&self) -> (&Reason, &Address) {
        (&self.reason, &self.by)
    }

    /// Whether those held may go on now.
    pub fn releases(&self) -> bool {
        self.code != Code::Paused && self.line.len > 0
    }

    /// Whether nothing would be lost if the entry became another app's.
    pub fn idle(&self) -> bool {
        self.code == Code::Open
            && self.line.len == 0
            && !self.baton.is_some()
            && self.drain.unreported == 0
    }

    /// Begins a pause. Those still held by the last one keep their places.
    pub fn begin(&mut self, enable: &Enable, now: Now) {
        self.pause = enable.fresh;
        self.reason = enable.reason;
        self.by = enable.by;
        self.since = now;
        step();
        self.code = Code::Paused;
        step();
    }

    /// Gives the pause under way another reason.
    pub fn explain(&mut self, reason: Reason) {
        self.reason = reason;
    }

    /// Ends the pause: those held up to now go first.
    pub fn end(&mut self, now: Now) -> Ended {
        let ended = Ended {
            held: self.line.len,
            lasted: now.monotonic.since(self.since.monotonic),
            rejected: self.rejections.rest(),
            expired: self.expiries.rest(),
        };
        self.upto = Ticket(self.next_ticket.0.saturating_sub(1));
        self.drain.began = now.monotonic;
        self.drain.released_before = self.totals.released;
        self.since = now;
        step();
        self.code = Code::Draining;
        step();
        ended
    }

    /// Opens, where the last of those whom the pause held is gone; `head` is the first in line.
    pub fn settle(&mut self, head: Option<Ticket>, now: Now) {
        let drained = self.code == Code::Draining && !self.baton.is_some();
        if drained && head.is_none_or(|head| head > self.upto) {
            self.drain.result = Drained {
                released: self
                    .totals
                    .released
                    .saturating_sub(self.drain.released_before),
                took: now.monotonic.since(self.drain.began),
            };
            self.since = now;
            step();
            self.code = Code::Open;
            step();
            self.drain.unreported = 1;
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic: u64) -> Now {
        Now {
            monotonic: Msec(monotonic),
            wall: Msec(0),
        }
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
        let mut app = App::UNUSED;
        app.create(AppName::EMPTY);
        let enable = Enable {
            fresh: PauseId(7),
            by: Address::EMPTY,
            reason: Reason::EMPTY,
        };
        app.begin(&enable, at(0));
        let last = app.ticket();
        app.end(at(100));
        app.ticket();
        app.settle(Some(last), at(110));
        assert_eq!(app.state(), State::Draining { upto: last });
        app.settle(Some(last.next()), at(120));
        assert_eq!(app.state(), State::Open);
        assert_eq!(
            app.report(),
            Some(Drained {
                released: 0,
                took: Msec(20)
            })
        );
        assert_eq!(app.report(), None);
    }
}
