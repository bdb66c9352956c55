//! The edge: borrows from nginx, asks the core, translates its answer.
//!
//! A worker process has one thread that runs nginx's callbacks; everything here runs on it, except
//! what the writer's thread does.
//!
//! The floors, from the lowest to the highest; each uses only those above it in this list.

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
