//! The pace of a drain in the model: the time of each request is computed by itself.
#![forbid(unsafe_code)]

use super::*;

/// A round of a drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub pace: Pace,
    /// How many go on within the spread, in a first round; twice as many in each further one.
    count: u128,
    doublings: u32,
    began: Msec,
    released: u128,
}

/// When the next request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    At(Msec),
    WhenOneIsFinished,
}

impl Round {
    pub(super) fn first(pace: Pace, held: usize, now: Msec) -> Self {
        let count = held.max(1) as u128;
        Self { pace, count, doublings: 0, began: now, released: 0 }
    }

    pub(super) fn follows(&mut self, held: usize, now: Msec) {
        self.count = self.count.max(held as u128);
        (self.began, self.released) = (now, 0);
        self.doublings += 1;
    }

    pub(super) fn release_one(&mut self) {
        self.released += 1;
    }

    pub(super) fn take_back_one(&mut self) {
        self.released = self.released.saturating_sub(1);
    }

    pub(super) fn stood_still(&mut self, since: Msec, now: Msec) {
        let before = since.0.saturating_sub(self.began.0);
        self.began = Msec(now.0 - before);
    }

    /// At most so many are unfinished.
    pub(super) fn max_unfinished(&self) -> usize {
        match self.pace.concurrency {
            0 => usize::MAX,
            limit => (limit as usize) << self.doublings.min(16),
        }
    }

    /// The first request goes on when the round begins, the others in even steps.
    pub(super) fn next(&self, unfinished: usize, now: Msec) -> Next {
        if unfinished >= self.max_unfinished() {
            return Next::WhenOneIsFinished;
        }
        let share = self.released * u128::from(self.pace.spread.0);
        let time = share.div_ceil(self.count << self.doublings);
        match self.began.after(Msec(time as u64)) {
            at if at > now => Next::At(at),
            _ => Next::Now,
        }
    }
}
