//! The state file: the pauses that a restart is to keep.
//!
//! It has two records, written in turn, so that one is always whole. Each is a line with its
//! number, its length and its checksum, and the pauses as JSON. The valid one with the greater
//! number counts.
#![forbid(unsafe_code)]

mod snapshot;

mod prepare;
mod records;

pub use prepare::Prepared;
pub use records::{length, newest, next_number, place, record, Unusable, LINE, PLACES, RECORD};
pub use snapshot::{Saved, SavedToken, Snapshot, Written};

#[cfg(test)]
mod tests;
