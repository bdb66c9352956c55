//! How long a host may hold.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::local::Manner;
use crate::values::Pause;

/// Below this a lease is not worth a call.
pub(super) const LEAST: Duration = Duration::from_millis(500);

/// Whether the hard end has come. A beat of any age may be new.
pub(super) fn is_over(now: Duration, since: Option<Duration>, pause: &Pause) -> bool {
    since.is_some_and(|since| now >= since.saturating_add(pause.hold.time()))
}

/// How long an `enable` that is sent now may ask for: whenever it arrives, its lease is over by the
/// hard end. Returns None if that is too short, or if the beat may be of any age.
pub(super) fn lease(
    now: Duration,
    since: Option<Duration>,
    pause: &Pause,
    manner: &Manner,
) -> Option<Duration> {
    let end = since?.saturating_add(pause.hold.time());
    let lease = end.saturating_sub(now).saturating_sub(manner.slack);
    (lease >= LEAST).then_some(lease)
}
