//! A clock that shows unix time and never steps back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    start_unix: Duration,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let start_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_unix }
    }

    /// Unix time in µs.
    pub(crate) fn now(&self) -> u64 {
        (self.start_unix + self.start.elapsed()).as_micros() as u64
    }
}
