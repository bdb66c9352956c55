//! What the control endpoint reads and says: a request's bytes become a command, the command is
//! carried out in the zone, and what it did becomes a line in the log and an answer.
#![forbid(unsafe_code)]

pub mod accept;
pub mod dashboard;
pub mod form;

pub mod command;
pub mod origin;

pub mod status;

pub mod settings;
pub mod versions;

pub mod metrics;
pub mod scope;
pub mod standing;

pub mod error;

pub mod answer;

pub mod carry_out;
