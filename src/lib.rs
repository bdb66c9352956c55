//! Pauses an application behind nginx: requests that arrive meanwhile are held, and go on in the
//! order in which they came.
//!
//! Two halves. The core, in this folder, decides: plain values in, plain values out, no nginx, no
//! clock, no log, no unsafe. The edge, in [`ffi`], borrows from nginx, asks the core and
//! translates its answer; it is built with the feature `module`.
//!
//! Read [`zone`] first: it is what all workers share, and its methods are the rules.
#![cfg_attr(not(feature = "module"), forbid(unsafe_code))]

pub mod accept;
pub mod admit;
pub mod agent;
pub mod answer;
pub mod app;
pub mod control;
pub mod dashboard;
pub mod flag;
pub mod flight;
pub mod form;
pub mod gates;
pub mod given_up;
pub mod holder;
pub mod ids;
pub mod metrics;
pub mod oldest;
pub mod origin;
pub mod pace;
pub mod queue;
pub mod reply;
pub mod room;
pub mod settings;
pub mod state;
pub mod sync;
pub mod terms;
pub mod text;
pub mod time;
pub mod totals;
pub mod wait;
pub mod workers;
pub mod zone;

#[cfg(feature = "module")]
pub mod ffi;
