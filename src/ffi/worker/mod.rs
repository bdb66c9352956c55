//! The zone as processes share it, and this process.

pub(crate) mod disk;
pub(crate) mod writer;

#[cfg(feature = "faults")]
mod faults;
mod lock;
pub(crate) mod doorbell;
pub(crate) mod state_file;
pub(crate) mod unlisted;
pub(crate) mod zone;

pub(crate) mod reap;

pub(crate) mod channel;
pub(crate) mod entry;
pub(crate) mod workers;
