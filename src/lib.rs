//! Pauses an application behind nginx: requests that arrive during the pause are held, and go on
//! afterwards in the order in which they came.
//!
//! There are two halves. The core decides: it takes plain values and returns plain values, without
//! nginx, clock, log or unsafe. The edge, in [`ffi`], takes values from nginx, asks the core
//! and translates its answer; it is built with the feature `module`.
//!
//! Read [`zone`] first: all workers share it, and its methods are the rules. Modules stand here in
//! floors, from the lowest to the highest: each uses only lower floors.
#![cfg_attr(not(feature = "module"), forbid(unsafe_code))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::panic, clippy::unreachable))]

pub mod flag;
pub mod product;
pub mod sync;
pub mod text;
pub mod time;

pub mod ids;

pub mod shared;

pub mod zone;

pub mod refusals;
pub mod request;
pub mod saved;
pub mod settings;

pub mod log_lines;

pub mod control;

#[cfg(feature = "module")]
pub mod ffi;
