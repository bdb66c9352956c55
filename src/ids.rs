//! Numbers that identify things in shared memory, each a type of its own.
#![forbid(unsafe_code)]

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::time::Msec;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// [`Self::NONE`], all ones, is no entry.
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub u32);

        impl $name {
            pub const NONE: Self = Self(u32::MAX);

            pub fn is_some(self) -> bool {
                self != Self::NONE
            }

            /// The index into the table. That of [`Self::NONE`] is past the end of every table.
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// The entry with this index.
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
    /// An entry of the worker table.
    WorkerId
}
index! {
    /// An entry of the pool of ticket slots.
    SlotId
}

index! {
    /// An entry of the table of callers that wait.
    WaitId
}

/// A held request's place in the line of its app: the lower one goes first. No app uses one twice.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub i64);

impl Ticket {
    /// That of a request which was passed on and came back. It is lower than all that are given out;
    /// of two such requests, the one that arrived first has the lower one. `arrived` is on the
    /// monotonic clock; the ticket that it was given decides within a millisecond. The same if it came
    /// back before.
    pub fn back(self, arrived: Msec) -> Self {
        // For 34 years.
        const TIME: u32 = 40;
        const GIVEN: u32 = 63 - TIME;
        if self.came_back() {
            return self;
        }
        let time = arrived.0.min((1 << TIME) - 1) << GIVEN;
        let given = self.0.unsigned_abs() & ((1 << GIVEN) - 1);
        Self(i64::MIN.saturating_add_unsigned(time | given))
    }

    /// Whether its request was passed on and came back.
    pub fn came_back(self) -> bool {
        self < Self(0)
    }

    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A fencing token: a caller's number, greater than those of all callers before it. 0 is none. Below
/// 2^53, so that readers of JSON do not round it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

impl Token {
    pub const GREATEST: Self = Self((1 << 53) - 1);
}

/// The number of a pause: greater than that of every earlier pause of any app. 0 is no pause. Below
/// 2^53, so that readers of JSON do not round it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PauseId(pub u64);

impl PauseId {
    /// The number from which a new zone counts on: the milliseconds since 2020. `made` is when the
    /// zone is made, on the wall clock. An earlier zone has only lower numbers, unless it had a pause
    /// every millisecond or the clock was set back.
    pub fn before_first(made: Msec) -> Self {
        const YEAR_2020: Msec = Msec(1_577_836_800_000);
        Self(made.since(YEAR_2020).0)
    }
}

/// What a worker knows its own request or caller by. It means nothing to other processes.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cookie(pub u64);

/// Which of nginx's configurations a worker serves. Each reload adds one.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(pub u32);

/// A process: its pid, and when it started, in clock ticks since boot (proc(5), stat, field 22). No
/// two processes have both in common. `started` is 0 if it could not be read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub started: u64,
    pub pid: i32,
}

/// The hash of an app's name, never 0. Two names may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameHash(pub(crate) u64);

impl NameHash {
    /// Equal in all processes that run the same build.
    pub fn of(name: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish() | 1)
    }
}

/// Counts the changes that a worker must have seen before its counts can be used: apps that got an
/// entry, pauses that began, and questions about requests in flight.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);
