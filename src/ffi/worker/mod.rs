//! The zone as processes share it, and this process.

pub(crate) mod hooks;

pub(crate) mod doorbell;
pub(crate) mod unlisted;
pub(crate) mod words;

mod layout;

#[cfg(feature = "faults")]
mod faults;
mod lock;

pub(crate) mod zone;

pub(crate) mod reap;

pub(crate) mod disk;
pub(crate) mod writer;

pub(crate) mod state_file;

pub(crate) mod channel;
pub(crate) mod entry;

pub(crate) mod this;

pub(crate) mod seek;
