//! nginx's own things behind thin wrappers, which know nothing of intermission.
//!
//! Handles: `request` with `waiting`, `answering`, `body`, `evaluate` and `seen`; `directive` with `conf`;
//! `event`. What a module adds to nginx: `event_loop`, `timer`, `queue`, `attach` and `recycled` with
//! `cleanups`, `shm`, `own_connection`, `callbacks`. What nginx knows: `cycle`, `attempts`, `pages`,
//! `server_names`, `kept`, `upstreams`, `master_channel`. How C is read: `flags`, `pointers`, `functions`,
//! `plain`, `memory`.
//!
//! A handle or reference is good until nginx may free what it leads to. For a request in a callback,
//! that is until it is finalized or its phases go on.

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
pub(crate) mod event_loop;
mod modules;
pub(crate) mod posting;

mod answering;
mod cleanups;
pub(crate) mod attach;
pub(crate) mod recycled;
pub(crate) mod shm;
pub(crate) mod timer;
mod waiting;

pub(crate) mod master_channel;
pub(crate) mod own_connection;

pub(crate) mod attempts;
pub(crate) mod body;
pub(crate) mod evaluate;
pub(crate) mod seen;
pub(crate) mod kept;
pub(crate) mod pages;
pub(crate) mod server_names;
pub(crate) mod upstreams;

pub(crate) mod take_back;

/// nginx has no memory left, or something is wrong that nginx has logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;
