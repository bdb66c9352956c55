//! Requests that nginx was done with before the app was: how many, and how many of late.
#![forbid(unsafe_code)]

use core::fmt;

use crate::time::Msec;

/// What one worker counts of one app, or all workers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GivenUp {
    /// How many there were.
    pub total: u32,
    /// The number of the span that the newest of the counts is of, from 0 on.
    pub span: u32,
    /// A count for each of [`SPANS`], 12 bits each; the newest has the lowest.
    pub recent: u64,
}

/// Together they are a minute and the span under way.
const SPANS: u32 = 5;
const SPAN: Msec = Msec(15_000);
const BITS: u32 = 12;
const MAX_COUNT: u64 = (1 << BITS) - 1;

impl GivenUp {
    /// None.
    pub const NONE: Self = Self { total: 0, span: 0, recent: 0 };

    /// With one more, at this time on the monotonic clock.
    #[must_use]
    pub fn and_one(self, now: Msec) -> Self {
        self.and(Self { total: 1, span: span_of(now), recent: 1 })
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let span = self.span.max(other.span);
        let (one, two) = (self.recent_at(span), other.recent_at(span));
        let counts =
            (0..SPANS).map(|at| (count(one, at) + count(two, at)).min(MAX_COUNT) << (BITS * at));
        Self { total: self.total.saturating_add(other.total), span, recent: counts.sum() }
    }

    /// How many there were within the last minute; up to a quarter of one more is counted.
    pub fn lately(self, now: Msec) -> u32 {
        let recent = self.recent_at(span_of(now));
        (0..SPANS).map(|at| count(recent, at) as u32).sum()
    }

    /// The counts as they are when this span is the newest.
    fn recent_at(self, span: u32) -> u64 {
        let later = span.saturating_sub(self.span);
        let counts = self.recent.checked_shl(later.saturating_mul(BITS)).unwrap_or(0);
        counts & ((1 << (BITS * SPANS)) - 1)
    }
}

/// How many requests nginx gave up lately, while the app may still work on them. At least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned(u32);

impl Abandoned {
    /// Returns None if there are none.
    pub fn new(count: u32) -> Option<Self> {
        (count > 0).then_some(Self(count))
    }
}

/// A line about them.
impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} given up within the last minute, the app may still be at them", self.0)
    }
}

fn span_of(now: Msec) -> u32 {
    u32::try_from(now.0 / SPAN.0).unwrap_or(u32::MAX)
}

fn count(counts: u64, at: u32) -> u64 {
    counts >> (BITS * at) & MAX_COUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(times: &[u64]) -> GivenUp {
        times.iter().fold(GivenUp::NONE, |sum, time| sum.and_one(Msec(*time)))
    }

    #[test]
    fn one_counts_for_a_minute_and_no_more_than_a_quarter_longer() {
        for first in [0, 7_000, 14_999, 15_000, 1_000_000] {
            let one = at(&[first]);
            assert_eq!(one.lately(Msec(first + 60_000)), 1);
            assert_eq!(one.lately(Msec(first + 75_000)), 0);
            assert_eq!((one.lately(Msec(u64::MAX)), one.total), (0, 1));
        }
    }

    #[test]
    fn two_workers_counts_are_together_what_one_would_have_counted() {
        let (one, two) = (at(&[1_000, 20_000, 95_000]), at(&[16_000, 62_000]));
        let both = at(&[1_000, 16_000, 20_000, 62_000, 95_000]);
        assert_eq!((one.and(two), two.and(one)), (both, both));
        assert_eq!((both.total, both.lately(Msec(95_000))), (5, 2));
        assert_eq!(both.and(GivenUp::NONE), both);
    }

    #[test]
    fn what_is_too_many_stays_the_most() {
        let many = (0..5_000).fold(GivenUp::NONE, |sum, _| sum.and_one(Msec(0)));
        assert_eq!((many.lately(Msec(0)), many.total), (4095, 5_000));
        assert_eq!(many.and(many).lately(Msec(15_000)), 4095);
        let full = GivenUp { total: u32::MAX, ..many };
        assert_eq!(full.and_one(Msec(0)).total, u32::MAX);
    }
}
