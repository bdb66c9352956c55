//! Things of the kernel, without nginx: file descriptors, processes, the program, eventfds, locks on
//! files, signals.

pub(crate) mod fd;
pub(crate) mod process;
pub(crate) mod program;

pub(crate) mod bell;
pub(crate) mod file_lock;
pub(crate) mod signals;
