//! A machine's clock: it began at any time, and runs a little too fast or too slow.
#![forbid(unsafe_code)]

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub offset: u64,
    /// In a thousandth of the true rate: 990 to 1010.
    pub rate: u64,
}

impl Clock {
    /// What it shows at this true time, in ms.
    pub(super) fn at(self, time: u64) -> u64 {
        self.offset + time * self.rate / 1000
    }

    pub(super) fn shows(self, time: u64) -> Duration {
        Duration::from_millis(self.at(time))
    }

    /// The first true time at which it shows this or more.
    pub(super) fn when(self, shown: Duration) -> u64 {
        let ms = u64::try_from(shown.as_micros().div_ceil(1000)).unwrap();
        (ms.saturating_sub(self.offset) * 1000).div_ceil(self.rate)
    }
}
