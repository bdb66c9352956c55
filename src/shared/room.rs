//! Room: how many more requests can be held, and what there is too little of where one cannot.
#![forbid(unsafe_code)]

use core::fmt;

/// A worker's connections, and the requests that it holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connections {
    pub all: usize,
    /// How many a newcomer can have: what nginx closes for one, above all idle clients, is as good
    /// as free.
    pub free: usize,
    /// How many held requests have a connection of their own.
    pub held: usize,
    /// How many are streams of HTTP/2, which share a connection.
    pub streams: usize,
}

impl Connections {
    /// So many stay free of requests that go on after a hold: below an eighth nginx may stop
    /// accepting, below a sixteenth it closes idle clients.
    pub fn reserve(&self) -> usize {
        (self.all / 8).max(16)
    }

    /// Whether the request that has just come may be held, on a connection of its own. Those held
    /// take five eighths of the connections at the most, and leave a quarter: an eighth for the
    /// release, which needs another one for each, and the reserve for whoever comes while they wait.
    pub fn fits_connection(&self) -> bool {
        self.held < self.share() && self.free > self.kept_free()
    }

    /// Whether a stream of HTTP/2 may be held. A stream costs memory and no connection: so many are
    /// held as the worker has connections, however few of them the streams come over.
    pub fn fits_stream(&self) -> bool {
        self.streams < self.all
    }

    /// How many more of those who come from now on can be held.
    pub fn room(&self) -> Room {
        // Each takes a connection before it is asked whether it may be held.
        let free = self.free.saturating_sub(self.kept_free() + 1);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Room {
            connections: count(self.share().saturating_sub(self.held).min(free)),
            streams: count(self.all.saturating_sub(self.streams)),
        }
    }

    fn share(&self) -> usize {
        self.all.saturating_mul(5) / 8
    }

    fn kept_free(&self) -> usize {
        (self.all / 4).max(self.reserve())
    }
}

/// How many more requests a worker can hold: on a connection each, and as streams of HTTP/2.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub connections: u32,
    pub streams: u32,
}

impl Room {
    /// None.
    pub const NONE: Self = Self { connections: 0, streams: 0 };

    /// How many more can be held, of whatever kind they are.
    pub fn of_any_kind(self) -> u32 {
        self.connections.min(self.streams)
    }
}

/// What is too little of, so that a request cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    Connections,
    Streams,
    MaxHeld,
    Zone,
    Workers,
}

impl Lack {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::Connections, Self::Streams, Self::MaxHeld, Self::Zone, Self::Workers];

    /// A word for it.
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
            Self::Workers => "the table of workers",
        })
    }
}

/// How many requests found no room, by what there was too little of.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected([u64; Lack::ALL.len()]);

impl Rejected {
    /// Nobody.
    pub const NONE: Self = Self([0; Lack::ALL.len()]);

    /// Counts one.
    pub fn add(&mut self, lack: Lack) {
        if let Some(count) = self.0.get_mut(lack as usize) {
            *count += 1;
        }
    }

    /// How many there were of each.
    pub fn iter(&self) -> impl Iterator<Item = (Lack, u64)> + '_ {
        Lack::ALL.into_iter().zip(self.0)
    }
}

/// What bounds how many are held where a request comes, besides the zone.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What its worker has too little of for it.
    pub lack: Option<Lack>,
    /// At most so many are held for its app.
    pub max_held: u32,
    /// The worker's room if this request is held.
    pub room: Room,
}

impl Bounds {
    /// None but so many for the app.
    #[cfg(any(test, loom))]
    pub fn max_held(max_held: u32) -> Self {
        Self { lack: None, max_held, room: Room::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDLE: Connections = Connections { all: 768, free: 760, held: 0, streams: 0 };

    #[test]
    fn an_idle_worker_has_room_on_five_eighths_of_its_connections() {
        assert_eq!(IDLE.room(), Room { connections: 480, streams: 768 });
        assert_eq!(IDLE.room().of_any_kind(), 480);
    }

    #[test]
    fn what_others_use_is_no_room() {
        let busy = Connections { free: 300, ..IDLE };
        assert_eq!(busy.room().connections, 300 - 192 - 1);
        assert_eq!(Connections { free: 100, ..IDLE }.room().connections, 0);
    }

    #[test]
    fn where_no_more_streams_are_held_there_is_no_room_for_any_kind() {
        let full = Connections { streams: 768, ..IDLE };
        assert_eq!((full.room().connections, full.room().of_any_kind()), (480, 0));
    }

    #[test]
    fn each_lack_has_its_own_count() {
        let mut rejected = Rejected::NONE;
        rejected.add(Lack::Workers);
        rejected.add(Lack::Workers);
        rejected.add(Lack::Connections);
        let counts: Vec<_> = rejected.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(Lack::Connections, 1), (Lack::Workers, 2)]);
    }

    proptest! {
        #[test]
        fn as_many_are_held_as_was_said(all in 0usize..2000, free in 0usize..2000, held in 0usize..2000) {
            let mut now = Connections { all, free: free.min(all), held, streams: 0 };
            let said = now.room().connections;
            let mut came = 0;
            while now.free > 0 {
                now.free -= 1;
                if !now.fits_connection() {
                    break;
                }
                now.held += 1;
                came += 1;
            }
            prop_assert_eq!(came, said);
        }
    }
}
