//! nginx's own things behind thin wrappers, which know nothing of intermission.

pub(crate) mod flags;

pub(crate) mod attempts;
pub(crate) mod log;
pub(crate) mod queue;

pub(crate) mod body;
pub(crate) mod evaluate;
pub(crate) mod kept;
pub(crate) mod pages;
pub(crate) mod server_names;
