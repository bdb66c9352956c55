//! The values in a status, and how they are written.
#![forbid(unsafe_code)]

use core::fmt;

use serde::{Serialize, Serializer};

use crate::ids::PauseId;
use crate::shared::app::Ender;
use crate::time::{rfc3339, Msec};

/// A pause's number.
#[derive(Clone, Copy, Debug)]
pub struct PauseNumber(pub PauseId);

impl Serialize for PauseNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0 .0)
    }
}

/// A point in time: RFC 3339, UTC, with milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub Msec);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        rfc3339(self.0).fmt(f)
    }
}

impl Time {
    /// In seconds since 1970.
    pub fn as_f64(self) -> f64 {
        Seconds(self.0).as_f64()
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration, written in seconds with up to three decimals.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub Msec);

impl Seconds {
    /// In seconds.
    pub fn as_f64(self) -> f64 {
        self.0 .0 as f64 / 1000.0
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_f64().fmt(f)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

/// What ended a pause: a caller, the lease or a rollback.
#[derive(Clone, Copy, Debug)]
pub struct DrainedBy(pub Ender);

impl Serialize for DrainedBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Ender::Nobody => serializer.serialize_none(),
            Ender::Caller(by) | Ender::Holder(by) => by.serialize(serializer),
            Ender::Lease => serializer.serialize_str("lease"),
            Ender::Rollback => serializer.serialize_str("rollback"),
        }
    }
}
