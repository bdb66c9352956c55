//! Which requests a pause does not hold.
#![forbid(unsafe_code)]

pub mod agent;

pub mod admit;
