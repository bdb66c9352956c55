//! The control endpoint.

mod parked;
mod payload;

mod answer;

pub(crate) mod saving;

pub(crate) mod ask;

pub(crate) mod wait;

pub(crate) mod endpoint;
