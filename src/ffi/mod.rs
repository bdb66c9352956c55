//! The edge: takes values from nginx, asks the core, translates its answer.
//!
//! A worker process has one thread that runs nginx's callbacks. Everything here runs on it, except the
//! jobs of the state file's writer.
//!
//! Where to look first: a request comes and is held in `request/gate.rs` and `request/park.rs`. A worker
//! is woken in `worker/doorbell.rs`; what it does then, also when a lease ends, is in
//! `module/process.rs`. A reload takes the zone over in `module/zone.rs`.
//!
//! These are the floors, from the lowest to the highest. Each uses only itself and lower floors.

/// What the kernel has, without nginx.
mod os;

/// nginx's own things behind thin wrappers, which know nothing of intermission.
mod nginx;

/// The zone as processes share it, and this process.
mod worker;

/// What the configuration says.
mod conf;

/// One request, from its app's gate to its end.
mod request;

/// The control endpoint.
mod control;

/// What nginx finds in the library.
mod module;
