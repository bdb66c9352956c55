//! A worker's connections: held requests leave enough for everything else, and the release never
//! uses them up.
#![forbid(unsafe_code)]

use crate::shared::room::{Bounds, Lack, Room};

/// At most this many requests are released before the event loop goes on.
const MAX_BATCH: usize = 256;

/// A worker's connections, and the requests that it holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connections {
    pub all: usize,
    /// How many a new client can have. Connections that nginx closes for one, such as idle
    /// keep-alive connections, count as free.
    pub free: usize,
    /// How many held requests have a connection of their own.
    pub held: usize,
    /// How many held requests are streams of HTTP/2, which share a connection.
    pub streams: usize,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On a connection of its own.
    Connection,
    /// As a stream of HTTP/2.
    Stream,
}

impl Connections {
    /// Whether the request that has just come may be held, and how many more may be then. At most
    /// `max_held` requests are held for its app.
    pub fn bounds(self, kind: Kind, max_held: u32) -> Bounds {
        let (fits, lack, with_it) = match kind {
            Kind::Connection => {
                let with_it = Self { held: self.held + 1, ..self };
                (self.fits_connection(), Lack::Connections, with_it)
            }
            Kind::Stream => {
                let with_it = Self { streams: self.streams + 1, ..self };
                (self.fits_stream(), Lack::Streams, with_it)
            }
        };
        Bounds { lack: (!fits).then_some(lack), max_held, away: None, room: with_it.room() }
    }

    /// How many more requests can be held.
    pub fn room(&self) -> Room {
        // A request takes a connection before it is decided whether it may be held.
        let free = self.free.saturating_sub(self.kept_free() + 1);
        Room {
            connections: count(self.max_held().saturating_sub(self.held).min(free)),
            streams: count(self.all.saturating_sub(self.streams)),
        }
    }

    /// How many held requests may be released before the event loop goes on, while `released` are
    /// unfinished. `starting` counts those of them that have no connection to the app yet.
    ///
    /// At least one if none is unfinished: then no request would make room for it.
    pub fn for_release(&self, released: usize, starting: impl FnOnce() -> usize) -> u32 {
        let spare = self.free.saturating_sub(self.reserve());
        let room = if spare >= MAX_BATCH + released {
            MAX_BATCH
        } else {
            spare.saturating_sub(starting())
        };
        count(room).max(u32::from(released == 0))
    }

    /// Held requests take five eighths of the connections at most, and leave a quarter free: an
    /// eighth for the release, which needs a second connection for each, and the reserve.
    fn fits_connection(&self) -> bool {
        self.held < self.max_held() && self.free > self.kept_free()
    }

    /// A stream costs memory and no connection: at most as many are held as the worker has
    /// connections.
    fn fits_stream(&self) -> bool {
        self.streams < self.all
    }

    fn max_held(&self) -> usize {
        self.all.saturating_mul(5) / 8
    }

    fn kept_free(&self) -> usize {
        (self.all / 4).max(self.reserve())
    }

    /// This many stay free when requests are released: below an eighth nginx may stop accepting, below
    /// a sixteenth it closes idle clients.
    fn reserve(&self) -> usize {
        (self.all / 8).max(16)
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
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
    fn connections_in_use_are_no_room() {
        let busy = Connections { free: 300, ..IDLE };
        assert_eq!(busy.room().connections, 300 - 192 - 1);
        assert_eq!(Connections { free: 100, ..IDLE }.room().connections, 0);
    }

    #[test]
    fn a_worker_that_can_hold_no_more_streams_has_no_room_of_any_kind() {
        let full = Connections { streams: 768, ..IDLE };
        assert_eq!((full.room().connections, full.room().of_any_kind()), (480, 0));
    }

    #[test]
    fn streams_and_connections_are_bounded_separately() {
        let full = Connections { held: 480, ..IDLE };
        assert_eq!(full.bounds(Kind::Connection, 9).lack, Some(Lack::Connections));
        let stream = full.bounds(Kind::Stream, 9);
        assert_eq!((stream.lack, stream.max_held, stream.room.streams), (None, 9, 767));
        let full = Connections { streams: 768, ..IDLE };
        assert_eq!(full.bounds(Kind::Stream, 9).lack, Some(Lack::Streams));
        let held = full.bounds(Kind::Connection, 9);
        assert_eq!((held.lack, held.room.connections), (None, 479));
    }

    #[test]
    fn the_release_keeps_a_reserve_and_counts_those_without_a_connection() {
        assert_eq!(IDLE.for_release(9, || panic!("there is plenty")), 256);
        let busy = Connections { free: 96 + 50, ..IDLE };
        assert_eq!(busy.for_release(30, || 20), 30);
        assert_eq!(busy.for_release(60, || 60), 0);
    }

    #[test]
    fn one_is_released_whatever_is_free_if_no_released_one_is_unfinished() {
        let full = Connections { free: 0, ..IDLE };
        assert_eq!((full.for_release(0, || 0), full.for_release(1, || 0)), (1, 0));
    }

    proptest! {
        #[test]
        fn as_many_can_be_held_as_was_said(all in 0usize..2000, free in 0usize..2000, held in 0usize..2000) {
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
