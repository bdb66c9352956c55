//! The control endpoint.

pub(crate) mod payload;

pub(crate) mod answer;

pub(crate) mod saving;

pub(crate) mod ask;

pub(crate) mod wait;

pub(crate) mod endpoint;
