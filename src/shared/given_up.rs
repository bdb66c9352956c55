//! Counts requests that nginx gave up before the app was done: all of them, and those of the last
//! minute.
#![forbid(unsafe_code)]

use core::fmt;

use crate::text::Counted;
use crate::time::Msec;

/// The counts of one worker for one app, or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GivenUp {
    /// Since the counting began.
    pub total: u32,
    /// The span that the newest count is for: the monotonic clock divided by [`SPAN`].
    pub span: u32,
    /// A count for each of the last [`SPANS`] spans, [`BITS`] bits each, the newest in the lowest.
    pub recent: u64,
}

/// The last minute, and the span that has begun.
const SPANS: u32 = 5;
const SPAN: Msec = Msec(15_000);
const BITS: u32 = 12;
const MAX_COUNT: u64 = (1 << BITS) - 1;

impl GivenUp {
    pub const NONE: Self = Self { total: 0, span: 0, recent: 0 };

    /// One more, at `now` on the monotonic clock.
    #[must_use]
    pub fn and_one(self, now: Msec) -> Self {
        self.and(Self { total: 1, span: span_of(now), recent: 1 })
    }

    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let span = self.span.max(other.span);
        let (one, two) = (self.recent_at(span), other.recent_at(span));
        let counts =
            (0..SPANS).map(|at| (count(one, at) + count(two, at)).min(MAX_COUNT) << (BITS * at));
        Self { total: self.total.saturating_add(other.total), span, recent: counts.sum() }
    }

    /// How many there were in the last minute; some up to 15 s older may be counted too.
    pub fn lately(self, now: Msec) -> u32 {
        let recent = self.recent_at(span_of(now));
        (0..SPANS).map(|at| count(recent, at) as u32).sum()
    }

    /// The counts, moved so that `span` is the newest one.
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
        let them = if self.0 == 1 { "it" } else { "them" };
        write!(
            f,
            "nginx gave up {} within the last minute: the app may still work on {them}",
            Counted(self.0, "request")
        )
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
    fn a_request_counts_for_at_least_60_and_at_most_75_seconds() {
        for first in [0, 7_000, 14_999, 15_000, 1_000_000] {
            let one = at(&[first]);
            assert_eq!(one.lately(Msec(first + 60_000)), 1);
            assert_eq!(one.lately(Msec(first + 75_000)), 0);
            assert_eq!((one.lately(Msec(u64::MAX)), one.total), (0, 1));
        }
    }

    #[test]
    fn the_sum_of_two_workers_is_what_one_would_have_counted() {
        let (one, two) = (at(&[1_000, 20_000, 95_000]), at(&[16_000, 62_000]));
        let both = at(&[1_000, 16_000, 20_000, 62_000, 95_000]);
        assert_eq!((one.and(two), two.and(one)), (both, both));
        assert_eq!((both.total, both.lately(Msec(95_000))), (5, 2));
        assert_eq!(both.and(GivenUp::NONE), both);
    }

    #[test]
    fn a_count_stops_at_its_largest_value() {
        let many = (0..5_000).fold(GivenUp::NONE, |sum, _| sum.and_one(Msec(0)));
        assert_eq!((many.lately(Msec(0)), many.total), (4095, 5_000));
        assert_eq!(many.and(many).lately(Msec(15_000)), 4095);
        let full = GivenUp { total: u32::MAX, ..many };
        assert_eq!(full.and_one(Msec(0)).total, u32::MAX);
    }
}
