//! An app that cannot be reached, or not as fast as its line is released.
//!
//! A request that the app never saw comes back to its place in line. If none of the app's released
//! requests is unfinished, or only old ones are, the app is away: the head of its line is tried, after a
//! growing time, until one gets through. Else the app was outrun: fewer may be unfinished at a time from
//! then on.
#![forbid(unsafe_code)]

use super::{App, StateRepr};
use crate::flag::Flag;
use crate::ids::SlotId;
use crate::shared::pace::Allowance;
use crate::sync::crash_point;
use crate::time::{Msec, Now};

/// What is known of that.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    /// It counts only while the line is released.
    on: Flag,
    since: Now,
    /// The status with which nginx would have answered the request that it could not pass on.
    status: u32,
    /// How many tries in a row were in vain.
    tries: u32,
    /// When the next try may begin, on the monotonic clock.
    next_try: Msec,
    /// When the last one began.
    tried_at: Msec,
    /// The slot of the request that was tried then, until it is finished or back in line.
    trying: SlotId,
    /// For how long requests of the app are held at most because of it: the shortest time of those
    /// that were in line. 0 if none of its requests comes back.
    longest: Msec,
    /// At most this many released requests may be unfinished; 0 if no limit is known.
    limit: u32,
    /// Whether the last one went on although that many were unfinished.
    exceeded: Flag,
    /// How many finished since the limit changed.
    finished: u32,
}

/// The first try comes after so long, each following one after twice the time.
const FIRST_TRY: Msec = Msec(50);
/// At the most after so long.
const LONGEST_TRY: Msec = Msec(1000);
/// One that was tried, and neither came back nor got through, does not need the app, or waits for its
/// client: after so long, the next is tried beside it.
const PATIENCE: Msec = Msec(5000);

impl Away {
    pub(super) const NONE: Self = Self {
        on: Flag::OFF,
        since: Now::NEVER,
        status: 0,
        tries: 0,
        next_try: Msec(0),
        tried_at: Msec(0),
        trying: SlotId::NONE,
        longest: Msec(0),
        limit: 0,
        exceeded: Flag::OFF,
        finished: 0,
    };
}

impl App {
    /// Whether the app cannot be reached, as far as its requests can tell. It is no pause.
    pub fn is_away(&self) -> bool {
        self.away.on.is_on() && self.code == StateRepr::Draining
    }

    /// The same, if no pause has led to it.
    pub fn is_away_without_pause(&self) -> bool {
        self.is_away() && self.drains_without_pause()
    }

    /// Since when it is away, and the status with which nginx would have answered.
    pub fn away(&self) -> Option<(Now, u32)> {
        self.is_away().then_some((self.away.since, self.away.status))
    }

    /// A request of the app comes back if it never saw it, and is then held for so long at most.
    pub fn takes_back(&mut self, longest: Msec) {
        self.away.longest = match self.away.longest {
            // The times of those that were in line before do not count any more.
            known if known > Msec(0) && self.line.len > 1 => known.min(longest),
            _ => longest,
        };
    }

    /// Whether a request in line since this time, on the monotonic clock, was held for as long as it may
    /// be because the app is away. It goes on once more, and gets the answer that nginx has for it.
    pub fn is_overdue(&self, since: Msec, now: Now) -> bool {
        self.is_away() && now.monotonic >= self.due(since)
    }

    fn due(&self, since: Msec) -> Msec {
        // Without a pause they are held because of it from the first absence on.
        let began = match self.drains_without_pause() {
            true => self.drain.began(),
            false => self.away.since.monotonic,
        };
        since.max(began).after(self.away.longest)
    }

    /// Whether a request that is released now is watched until it is finished, because it may come back.
    pub(super) fn watches(&self) -> bool {
        self.away.longest > Msec(0)
    }

    /// Whether its released requests keep their slots only because they may come back.
    pub fn spares_slots(&self) -> bool {
        let has_limit = self.is_away() || self.is_outrun();
        let paced = self.drain.pace().concurrency > 0 || self.terms.pace.concurrency > 0;
        self.unfinished > 0 && self.watches() && !has_limit && !paced
    }

    /// A request that nginx could not pass on is back in line. Returns whether the app is away since
    /// this moment.
    pub fn came_back(&mut self, status: u32, now: Now) -> bool {
        if self.is_paused_or_stopped() || self.is_away() {
            return false;
        }
        if self.unfinished > 0 && !self.has_drained_long_ago(now) {
            self.outrun(now);
            return false;
        }
        self.away = Away { since: now, status, longest: self.away.longest, ..Away::NONE };
        self.try_later(now);
        crash_point();
        self.away.on = Flag::ON;
        crash_point();
        self.follow(now);
        true
    }

    /// Whether those that are still unfinished say nothing about what the app takes now.
    fn has_drained_long_ago(&self, now: Now) -> bool {
        let is_empty = self.code == StateRepr::Open && self.line.len <= 1;
        is_empty && now.monotonic.since(self.since.monotonic) >= PATIENCE
    }

    /// The request that was tried is back in line.
    pub fn tried_in_vain(&mut self, now: Now) {
        if self.is_away() {
            self.try_later(now);
        }
    }

    fn try_later(&mut self, now: Now) {
        let after = Msec(FIRST_TRY.0 << self.away.tries.min(10)).min(LONGEST_TRY);
        self.away.tries = self.away.tries.saturating_add(1);
        self.away.next_try = now.monotonic.after(after);
    }

    /// More are unfinished than the app takes: half as many may be from now on.
    fn outrun(&mut self, now: Now) {
        let known = self.away.limit;
        let limit = match known {
            // The app takes as many as that, but not one more.
            _ if self.away.exceeded.is_on() => known.saturating_sub(1).max(1),
            // It was released before the limit was so low.
            1.. if self.unfinished >= known => known,
            _ => (self.unfinished / 2).max(1),
        };
        if limit != known {
            (self.away.limit, self.away.exceeded, self.away.finished) = (limit, Flag::OFF, 0);
            self.away.next_try = now.monotonic.after(LONGEST_TRY);
        }
        self.follow(now);
    }

    /// An open app has a line again: it is released before requests that come.
    fn follow(&mut self, now: Now) {
        if self.code == StateRepr::Open {
            self.upto = self.last_ticket();
            self.drain.begin_without_pause(now.monotonic, self.totals.released);
            self.since = now;
            crash_point();
            self.code = StateRepr::Draining;
            crash_point();
        }
    }

    /// A request that was tried has got through: the line follows. Returns since when the app was away,
    /// if it was.
    pub fn got_through(&mut self, now: Now) -> Option<Now> {
        let (since, _) = self.away()?;
        self.goes_on_after(since.monotonic, now.monotonic);
        self.since = now;
        crash_point();
        self.away.on = Flag::OFF;
        crash_point();
        Some(since)
    }

    /// The slot of the request that is tried now, if the app is away.
    pub fn trying(&self) -> SlotId {
        self.away.trying
    }

    /// No request is tried now.
    pub fn tries_none(&mut self) {
        self.away.trying = SlotId::NONE;
    }

    /// The request of this slot is finished, or back in line.
    pub fn is_out_no_more(&mut self, slot: SlotId) {
        self.unfinished = self.unfinished.saturating_sub(1);
        if self.away.trying == slot {
            self.tries_none();
        }
    }

    /// A released request is finished, and does not count as unfinished any more.
    pub fn finished_one(&mut self) {
        // Those that were too many do not count.
        if self.unfinished < self.away.limit {
            self.away.finished += 1;
            if self.away.finished >= self.away.limit {
                (self.away.limit, self.away.finished) = (self.away.limit.saturating_add(1), 0);
            }
        }
    }

    /// Whether the app takes fewer at a time than are released.
    pub(super) fn is_outrun(&self) -> bool {
        self.away.limit > 0 && self.code == StateRepr::Draining
    }

    /// Whether the head of the line, which is in it since this time, may go on now, as far as the app's
    /// absence allows.
    pub(super) fn allowed_by_absence(&self, since: Msec, now: Msec) -> Allowance {
        let Away { limit, next_try, tried_at, trying, .. } = self.away;
        let at = match limit {
            _ if self.is_away() && trying.is_some() => {
                tried_at.after(PATIENCE).min(self.due(since))
            }
            _ if self.is_away() => next_try.min(self.due(since)),
            // Long ones are not waited for: one more goes on from time to time.
            limit if limit > 0 && self.unfinished >= limit => next_try,
            _ => return Allowance::Now,
        };
        if now < at {
            Allowance::At(at)
        } else {
            Allowance::Now
        }
    }

    /// The request in this slot goes on.
    pub(super) fn went_on(&mut self, slot: SlotId, now: Msec) {
        if self.is_away() {
            (self.away.tried_at, self.away.trying) = (now, slot);
        }
        if !self.is_outrun() {
            return;
        }
        let exceeds = self.unfinished >= self.away.limit;
        if exceeds {
            (self.away.limit, self.away.finished) = (self.unfinished.saturating_add(1), 0);
        }
        self.away.exceeded = Flag::from(exceeds);
        self.away.next_try = now.after(LONGEST_TRY);
    }

    /// Its line is empty, a pause ends, or none comes back any more: whether it can be reached is not
    /// known.
    pub fn forget_absence(&mut self) {
        self.away = Away { longest: self.away.longest, ..Away::NONE };
    }
}
