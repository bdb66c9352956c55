//! The word for an app's state, as answers and log lines show it.
#![forbid(unsafe_code)]

use serde::Serialize;

use super::app::{App, State};

/// The word for an app's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    Open,
    Paused,
    Draining,
    Stopped,
    /// Not paused: the app cannot be reached.
    Away,
}

impl Word {
    /// Of an app, which may be away.
    pub fn of_app(app: &App) -> Self {
        if app.is_away() {
            Self::Away
        } else {
            Self::of(app.state())
        }
    }

    pub fn of(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Paused => Self::Paused,
            State::Draining { .. } => Self::Draining,
            State::Stopped => Self::Stopped,
        }
    }

    /// Says what the app is after a rollback to this state.
    pub fn after_rollback(self) -> &'static str {
        match self {
            Self::Paused => "still paused",
            Self::Stopped => "stopped again",
            Self::Open | Self::Draining | Self::Away => "not paused any more",
        }
    }
}
