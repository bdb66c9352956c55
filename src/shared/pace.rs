//! The pace of a drain: at once, spread over a time, a number of requests at a time, or both.
#![forbid(unsafe_code)]

use core::fmt;

use crate::time::Msec;

/// What the operator asks for. Zero is no limit, in either.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The requests held at the end of the pause are released evenly over this time.
    pub spread: Msec,
    /// At most this many released requests are unfinished at a time.
    pub concurrency: u32,
}

/// How far a drain has come at its [`Pace`].
///
/// It goes in rounds. The first round releases the requests that the pause held; the next one those
/// that came during the first, twice as fast or in half the time; and so on until none are left.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pace: Pace,
    /// How many are released within [`Pace::spread`] in the first round.
    count: u64,
    began: Msec,
    released: u64,
    doublings: u32,
}

/// Whether the next one may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Yes.
    Now,
    /// At this time, on the monotonic clock.
    At(Msec),
    /// When a released request is finished.
    Full,
}

impl Pace {
    /// Whether all are released at once.
    pub fn is_unlimited(self) -> bool {
        self == Self::default()
    }
}

/// As log lines show it; empty if all are released at once.
impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.spread > Msec(0) {
            write!(f, ", spread over {} s", self.spread.seconds())?;
        }
        match self.concurrency {
            0 => Ok(()),
            limit => write!(f, ", {limit} at a time"),
        }
    }
}

impl Progress {
    pub const NONE: Self = Self {
        pace: Pace { spread: Msec(0), concurrency: 0 },
        count: 0,
        began: Msec(0),
        released: 0,
        doublings: 0,
    };

    /// The first round of a drain, of `held` requests.
    pub fn begin(pace: Pace, held: u32, now: Msec) -> Self {
        Self { pace, count: u64::from(held.max(1)), began: now, released: 0, doublings: 0 }
    }

    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// When this round ends, on the monotonic clock. None without a spread.
    pub fn ends(&self) -> Option<Msec> {
        let spread = self.pace.spread.0 >> self.doublings.min(63);
        (self.pace.spread > Msec(0)).then(|| self.began.after(Msec(spread)))
    }

    /// Begins the next round, of `held` requests. However many they are, it takes at most half as long
    /// as the round before could have taken.
    pub fn next_round(&mut self, held: u32, now: Msec) {
        self.count = self.count.max(u64::from(held));
        self.doublings = self.doublings.saturating_add(1).min(32);
        self.began = now;
        self.released = 0;
    }

    pub fn release_one(&mut self) {
        self.released = self.released.saturating_add(1);
    }

    /// One that was released is to be released once more.
    pub fn take_back_one(&mut self) {
        self.released = self.released.saturating_sub(1);
    }

    /// The rest of this round comes later: it stood still from `since` until `now`.
    pub fn stood_still(&mut self, since: Msec, now: Msec) {
        self.began = self.began.after(now.since(since.max(self.began)));
    }

    /// Whether the next request may go on, while `unfinished` released ones are unfinished.
    pub fn allowance(&self, unfinished: u32, now: Msec) -> Allowance {
        let limit = match self.pace.concurrency {
            0 => u32::MAX,
            limit => limit.saturating_mul(1 << self.doublings.min(16)),
        };
        if unfinished >= limit {
            Allowance::Full
        } else if self.due(now.since(self.began)) > self.released {
            Allowance::Now
        } else {
            Allowance::At(self.began.after(self.time_of(self.released)))
        }
    }

    /// How many are due after this part of the round: one at its beginning, then evenly.
    fn due(&self, elapsed: Msec) -> u64 {
        match self.pace.spread {
            Msec(0) => u64::MAX,
            Msec(spread) => {
                let count = u128::from(self.count) << self.doublings;
                let due = u128::from(elapsed.0).saturating_mul(count) / u128::from(spread);
                u64::try_from(due).unwrap_or(u64::MAX).saturating_add(1)
            }
        }
    }

    /// When the request behind `released` others is due, from the beginning of the round.
    fn time_of(&self, released: u64) -> Msec {
        let count = u128::from(self.count) << self.doublings;
        let time = u128::from(released).saturating_mul(u128::from(self.pace.spread.0));
        Msec(u64::try_from(time.div_ceil(count.max(1))).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_a_pace_all_are_released_at_once() {
        let progress = Progress::begin(Pace::default(), 7, Msec(0));
        assert_eq!(progress.allowance(1000, Msec(0)), Allowance::Now);
    }

    #[test]
    fn a_spread_is_even_and_ends_in_time() {
        let pace = Pace { spread: Msec(5000), concurrency: 0 };
        let mut progress = Progress::begin(pace, 500, Msec(100));
        let mut times = vec![];
        let mut now = Msec(100);
        while times.len() < 500 {
            match progress.allowance(0, now) {
                Allowance::Now => {
                    times.push(now.0 - 100);
                    progress.release_one();
                }
                Allowance::At(at) => {
                    assert!(at > now);
                    now = at;
                }
                Allowance::Full => panic!("no concurrency was asked for"),
            }
        }
        assert!(times.iter().enumerate().all(|(i, t)| *t == 10 * i as u64), "{times:?}");
    }

    #[test]
    fn a_concurrency_bounds_the_unfinished_and_doubles_each_round() {
        let pace = Pace { spread: Msec(0), concurrency: 3 };
        let mut progress = Progress::begin(pace, 500, Msec(0));
        assert_eq!(progress.allowance(2, Msec(0)), Allowance::Now);
        assert_eq!(progress.allowance(3, Msec(0)), Allowance::Full);
        progress.next_round(5, Msec(0));
        assert_eq!(progress.allowance(5, Msec(0)), Allowance::Now);
        assert_eq!(progress.allowance(6, Msec(0)), Allowance::Full);
    }

    proptest! {
        #[test]
        fn a_request_may_go_on_at_the_time_that_was_said(
            spread in 1u64..100_000_000,
            held in 0u32..1_000_000,
            released in 0u64..2_000_000,
            rounds in 0u32..70,
            elapsed in 0u64..200_000_000,
        ) {
            let pace = Pace { spread: Msec(spread), concurrency: 0 };
            let mut progress = Progress::begin(pace, held, Msec(50));
            (0..rounds).for_each(|_| progress.next_round(held / 2, Msec(50)));
            progress.released = released;
            if let Allowance::At(at) = progress.allowance(0, Msec(50 + elapsed)) {
                prop_assert!(at.0 > 50 + elapsed);
                prop_assert!(matches!(progress.allowance(0, at), Allowance::Now));
            }
        }
    }
}
