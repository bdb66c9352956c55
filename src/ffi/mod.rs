//! The edge: borrows from nginx, asks the core, translates its answer.
//!
//! A worker process has one thread that runs nginx's callbacks; everything here runs on it, but what
//! the writer's thread does.

mod ask;
mod attempts;
mod body;
mod bypass;
mod channel;
mod conf;
mod control;
mod directives;
mod disk;
mod doorbell;
mod entry;
mod evaluate;
mod failed;
mod familiar;
#[cfg(feature = "faults")]
mod faults;
mod file_lock;
mod flags;
mod flight;
mod gate;
mod given_up;
mod halt;
mod host;
mod kept;
mod lock;
mod log;
mod mark;
mod module;
mod oldest;
mod pages;
mod park;
mod payload;
mod processes;
mod queue;
mod release;
mod respond;
mod room;
mod saving;
mod state;
mod unlisted;
mod variables;
mod wait;
mod workers;
mod writer;
mod zone;
