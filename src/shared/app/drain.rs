//! The drain: after a pause, its held requests are released; then the app is open.
#![forbid(unsafe_code)]

use super::{App, StateRepr};
use crate::flag::Flag;
use crate::ids::{PauseId, SlotId, Ticket};
use crate::shared::pace::{Allowance, Pace, Progress};
use crate::sync::crash_point;
use crate::text::Address;
use crate::time::{Msec, Now};

/// Who or what ended a pause.
#[repr(C, u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ender {
    Nobody,
    Caller(Address),
    /// A caller that named the pause by its number.
    Holder(Address),
    /// The end of its lease.
    Lease,
    /// It was rolled back, because requests were still in flight when the caller's time was over.
    Rollback,
}

/// When the next request in line goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// When the one before it has set out: it has begun to connect to the app, was answered, or waits
    /// for its own client.
    OneByOne,
    /// At once: an earlier request was delayed for too long.
    None,
}

/// How a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How many requests are held now.
    pub held: u32,
    /// How long the pause lasted.
    pub lasted: Msec,
    /// The pace of the drain.
    pub pace: Pace,
    /// How many were rejected, and no log line has reported it yet.
    pub rejected: u32,
    /// The same of expired requests.
    pub expired: u32,
}

/// Counts that no log line has reported yet.
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
    /// The pause that it ended.
    pub pause: PauseId,
    pub released: u64,
    /// How many of the released requests nginx itself has answered with 502, 503 or 504 up to now.
    pub failed: u64,
    pub took: Msec,
}

/// The current drain, and the result of the last one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// How many requests the pause held.
    held: u32,
    progress: Progress,
    began: Msec,
    released_before: u64,
    /// How many of the requests that it released have failed.
    failed: u64,
    result: Drained,
    /// When the last drain ended; [`Now::NEVER`] if there was none.
    ended: Now,
    unreported: Flag,
    hurried: Flag,
    /// Whether a pause has ended in it.
    ends_pause: Flag,
}

impl Drain {
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
        ends_pause: Flag::OFF,
    };

    /// The line of an open app is released, which held no request in a pause.
    pub(super) fn begin_without_pause(&mut self, now: Msec, released: u64) {
        self.progress = Progress::begin(Pace::default(), 1, now);
        (self.held, self.failed) = (0, 0);
        (self.began, self.released_before) = (now, released);
        (self.hurried, self.ends_pause) = (Flag::OFF, Flag::OFF);
    }

    pub(super) fn pace(&self) -> Pace {
        self.progress.pace()
    }

    /// When it began, on the monotonic clock.
    pub(super) fn began(&self) -> Msec {
        self.began
    }

    /// Whether a drain is over, and that is not reported yet.
    pub(super) fn owes_report(&self) -> bool {
        self.unreported.is_on()
    }
}

impl App {
    /// Ends the pause: the requests held now are released first.
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
        self.drain.ends_pause = Flag::ON;
        self.drain.failed = 0;
        self.forget_absence();
        self.since = now;
        crash_point();
        self.code = StateRepr::Draining;
        crash_point();
    }

    /// When the current round of the drain ends, on the monotonic clock. None without a spread.
    pub fn drain_ends(&self) -> Option<Msec> {
        self.drain.progress.ends().filter(|_| self.code == StateRepr::Draining)
    }

    /// When the newest pause ended. None if it has not, or if there was none.
    pub fn ended_at(&self) -> Option<Now> {
        (self.ended_by() != Ender::Nobody).then_some(self.ended_at)
    }

    /// Who ended the newest pause.
    pub fn ended_by(&self) -> Ender {
        if self.is_paused_or_stopped() {
            Ender::Nobody
        } else {
            self.ended_by
        }
    }

    /// Continues the drain at another pace.
    pub fn set_pace(&mut self, pace: Pace, now: Now) {
        self.drain.progress = Progress::begin(pace, self.line.len, now.monotonic);
    }

    /// Continues the drain, which stood still from `since` until `now`.
    pub(super) fn goes_on_after(&mut self, since: Msec, now: Msec) {
        self.drain.progress.stood_still(since, now);
        if self.drain.pace().is_unlimited() {
            self.upto = self.upto.max(self.last_ticket());
        }
    }

    /// Opens the app if all requests that the pause held have left the line. `head` is the first ticket
    /// in line. A paced drain, or one that the app does not keep up with, first releases those that
    /// came meanwhile, in further rounds.
    pub fn open_if_drained(&mut self, head: Option<Ticket>, now: Now) {
        if self.code != StateRepr::Draining || self.baton.is_some() {
            return;
        }
        if self.is_away() && (head.is_some() || self.unfinished > 0) {
            return;
        }
        match head {
            Some(head) if head <= self.upto => {}
            Some(_) if !self.drain.progress.pace().is_unlimited() || self.is_outrun() => {
                self.upto = self.last_ticket();
                self.drain.progress.next_round(self.line.len, now.monotonic);
            }
            _ => {
                // A pause that held no request does not change the result of the last drain.
                let held_any = self.drain.held > 0;
                if held_any {
                    let released = self.totals.released.saturating_sub(self.drain.released_before);
                    let took = now.monotonic.since(self.drain.began);
                    let (pause, failed) = (self.pause, self.drain.failed);
                    self.drain.result = Drained { pause, released, failed, took };
                    self.drain.ended = now;
                }
                self.forget_absence();
                self.since = now;
                crash_point();
                self.code = StateRepr::Open;
                crash_point();
                if held_any {
                    self.drain.unreported = Flag::ON;
                }
            }
        }
    }

    /// Whether the head of the line, which is in it since this time on the monotonic clock, may go on
    /// now. Those that queued behind a drain have no pace.
    pub fn allowance(&self, since: Msec, now: Now) -> Allowance {
        match self.code {
            StateRepr::Draining => match self.allowed_by_absence(since, now.monotonic) {
                Allowance::Now if !self.is_away() => {
                    self.drain.progress.allowance(self.unfinished, now.monotonic)
                }
                other => other,
            },
            _ => Allowance::Now,
        }
    }

    /// Whether a request that is released now is watched until it is finished: because it counts
    /// against the concurrency, or because it may come back.
    pub fn counts_unfinished(&self) -> bool {
        let bounded = self.drain.progress.pace().concurrency > 0;
        (self.code == StateRepr::Draining && bounded) || self.watches()
    }

    /// When the request behind the one being released goes on.
    pub fn spacing(&self) -> Spacing {
        if !self.drain.hurried.is_on() {
            Spacing::OneByOne
        } else {
            Spacing::None
        }
    }

    /// Until the next pause ends, no request waits for the one before it.
    pub fn hurry(&mut self) {
        self.drain.hurried = Flag::ON;
    }

    /// Notes that the request in this slot was taken out of the line to be released.
    pub fn take_one(&mut self, slot: SlotId, now: Msec) {
        self.drain.progress.release_one();
        self.went_on(slot, now);
    }

    /// Notes that a request which was taken out is in line again.
    pub fn take_one_back(&mut self) {
        self.drain.progress.take_back_one();
    }

    /// Whether its line is released, and is there only because the app was away.
    pub fn drains_without_pause(&self) -> bool {
        self.code == StateRepr::Draining && !self.drain.ends_pause.is_on()
    }

    /// The pause whose drain releases the requests that go on now; 0 if they only queued behind it.
    pub fn drain(&self) -> PauseId {
        match self.code {
            StateRepr::Draining if self.drain.ends_pause.is_on() => self.pause,
            StateRepr::Draining => PauseId(0),
            StateRepr::Open | StateRepr::Paused | StateRepr::Stopped => PauseId(0),
        }
    }

    /// Counts a request, released by the drain of this pause, that nginx itself answered with 502, 503
    /// or 504. If a log line is due, returns how many it reports.
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

    /// The result of the last drain, and when it ended.
    pub fn last_drain(&self) -> Option<(Drained, Now)> {
        (self.drain.ended != Now::NEVER).then_some((self.drain.result, self.drain.ended))
    }

    /// Whether counts are unreported that no later log line will report: the app is open and its line
    /// is empty.
    pub fn has_unreported(&self) -> bool {
        let any = self.rejections.any_unreported()
            || self.expiries.any_unreported()
            || self.failures.any_unreported();
        any && self.code == StateRepr::Open && self.line.len == 0
    }

    /// The unreported counts. They count as reported from now on.
    pub fn take_unreported(&mut self) -> Unreported {
        Unreported {
            rejected: self.rejections.take_unreported(),
            expired: self.expiries.take_unreported(),
            failed: self.failures.take_unreported(),
        }
    }

    /// The result of the last drain, if it is not reported yet. It counts as reported from now on.
    pub fn take_drained(&mut self) -> Option<Drained> {
        let due = self.drain.unreported.take();
        due.then_some(self.drain.result)
    }
}
