//! What the control endpoint reads and says: a request's bytes become a command, and what the zone did
//! becomes an answer.
#![forbid(unsafe_code)]

pub mod accept;
pub mod dashboard;
pub mod form;

pub mod command;
pub mod origin;
pub mod reply;

pub mod answer;
pub mod metrics;
