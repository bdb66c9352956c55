//! The parts of a status: its drain, its pace, the requests in flight, the zone's slots.
#![forbid(unsafe_code)]

use core::fmt;

use serde::{Serialize, Serializer};

use super::values::{Seconds, Time};
use crate::ids::{AppId, PauseId};
use crate::shared::app::App;
use crate::shared::oldest::{self, WaitsFor};
use crate::text::{Address, Text};
use crate::time::Msec;
use crate::zone::Zone;

/// How a drain went.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LastDrain {
    /// The pause that it ended.
    #[serde(skip)]
    pub pause: PauseId,
    pub released: u64,
    /// Of these, how many nginx itself has answered with 502, 503 or 504 up to now.
    pub failed: u64,
    pub seconds: Seconds,
    pub ended: Time,
}

/// An app cannot be reached.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Away {
    pub since: Time,
    /// What nginx would have answered: 502 or 504.
    pub status: u32,
}

/// How held requests are released.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DrainPace {
    /// Evenly over this time; 0 if the drain is not spread.
    pub spread: Seconds,
    /// At most this many released requests are unfinished at a time; 0 if there is no such limit.
    pub concurrency: u32,
    /// When the last held request is released, if the drain is spread and has begun.
    pub ends: Option<Time>,
}

impl DrainPace {
    pub(super) fn of(zone: &Zone<'_>, app: &App) -> Self {
        let (pace, now) = (app.pace(), zone.now);
        let ends = app.drain_ends().map(|end| now.wall.after(end.since(now.monotonic)));
        Self { spread: Seconds(pace.spread), concurrency: pace.concurrency, ends: ends.map(Time) }
    }

    pub(super) fn is_one(&self) -> bool {
        self.spread.0 > Msec(0) || self.concurrency > 0
    }
}

/// The end of a line, behind a word such as "released".
impl fmt::Display for DrainPace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.spread.0 > Msec(0) {
            write!(f, " over {} s", self.spread)?;
        }
        self.ends.iter().try_for_each(|ends| write!(f, ", until {ends}"))?;
        match self.concurrency {
            0 => Ok(()),
            most => write!(f, ", at most {most} at a time"),
        }
    }
}

/// How full the zone is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Slots {
    pub used: u32,
    pub total: u32,
}

impl Slots {
    /// Of this zone.
    pub fn of(zone: &Zone<'_>) -> Self {
        let total = u32::try_from(zone.slots.len()).unwrap_or(u32::MAX);
        Self { used: zone.slots_used(), total }
    }
}

/// The oldest requests in flight, the oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Oldest([Option<OneInFlight>; oldest::MAX_TOLD]);

/// A request in flight.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OneInFlight {
    pub method: Text<16>,
    pub uri: Text<128>,
    pub client: Address,
    /// For how long it has been in flight.
    pub seconds: Seconds,
    #[serde(serialize_with = "as_word")]
    pub waits_for: WaitsFor,
}

impl Oldest {
    /// None.
    pub const NONE: Self = Self([None; oldest::MAX_TOLD]);

    /// This one alone.
    #[cfg(test)]
    pub(crate) fn one(one: OneInFlight) -> Self {
        let mut oldest = Self::NONE;
        oldest.0[0] = Some(one);
        oldest
    }

    pub(super) fn of(zone: &Zone<'_>, id: AppId) -> Self {
        let mut oldest = Self::NONE;
        for (place, told) in oldest.0.iter_mut().zip(zone.oldest(id)) {
            *place = Some(OneInFlight {
                method: told.method,
                uri: told.uri,
                client: told.client,
                seconds: Seconds(zone.now.monotonic.since(told.since)),
                waits_for: told.waits_for,
            });
        }
        oldest
    }

    /// The requests.
    pub fn iter(&self) -> impl Iterator<Item = &OneInFlight> {
        self.0.iter().flatten()
    }
}

impl Serialize for Oldest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A line about the request.
impl fmt::Display for OneInFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, uri, client, seconds, waits_for } = self;
        write!(f, "{method} {uri} from {client}, for {seconds} s, waits for {waits_for}")
    }
}

fn as_word<S: Serializer>(waits_for: &WaitsFor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(waits_for.word())
}
