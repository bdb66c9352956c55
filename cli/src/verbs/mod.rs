//! The verbs, one a file.
#![forbid(unsafe_code)]

pub mod agent;
pub mod check;
pub mod completions;
pub mod fleet;
pub mod man;
pub mod metrics;
pub mod pause;
pub mod resume;
pub mod run;
pub mod status;
pub mod stop;

mod together;
