//! Calls of the host's own control endpoint, and what it says.
#![forbid(unsafe_code)]

use std::time::Duration;

use serde::Deserialize;

use crate::keys::Token;

/// A call. Each but a look carries the token of the pause that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Look,
    /// `enable?new=1`
    Enable {
        token: Token,
        by: String,
        reason: Option<String>,
        lease: Duration,
    },
    /// `enable?id=`
    Renew {
        token: Token,
        pause: u64,
        lease: Duration,
    },
    /// `enable?id=&wait=&keep=1`
    Wait {
        token: Token,
        pause: u64,
        lease: Duration,
        wait: Duration,
    },
    /// `stop`, whatever the app's state is.
    Stop {
        token: Token,
        by: String,
        reason: Option<String>,
        /// None: until it is ended.
        lease: Option<Duration>,
    },
    /// `disable?id=`
    Disable {
        token: Token,
        pause: u64,
        what: What,
        by: String,
        spread: Option<Duration>,
        concurrency: Option<u32>,
    },
}

/// What an app is closed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Pause,
    Stop,
}

/// An app, as the endpoint tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    /// The number of the newest pause.
    pub pause: u64,
    pub by: Option<String>,
    pub drained_by: Option<String>,
    pub held: u64,
    pub in_flight: u64,
}

/// An app's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Open,
    Paused,
    Draining,
    Stopped,
    Away,
    /// A state of a later module.
    #[serde(other)]
    Other,
}

impl State {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Away => "away",
            Self::Other => "in an unknown state",
        }
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Is(Status),
    /// Nothing was changed.
    Refused(Refusal),
    /// No answer: the call may have been carried out.
    Unreachable(String),
    /// Nothing listens there: nginx does not run.
    Down(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `new=1`: the app is not open.
    NotOpen,
    /// `id=`: that pause is over.
    NotThatPause,
    /// A greater token was there before.
    OldToken,
    /// The app was not quiet in time. The pause stays.
    NotQuiet(String),
    /// The endpoint cannot do it now.
    Later(String),
    /// The endpoint never does that.
    Never(String),
}

impl Status {
    pub(super) fn is_closed_by(&self, what: What, pause: u64) -> bool {
        let state = match what {
            What::Pause => State::Paused,
            What::Stop => State::Stopped,
        };
        self.state == state && self.pause == pause
    }
}
