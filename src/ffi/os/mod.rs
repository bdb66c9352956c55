//! What the kernel has, without nginx.

pub(crate) mod fd;
pub(crate) mod process;

pub(crate) mod bell;
pub(crate) mod file_lock;
pub(crate) mod signals;
