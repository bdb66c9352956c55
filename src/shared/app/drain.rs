//! The end of a pause: how those held go on, until the app is open.
#![forbid(unsafe_code)]

use super::{App, StateRepr};
use crate::flag::Flag;
use crate::ids::{PauseId, Ticket};
use crate::shared::pace::{Allowance, Pace, Progress};
use crate::sync::crash_point;
use crate::text::Address;
use crate::time::{Msec, Now};

/// Who ended a pause.
#[repr(C, u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ender {
    Nobody,
    Caller(Address),
    /// One that named the pause by its number.
    Holder(Address),
    /// The pause's own end.
    Lease,
    /// It was taken back, for the app was not quiet in time.
    Rollback,
}

/// When the next in line goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// When the one before is under way: it has begun to connect to the app, was answered, or waits
    /// for its own client.
    OneByOne,
    /// At once: the line has waited long enough for one that was not.
    None,
}

/// How a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How many are held now.
    pub held: u32,
    /// For how long new requests were held.
    pub lasted: Msec,
    /// How they go on.
    pub pace: Pace,
    /// How many were rejected and expired since a line in the log last said so.
    pub rejected: u32,
    pub expired: u32,
}

/// How many were rejected, expired, and went by in vain, that no line in the log has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreported {
    pub rejected: u32,
    pub expired: u32,
    pub failed: u32,
}

/// How a drain went.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// The pause that it was the end of.
    pub pause: PauseId,
    pub released: u64,
    /// Of those released: how many nginx itself has answered 502, 503 or 504 up to now.
    pub failed: u64,
    pub took: Msec,
}

/// A drain under way, or over and not yet reported.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// How many the pause held.
    held: u32,
    progress: Progress,
    began: Msec,
    released_before: u64,
    /// How many that it released have failed.
    failed: u64,
    result: Drained,
    /// When it ended; [`Now::NEVER`] before the first.
    ended: Now,
    unreported: Flag,
    hurried: Flag,
}

impl Drain {
    /// Of an app that had none yet.
    pub(super) const NONE: Self = Self {
        held: 0,
        progress: Progress::NONE,
        began: Msec(0),
        released_before: 0,
        failed: 0,
        result: Drained { pause: PauseId(0), released: 0, failed: 0, took: Msec(0) },
        ended: Now::NEVER,
        unreported: Flag::OFF,
        hurried: Flag::OFF,
    };

    /// How those held go on.
    pub(super) fn pace(&self) -> Pace {
        self.progress.pace()
    }

    /// Whether it is over, and that is still to be told.
    pub(super) fn owes_report(&self) -> bool {
        self.unreported.is_on()
    }
}

impl App {
    /// Ends the pause: those held up to now go first.
    pub fn end(&mut self, by: Ender, pace: Pace, now: Now) -> Ended {
        let ended = Ended {
            held: self.line.len,
            lasted: now.monotonic.since(self.began.monotonic),
            pace,
            rejected: self.rejections.take_unreported(),
            expired: self.expiries.take_unreported(),
        };
        self.begin_drain(by, pace, now);
        ended
    }

    pub(super) fn begin_drain(&mut self, by: Ender, pace: Pace, now: Now) {
        self.ended_by = by;
        self.ended_at = now;
        self.upto = self.last_ticket();
        self.drain.progress = Progress::begin(pace, self.line.len, now.monotonic);
        self.drain.held = self.line.len;
        self.drain.began = now.monotonic;
        self.drain.released_before = self.totals.released;
        self.drain.hurried = Flag::OFF;
        self.drain.failed = 0;
        self.since = now;
        crash_point();
        self.code = StateRepr::Draining;
        crash_point();
    }

    /// When the round under way of a drain that is spread ends, on the monotonic clock.
    pub fn drain_ends(&self) -> Option<Msec> {
        self.drain.progress.ends().filter(|_| self.code == StateRepr::Draining)
    }

    /// When the newest pause was ended, if it is over.
    pub fn ended_at(&self) -> Option<Now> {
        (self.ended_by() != Ender::Nobody).then_some(self.ended_at)
    }

    /// Who ended the newest pause, if it is over.
    pub fn ended_by(&self) -> Ender {
        if self.is_paused_or_stopped() {
            Ender::Nobody
        } else {
            self.ended_by
        }
    }

    /// Goes on draining at another pace.
    pub fn set_pace(&mut self, pace: Pace, now: Now) {
        self.drain.progress = Progress::begin(pace, self.line.len, now.monotonic);
    }

    /// Opens, where the last of those whom the pause held is gone; `head` is the first in line. A
    /// paced drain takes those who came meanwhile along first, faster each time.
    pub fn open_if_drained(&mut self, head: Option<Ticket>, now: Now) {
        if self.code != StateRepr::Draining || self.baton.is_some() {
            return;
        }
        match head {
            Some(head) if head <= self.upto => {}
            Some(_) if !self.drain.progress.pace().is_unlimited() => {
                self.upto = self.last_ticket();
                self.drain.progress.next_round(self.line.len, now.monotonic);
            }
            _ => {
                // A pause that held nobody leaves the last drain what it was.
                let held_anybody = self.drain.held > 0;
                if held_anybody {
                    let released = self.totals.released.saturating_sub(self.drain.released_before);
                    let took = now.monotonic.since(self.drain.began);
                    let (pause, failed) = (self.pause, self.drain.failed);
                    self.drain.result = Drained { pause, released, failed, took };
                    self.drain.ended = now;
                }
                self.since = now;
                crash_point();
                self.code = StateRepr::Open;
                crash_point();
                self.drain.unreported = Flag::from(held_anybody);
            }
        }
    }

    /// Whether the next one may go on now. Those who queued behind a drain at full speed may.
    pub fn allowance(&self, now: Now) -> Allowance {
        match self.code {
            StateRepr::Draining => self.drain.progress.allowance(self.unfinished, now.monotonic),
            _ => Allowance::Now,
        }
    }

    /// Whether those released now are counted until they are finished.
    pub fn counts_unfinished(&self) -> bool {
        self.code == StateRepr::Draining && self.drain.progress.pace().concurrency > 0
    }

    /// When the next one goes on.
    pub fn spacing(&self) -> Spacing {
        if !self.drain.hurried.is_on() {
            Spacing::OneByOne
        } else {
            Spacing::None
        }
    }

    /// Until the next pause ends none waits for another.
    pub fn hurry(&mut self) {
        self.drain.hurried = Flag::ON;
    }

    /// The first in line was taken out of it to go on.
    pub fn take_one(&mut self) {
        self.drain.progress.release_one();
    }

    /// The pause whose drain releases those who go on now; 0 where they only queued behind it.
    pub fn drain(&self) -> PauseId {
        match self.code {
            StateRepr::Draining => self.pause,
            StateRepr::Open | StateRepr::Paused | StateRepr::Stopped => PauseId(0),
        }
    }

    /// One that this drain released was answered 502, 503 or 504 by nginx itself. If a line in the
    /// log is due, returns how many there were.
    pub fn failed(&mut self, drain: PauseId, now: Msec) -> Option<u32> {
        self.totals.failed += 1;
        match drain {
            PauseId(0) => {}
            _ if drain == self.drain() => self.drain.failed += 1,
            _ if drain == self.drain.result.pause => self.drain.result.failed += 1,
            _ => {}
        }
        self.failed_released.add(now)
    }

    /// How the last drain went, and when it ended.
    pub fn last_drain(&self) -> Option<(Drained, Now)> {
        (self.drain.ended != Now::NEVER).then_some((self.drain.result, self.drain.ended))
    }

    /// Whether there are any whom no other line will tell: the app is open and holds nobody.
    pub fn has_unreported(&self) -> bool {
        let any = self.rejections.any_unreported()
            || self.expiries.any_unreported()
            || self.failures.any_unreported();
        any && self.code == StateRepr::Open && self.line.len == 0
    }

    /// These, once.
    pub fn take_unreported(&mut self) -> Unreported {
        Unreported {
            rejected: self.rejections.take_unreported(),
            expired: self.expiries.take_unreported(),
            failed: self.failures.take_unreported(),
        }
    }

    /// How the last drain went, once.
    pub fn take_drained(&mut self) -> Option<Drained> {
        let due = self.drain.unreported.take();
        due.then_some(self.drain.result)
    }
}
