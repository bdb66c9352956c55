//! What became of an app's requests, and how long they were held.
#![forbid(unsafe_code)]

use serde::Serialize;

use crate::time::Msec;

/// What became of an app's requests since it was first paused.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Went on without having been held.
    pub passed: u64,
    /// Took a ticket.
    pub held: u64,
    /// Were passed on in their turn.
    pub released: u64,
    /// Of those released: nginx itself answered 502, 503 or 504.
    pub failed: u64,
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

impl Totals {
    /// Of nobody.
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
    };
}

/// How long those were held who are held no longer: whatever became of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// How many were held no longer than each of [`Self::BOUNDS`], but longer than the one before.
    within: [u64; Self::BOUNDS.len()],
    longer: u64,
    sum: Msec,
}

impl Holds {
    /// The histogram's bounds, in ms.
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

    /// Of nobody.
    pub const NONE: Self = Self { within: [0; Self::BOUNDS.len()], longer: 0, sum: Msec(0) };

    /// One was held for so long.
    pub fn add(&mut self, time: Msec) {
        let bounds = Self::BOUNDS.iter().zip(&mut self.within);
        let bucket = bounds.into_iter().find(|(bound, _)| time <= **bound);
        *bucket.map_or(&mut self.longer, |(_, count)| count) += 1;
        self.sum = self.sum.after(time);
    }

    /// How many were held for no longer than each bound.
    pub fn up_to(&self) -> impl Iterator<Item = (Msec, u64)> + '_ {
        let mut sum = 0;
        Self::BOUNDS.iter().zip(&self.within).map(move |(bound, count)| {
            sum += count;
            (*bound, sum)
        })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.within.iter().sum::<u64>() + self.longer
    }

    /// For how long they were held, all together.
    pub fn sum(&self) -> Msec {
        self.sum
    }
}

/// Counts what happens too often to be logged each time: one line a second says how many.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    unreported: u32,
    reported_at: Msec,
}

impl Tally {
    /// Of nobody.
    pub const NONE: Self = Self { unreported: 0, reported_at: Msec(0) };

    /// Counts one; returns how many to report where a report is due.
    pub fn add(&mut self, now: Msec) -> Option<u32> {
        self.unreported = self.unreported.saturating_add(1);
        let due = self.reported_at == Msec(0) || now.since(self.reported_at) >= Msec(1000);
        due.then(|| {
            self.reported_at = now;
            self.take_unreported()
        })
    }

    /// How many are not reported yet, where a report is due; they count as reported from now on.
    pub fn due(&mut self, now: Msec) -> Option<u32> {
        let due = self.any_unreported() && now.since(self.reported_at) >= Msec(1000);
        due.then(|| {
            self.reported_at = now;
            self.take_unreported()
        })
    }

    /// Whether any are not reported yet.
    pub fn any_unreported(&self) -> bool {
        self.unreported > 0
    }

    /// How many are not reported yet; they count as reported from now on.
    pub fn take_unreported(&mut self) -> u32 {
        core::mem::take(&mut self.unreported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_speaks_once_a_second_and_forgets_nobody() {
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
    fn every_hold_is_in_one_bucket_and_in_the_sum() {
        let mut holds = Holds::default();
        [0, 100, 101, 300_000, 300_001].into_iter().for_each(|time| holds.add(Msec(time)));
        let up_to: Vec<u64> = holds.up_to().map(|(_, count)| count).collect();
        assert_eq!((up_to[0], up_to[1], up_to[9]), (2, 3, 4));
        assert_eq!((holds.count(), holds.sum()), (5, Msec(600_202)));
    }
}
