//! What the kernel has, without nginx.

pub(crate) mod file_lock;
