//! How many more requests can be held; and if one cannot, what there is too little of.
#![forbid(unsafe_code)]

use core::fmt;

use crate::time::Msec;

/// How many more requests a worker can hold: with a connection each, or as streams of HTTP/2.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub connections: u32,
    pub streams: u32,
}

impl Room {
    /// No room.
    pub const NONE: Self = Self { connections: 0, streams: 0 };

    /// How many more can be held, whichever way they come.
    pub fn of_any_kind(self) -> u32 {
        self.connections.min(self.streams)
    }
}

/// What there is too little of for one more held request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    Connections,
    Streams,
    MaxHeld,
    Zone,
    Workers,
}

impl Lack {
    /// All variants, in the order of their counts.
    pub const ALL: [Self; 5] =
        [Self::Connections, Self::Streams, Self::MaxHeld, Self::Zone, Self::Workers];

    /// The word in JSON and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Streams => "streams",
            Self::MaxHeld => "max_held",
            Self::Zone => "zone",
            Self::Workers => "workers",
        }
    }
}

/// What the operator can make larger.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "worker_connections",
            Self::Streams => "streams of HTTP/2",
            Self::MaxHeld => "intermission_max_held",
            Self::Zone => "intermission_zone",
            Self::Workers => "the worker table",
        })
    }
}

/// How many requests were rejected, by what there was too little of.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected([u64; Lack::ALL.len()]);

impl Rejected {
    /// No counts yet.
    pub const NONE: Self = Self([0; Lack::ALL.len()]);

    /// Counts one.
    pub fn add(&mut self, lack: Lack) {
        if let Some(count) = self.0.get_mut(lack as usize) {
            *count += 1;
        }
    }

    /// The count of each variant.
    pub fn iter(&self) -> impl Iterator<Item = (Lack, u64)> + '_ {
        Lack::ALL.into_iter().zip(self.0)
    }
}

/// What else than the zone bounds how many are held, when a request comes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What the worker has too little of to hold it.
    pub lack: Option<Lack>,
    /// At most this many requests are held for its app.
    pub max_held: u32,
    /// For how long it is held at most if the app never sees it; None if it does not come back.
    pub away: Option<Msec>,
    /// The worker's room once this request is held.
    pub room: Room,
}

impl Bounds {
    /// Bounded by nothing but this.
    #[cfg(any(test, loom))]
    pub fn max_held(max_held: u32) -> Self {
        Self { lack: None, max_held, away: None, room: Room::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lack_has_its_own_count() {
        let mut rejected = Rejected::NONE;
        rejected.add(Lack::Workers);
        rejected.add(Lack::Workers);
        rejected.add(Lack::Connections);
        let counts: Vec<_> = rejected.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(Lack::Connections, 1), (Lack::Workers, 2)]);
    }
}
