//! An app's oldest requests in flight, which workers report when they are asked.
#![forbid(unsafe_code)]

use crate::ids::{Epoch, WorkerId};
use crate::text::{Address, Text};
use crate::time::Msec;
use core::fmt;

/// How many are kept for each app.
pub const MAX_TOLD: usize = 3;

/// A request in flight, as its worker reports it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub owner: WorkerId,
    pub waits_for: WaitsFor,
    /// When it was passed on, on the monotonic clock.
    pub since: Msec,
    pub method: Text<16>,
    /// As the client sent it; cut off if it is longer.
    pub uri: Text<128>,
    pub client: Address,
}

/// What a request in flight waits for.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// For the client to send the rest of the body.
    ClientsBody,
    /// For the app to accept a connection.
    Connection,
    /// For the app to answer.
    App,
    /// For the client to take the answer: only then can the app send the rest.
    Client,
    /// For nginx itself.
    Nginx,
}

impl WaitsFor {
    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::ClientsBody => "client's body",
            Self::Connection => "connection",
            Self::App => "app",
            Self::Client => "client",
            Self::Nginx => "nginx",
        }
    }
}

/// Finishes the sentence "it waits for …".
impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientsBody => "the client's body",
            Self::Connection => "a connection to the app",
            Self::App => "the app",
            Self::Client => "the client to take the answer",
            Self::Nginx => "nginx",
        })
    }
}

/// Up to [`MAX_TOLD`] requests, the oldest first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Oldest {
    /// The question that they answer. Those of older questions are forgotten.
    round: Epoch,
    told: [Option<Told>; MAX_TOLD],
}

impl Oldest {
    /// Before the first question.
    pub const NONE: Self = Self { round: Epoch(0), told: [None; MAX_TOLD] };

    /// Adds one if it is among the oldest.
    pub fn add(&mut self, round: Epoch, told: Told) {
        if self.round != round {
            *self = Self { round, ..Self::NONE };
        }
        let mut next = Some(told);
        for entry in &mut self.told {
            let is_older = |one: Told| entry.is_none_or(|other| one.since < other.since);
            if next.is_some_and(is_older) {
                core::mem::swap(entry, &mut next);
            }
        }
    }

    /// The answers to this question.
    pub fn of(&self, round: Epoch) -> impl Iterator<Item = Told> + '_ {
        let told = self.told.iter().flatten().filter(move |_| self.round == round);
        told.copied()
    }

    /// Forgets those of a worker that is gone.
    pub fn reap(&mut self, owner: WorkerId) {
        let (round, others) = (self.round, self.told);
        *self = Self { round, ..Self::NONE };
        let others = others.into_iter().flatten().filter(|told| told.owner != owner);
        others.for_each(|told| self.add(round, told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(owner: u32, since: u64) -> Told {
        Told {
            owner: WorkerId(owner),
            waits_for: WaitsFor::App,
            since: Msec(since),
            method: Text::EMPTY,
            uri: Text::EMPTY,
            client: Text::EMPTY,
        }
    }

    fn since(oldest: &Oldest, round: u64) -> Vec<u64> {
        oldest.of(Epoch(round)).map(|told| told.since.0).collect()
    }

    #[test]
    fn the_three_oldest_of_all_workers_are_kept() {
        let mut oldest = Oldest::NONE;
        for (owner, time) in [(1, 50), (2, 20), (1, 60), (2, 10), (1, 30), (2, 20)] {
            oldest.add(Epoch(7), told(owner, time));
        }
        assert_eq!(since(&oldest, 7), [10, 20, 20]);
    }

    #[test]
    fn an_answer_to_an_older_question_is_forgotten() {
        let mut oldest = Oldest::NONE;
        oldest.add(Epoch(7), told(1, 10));
        assert!(since(&oldest, 8).is_empty());
        oldest.add(Epoch(8), told(1, 20));
        assert_eq!(since(&oldest, 8), [20]);
        assert!(since(&oldest, 7).is_empty());
    }

    #[test]
    fn the_requests_of_a_dead_worker_are_forgotten() {
        let mut oldest = Oldest::NONE;
        for (owner, time) in [(1, 10), (2, 20), (1, 30)] {
            oldest.add(Epoch(7), told(owner, time));
        }
        oldest.reap(WorkerId(1));
        assert_eq!(since(&oldest, 7), [20]);
        oldest.add(Epoch(7), told(2, 25));
        assert_eq!(since(&oldest, 7), [20, 25]);
    }
}
