//! The control endpoint.

/// Requests that wait and are answered later.
mod parked;

/// What a request says.
mod reading;

/// Sends an answer.
mod sending;

/// Has the pauses written to the state file.
pub(crate) mod saving;

/// Answers that wait until the pauses are in the state file.
pub(crate) mod late;

/// Requests that wait until the workers have reported what they have in flight.
pub(crate) mod ask;

/// Requests that wait until an app is quiet, or drained.
pub(crate) mod wait;

/// From a request to its answer.
pub(crate) mod endpoint;
