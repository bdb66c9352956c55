//! The zone as processes share it, and this process.
//!
//! What lies where in the zone, and how it is lent to the core: `layout`, `lock`, `zone`. What wakes a
//! worker: `doorbell`, and what it does then: `hooks`. This process: `this_worker`; how it gets its
//! entry in the zone: `entry`, `seek`, and who has none: `unlisted`; who told it to leave: `channel`.
//! What it knows of the last request: `familiar`. Workers that died: `reap`. The state file: `disk`, `writer`, `state_file`, and what the zone says of
//! it: `file_status`.

pub(crate) mod hooks;

pub(crate) mod doorbell;
pub(crate) mod file_status;
pub(crate) mod unlisted;

mod layout;

#[cfg(feature = "faults")]
mod faults;
mod lock;

pub(crate) mod zone;

pub(crate) mod reap;

pub(crate) mod disk;
pub(crate) mod writer;

pub(crate) mod state_file;

pub(crate) mod familiar;

pub(crate) mod channel;
pub(crate) mod entry;

pub(crate) mod this_worker;

pub(crate) mod seek;
