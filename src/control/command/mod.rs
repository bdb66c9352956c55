//! A control request's bytes become a command.
#![forbid(unsafe_code)]

mod verb;

mod parameters;

mod manner;

use crate::ids::Token;
use crate::shared::pace::Pace;
use crate::text::{Address, AppName, Reason};
use crate::time::Msec;
use crate::zone::{Expected, Intent};

pub use manner::{Detail, Format, Manner};
pub use parameters::BadParameter;
pub use verb::{Changes, Method, Place, Verb};

/// A command with its parameters.
// One is made per control request.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Status,
    Change(Change),
    Apps,
    Metrics,
    Dashboard,
    Script,
    Style,
}

/// A command that may change an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Enable(PauseArgs, Option<Patience>),
    Disable(DisableArgs),
    Stop(PauseArgs),
}

impl Change {
    /// The caller's name, as the caller gives it.
    pub fn by(&self) -> Option<Address> {
        match self {
            Self::Enable(args, _) | Self::Stop(args) => args.by,
            Self::Disable(args) => args.by,
        }
    }

    /// How long the caller waits at most; None if it does not wait.
    pub fn wait(&self) -> Option<Msec> {
        match self {
            Self::Enable(_, patience) => patience.map(|patience| patience.wait),
            Self::Disable(args) => args.wait,
            Self::Stop(_) => None,
        }
    }
}

/// How long the caller of `enable` waits for the app to be quiet, and what happens if it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub wait: Msec,
    /// Whether the pause stays if the app is not quiet in time.
    pub keep: bool,
}

/// A command, and the app that it names. None: the endpoint's own app. And the fencing token that it
/// names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub app: Option<AppName>,
    /// Only with a command that may change an app.
    pub token: Option<Token>,
    pub command: Command,
}

/// What `enable` and `stop` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseArgs {
    pub which: Expected,
    /// The caller's name, as the caller gives it.
    pub by: Option<Address>,
    pub reason: Option<Reason>,
    /// The pause ends by itself after this time.
    pub lease: Option<Msec>,
}

impl PauseArgs {
    /// Whether an active pause is to be changed.
    pub fn intent(&self) -> Intent {
        match (self.reason, self.lease) {
            (None, None) => Intent::State,
            _ => Intent::Change,
        }
    }
}

/// What `disable` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DisableArgs {
    pub which: Expected,
    /// The caller's name, as the caller gives it.
    pub by: Option<Address>,
    pub pace: PaceChange,
    /// How long the caller waits at most for the end of the drain; None if it does not wait.
    pub wait: Option<Msec>,
}

/// What `disable` changes of the pace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceChange {
    pub spread: Option<Msec>,
    pub concurrency: Option<u32>,
}

impl PaceChange {
    /// The pace with this change.
    pub fn apply(self, pace: Pace) -> Pace {
        Pace {
            spread: self.spread.unwrap_or(pace.spread),
            concurrency: self.concurrency.unwrap_or(pace.concurrency),
        }
    }
}

#[cfg(test)]
mod tests;
