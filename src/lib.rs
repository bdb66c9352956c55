//! Pauses an application behind nginx: requests that arrive meanwhile are held, and go on in the
//! order in which they came.
//!
//! Two halves. The core, in this folder, decides: plain values in, plain values out, no nginx, no
//! clock, no log, no unsafe. The edge, in [`ffi`], borrows from nginx, asks the core and
//! translates its answer; it is built with the feature `module`.
//!
//! Read [`zone`] first: it is what all workers share, and its methods are the rules.
#![cfg_attr(not(feature = "module"), forbid(unsafe_code))]

pub mod flag;
pub mod sync;
pub mod text;
pub mod time;

pub mod ids;

pub mod shared;

pub mod zone;

pub mod request;
pub mod saved;
pub mod settings;

pub mod log_lines;

pub mod control;

#[cfg(feature = "module")]
pub mod ffi;
