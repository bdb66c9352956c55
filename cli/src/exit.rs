//! The exit statuses of this command. `run` passes on its command's own if that ran undisturbed.
#![forbid(unsafe_code)]

use crate::client::answer::{Failure, Kind};
use crate::plan::event::{self, Signal};

/// An exit status. Those up to 78 are named as in sysexits.h, those from 126 on as in a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    pub const OK: Self = Self(0);
    /// `check` has found a fault.
    pub const FAULT: Self = Self(1);
    pub const USAGE: Self = Self(64);
    pub const UNREACHABLE: Self = Self(69);
    /// The file of a key cannot be used.
    pub const KEY: Self = Self(73);
    /// The app was not quiet in time, or still drains.
    pub const NOT_QUIET: Self = Self(75);
    /// Something else than a control endpoint answered, or it refused the call.
    pub const NOT_ENDPOINT: Self = Self(76);
    pub const DENIED: Self = Self(77);
    pub const CONFIG: Self = Self(78);
    /// Another caller's pause, or stop, is active.
    pub const NOT_OURS: Self = Self(79);
    /// A pause was lost before all was done.
    pub const LOST: Self = Self(80);
    /// The end of a pause was not confirmed.
    pub const UNSURE: Self = Self(81);

    /// Of a command that ended so.
    pub fn of(exit: event::Exit) -> Self {
        match exit {
            event::Exit::Status(status) => Self(status),
            event::Exit::Killed(signal) => Self::signal(signal),
        }
    }

    pub fn signal(Signal(number): Signal) -> Self {
        Self(u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX))
    }

    pub fn failure(failure: &Failure) -> Self {
        match failure.kind {
            Kind::Unreachable => Self::UNREACHABLE,
            Kind::NotOurs | Kind::Refused => Self::NOT_ENDPOINT,
            Kind::Denied => Self::DENIED,
            Kind::NotOpen => Self::NOT_OURS,
            Kind::NotThatPause | Kind::Superseded => Self::LOST,
            Kind::NotQuiet | Kind::Later => Self::NOT_QUIET,
        }
    }
}
