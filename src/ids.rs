//! The identities that shared memory is full of, each a type of its own.
#![forbid(unsafe_code)]

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::time::Msec;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// All ones means none.
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// No entry at all.
            pub const NONE: Self = Self(u32::MAX);

            /// Whether this names an entry.
            pub fn is_some(self) -> bool {
                self != Self::NONE
            }

            /// As an index into the entry's table; past the end of any table where none.
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// From an index into the entry's table.
            pub fn at(index: usize) -> Self {
                u32::try_from(index).map_or(Self::NONE, Self)
            }
        }
    };
}

index! {
    /// An entry of the table of apps.
    AppId
}
index! {
    /// An entry of the table of workers.
    WorkerId
}
index! {
    /// An entry of the pool of ticket slots.
    SlotId
}

index! {
    /// An entry of the table of those who wait for an app to be quiet, or drained.
    WaitId
}

/// A held request's place in its app's line: lower goes first; never used twice by an app.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

impl Ticket {
    /// The ticket behind this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A pause's number: greater than that of each pause before it; 0 where there was none yet. Below
/// 2^53, so that JSON's readers do not round it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PauseId(pub u64);

impl PauseId {
    /// The number before the first one of a zone that is made at this time, by the wall's clock: the
    /// milliseconds since 2020. No zone made before has come so far, unless it had a pause every
    /// millisecond, or the clock went back.
    pub fn before_first(made: Msec) -> Self {
        const YEAR_2020: Msec = Msec(1_577_836_800_000);
        Self(made.since(YEAR_2020).0)
    }
}

/// What a worker knows its held request by: it means nothing to any other process.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cookie(pub u64);

/// Which of nginx's configurations a worker serves: each reload's number is greater by one.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(pub u32);

/// A process and when it started, in clock ticks since boot (proc(5), stat, field 22): together
/// they are not used twice. Tick 0 where that could not be read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub started: u64,
    pub pid: i32,
}

/// An app's name, as its gate knows it: never 0. Two names may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameHash(pub(crate) u64);

impl NameHash {
    /// The same in all processes of one build.
    pub fn of(name: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish() | 1)
    }
}

/// Counts the changes that workers must have seen before their counts mean anything: apps that get
/// an entry, and pauses that begin.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);
