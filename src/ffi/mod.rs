//! The edge: borrows from nginx, asks the core, translates its answer.
//!
//! A worker process has one thread that runs nginx's callbacks; everything here runs on it.

mod conf;
mod control;
mod doorbell;
#[cfg(feature = "faults")]
mod faults;
mod hold;
mod log;
mod module;
mod release;
mod variables;
mod workers;
mod zone;
