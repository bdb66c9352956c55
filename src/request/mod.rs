//! Rules about one request, without the zone: which ones a pause never holds, and how many a worker can hold.
#![forbid(unsafe_code)]

pub mod agent;
pub mod connections;

pub mod admit;
