//! Nothing: the dependency is what counts.
#![forbid(unsafe_code)]
