//! What a plan is to do.
#![forbid(unsafe_code)]

use std::time::Duration;

/// What a plan is to do.
#[derive(Clone, Debug)]
pub struct Terms {
    pub goal: Goal,
    /// The caller's name at the endpoints. It is unique: a pause with it is ours.
    pub by: String,
    /// A pause ends by itself after this time.
    pub lease: Duration,
    /// How long an endpoint waits for quiet; zero if it does not.
    pub wait: Duration,
    /// How long an app is waited for that cannot be paused yet, because it still drains.
    pub patience: Duration,
    pub join: Join,
    pub on_lost: OnLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Pause all hosts, run the command, end the pauses.
    Run,
    /// Pause all hosts, and leave them so.
    Hold,
    /// End pauses.
    Resume,
}

/// What to do if another caller's pause is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    Never,
    /// Go on in that pause, keep it from ending, and leave it to its owner.
    Yes,
}

/// What to do if a pause is lost while the command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    Finish,
    /// Sends SIGTERM to the command, and SIGKILL after this time.
    Kill(Duration),
}
