//! One pause over many nginx: an agent beside each nginx, a caller, and etcd between them.
//!
//! Here are only the rules: events in, actions out. There is no I/O and no clock: all times are
//! passed in, and count from any moment on the machine's own monotonic clock. Nothing compares the
//! clocks of two machines. docs/fleet.md tells it from the outside.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod agent;
pub mod barrier;
pub mod caller;
pub mod keys;
pub mod snapshot;
pub mod values;

#[cfg(test)]
mod tests;
