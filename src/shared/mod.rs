//! The contents of the memory that all workers share: a file for each kind of entry, and one for
//! what is read without the lock.
#![forbid(unsafe_code)]

pub mod call;
pub mod given_up;
pub mod health;
pub mod holder;
pub mod in_flight;
pub mod oldest;
pub mod pace;
pub mod room;
pub mod signals;
pub mod slots;
pub mod terms;
pub mod totals;
pub mod waiters;
pub mod workers;

pub mod app;

pub mod word;
