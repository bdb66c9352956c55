//! nginx's own things behind thin wrappers, which know nothing of intermission.
//!
//! A reference to something of nginx's is good until nginx may free it: within a callback, until the
//! request is finalized or its phases go on.

pub(crate) mod flags;
pub(crate) mod per_worker;
mod plain;
pub(crate) mod pointers;

pub(crate) mod cycle;
pub(crate) mod log;
pub(crate) mod module;
pub(crate) mod queue;

mod directive;
mod event;
mod memory;
pub(crate) mod request;

pub(crate) mod functions;

pub(crate) mod callbacks;
pub(crate) mod conf;
pub(crate) mod posting;

mod answering;
pub(crate) mod attach;
pub(crate) mod shm;
pub(crate) mod timer;
mod waiting;

pub(crate) mod master_channel;
pub(crate) mod own_connection;

pub(crate) mod attempts;
pub(crate) mod body;
pub(crate) mod evaluate;
pub(crate) mod kept;
pub(crate) mod pages;
pub(crate) mod server_names;

/// nginx had no memory, or something was wrong that has been logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;
