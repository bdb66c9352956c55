//! What became of an app's requests, and how long they were held.
#![forbid(unsafe_code)]

use serde::Serialize;

use crate::time::Msec;

/// What became of an app's requests since it got its entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Were passed on without having been held.
    pub passed: u64,
    /// Were held.
    pub held: u64,
    /// Were passed on after having been held, in their turn.
    pub released: u64,
    /// Released ones that nginx itself answered with 502, 503 or 504.
    pub failed: u64,
    /// Were held for their whole max_time.
    pub expired: u64,
    /// Came when there was no room to hold them.
    pub rejected: u64,
    /// Health checks and privileged requests that were passed on while the app was not open.
    pub bypassed: u64,
    /// Were answered with 503 because of a `stop`, or because nginx quits.
    pub stopped: u64,
    /// Their client left while they were held.
    pub left: u64,
    /// Were held by a worker that died.
    pub lost: u64,
    /// Were passed on, and held because the app never saw them.
    pub away: u64,
}

impl Totals {
    pub const NONE: Self = Self {
        passed: 0,
        held: 0,
        released: 0,
        failed: 0,
        expired: 0,
        rejected: 0,
        bypassed: 0,
        stopped: 0,
        left: 0,
        lost: 0,
        away: 0,
    };
}

/// A histogram of how long requests were held, whatever became of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// A count for each bound: held for this long or less, but longer than the bound before.
    within: [u64; Self::BOUNDS.len()],
    longer: u64,
    sum: Msec,
}

impl Holds {
    /// The upper bounds.
    pub const BOUNDS: [Msec; 10] = [
        Msec(100),
        Msec(500),
        Msec(1_000),
        Msec(2_500),
        Msec(5_000),
        Msec(10_000),
        Msec(30_000),
        Msec(60_000),
        Msec(120_000),
        Msec(300_000),
    ];

    pub const NONE: Self = Self { within: [0; Self::BOUNDS.len()], longer: 0, sum: Msec(0) };

    /// Counts a request that was held for this long.
    pub fn add(&mut self, time: Msec) {
        let bounds = Self::BOUNDS.iter().zip(&mut self.within);
        let bucket = bounds.into_iter().find(|(bound, _)| time <= **bound);
        *bucket.map_or(&mut self.longer, |(_, count)| count) += 1;
        self.sum = self.sum.after(time);
    }

    /// Each bound, with the count of requests that were held for this long or less.
    pub fn up_to(&self) -> impl Iterator<Item = (Msec, u64)> + '_ {
        let mut sum = 0;
        Self::BOUNDS.iter().zip(&self.within).map(move |(bound, count)| {
            sum += count;
            (*bound, sum)
        })
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.within.iter().sum::<u64>() + self.longer
    }

    /// How long all of them were held, in sum.
    pub fn sum(&self) -> Msec {
        self.sum
    }
}

/// Counts what happens too often for a log line each: at most one line a second reports how many.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    unreported: u32,
    reported_at: Msec,
}

impl Tally {
    pub const NONE: Self = Self { unreported: 0, reported_at: Msec(0) };

    /// Counts one. If a log line is due, returns how many it reports.
    pub fn add(&mut self, now: Msec) -> Option<u32> {
        self.unreported = self.unreported.saturating_add(1);
        let due = self.reported_at == Msec(0) || now.since(self.reported_at) >= Msec(1000);
        due.then(|| {
            self.reported_at = now;
            self.take_unreported()
        })
    }

    /// If a log line is due and any are unreported, takes them.
    pub fn due(&mut self, now: Msec) -> Option<u32> {
        let due = self.any_unreported() && now.since(self.reported_at) >= Msec(1000);
        due.then(|| {
            self.reported_at = now;
            self.take_unreported()
        })
    }

    pub fn any_unreported(&self) -> bool {
        self.unreported > 0
    }

    /// How many are unreported; they count as reported from now on.
    pub fn take_unreported(&mut self) -> u32 {
        core::mem::take(&mut self.unreported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_reports_once_a_second_and_counts_all() {
        let mut tally = Tally::default();
        assert_eq!(tally.add(Msec(5000)), Some(1));
        assert_eq!((1..=9).find_map(|ms| tally.add(Msec(5000 + ms))), None);
        assert_eq!(tally.add(Msec(6000)), Some(10));
        tally.add(Msec(6001));
        assert_eq!((tally.due(Msec(6999)), tally.due(Msec(7000))), (None, Some(1)));
        assert_eq!((tally.due(Msec(9000)), tally.add(Msec(7500))), (None, None));
        assert_eq!((tally.take_unreported(), tally.take_unreported()), (1, 0));
    }

    #[test]
    fn each_hold_is_in_one_bucket_and_in_the_sum() {
        let mut holds = Holds::default();
        [0, 100, 101, 300_000, 300_001].into_iter().for_each(|time| holds.add(Msec(time)));
        let up_to: Vec<u64> = holds.up_to().map(|(_, count)| count).collect();
        assert_eq!((up_to[0], up_to[1], up_to[9]), (2, 3, 4));
        assert_eq!((holds.count(), holds.sum()), (5, Msec(600_202)));
    }
}
