//! What a plan asks for.
#![forbid(unsafe_code)]

use super::event::{Exit, HostId, NotStarted, Signal};
use crate::client::answer::{Failure, Status};

#[derive(Clone, Debug)]
pub enum Action {
    Call(HostId, Call),
    /// The call that is under way at this host is given up: its connection is closed. No answer
    /// follows.
    Cancel(HostId),
    /// The command is started.
    Start,
    /// The command gets a signal.
    Signal(Signal),
    Tell(Notice),
    /// The last action.
    Finish(Outcome),
}

/// A call of the endpoint. A host has at most one under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Begins a pause, and waits until the app is quiet.
    Enable,
    /// Moves the end of this pause, and waits until the app is quiet.
    Join(u64),
    Look,
    /// Moves the end of this pause.
    Renew(u64),
    /// Ends this pause.
    Disable(u64),
}

/// Something that people are told.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The host is paused and quiet.
    Paused(HostId, Box<Status>),
    /// The same with a pause that was there before.
    Joined(HostId, Box<Status>),
    /// The host cannot be paused now; it is asked again.
    Waits(HostId, Failure),
    /// The host cannot be paused: no host stays paused.
    Failed(HostId, Failure),
    /// The host's pause is over, or may be, while it is needed.
    Lost(HostId, Loss),
    /// The command is told to end.
    Ending(Signal),
    /// A signal came before the command ran: no host stays paused.
    Aborted(Signal),
    /// A signal came while pauses are ended, which goes on.
    StillEnding(Signal, Vec<HostId>),
    /// The pause could not be ended yet; it is tried again.
    Delayed(HostId, Failure),
    Closed(HostId, Closed),
}

/// How a pause was lost.
#[derive(Clone, Debug)]
pub enum Loss {
    /// The app is in this state now.
    Seen(Box<Status>),
    /// The endpoint's own words.
    Told(String),
    /// The lease is over without an answer. With the last failure.
    Unanswered(Option<Failure>),
}

/// What is left at a host at the end.
#[derive(Clone, Debug)]
pub enum Closed {
    /// Nothing of ours was there, or it was rolled back.
    Nothing,
    /// Its pause was ended. With the app as it is.
    Ended(Box<Status>),
    /// Its pause was ended by something else.
    Lost,
    /// No answer says that its pause is over, but the lease is.
    LeaseOver(Option<Failure>),
    /// Its pause is another caller's, and is left to that caller.
    Left,
}

/// How it all ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The command ran, and all pauses were there until it ended, and were ended.
    Ran(Exit),
    /// The command ran, but a pause was lost meanwhile.
    RanUnpaused(Exit),
    /// The command ran, but no answer says that the pause is over.
    RanUnsure(Exit),
    NotStarted(NotStarted),
    /// The hosts could not be paused. With the first failure.
    NotPaused(HostId, Failure),
    /// The first pause was lost before the command ran.
    LostBefore(HostId),
    Interrupted(Signal),
    /// All hosts are paused, and stay so.
    Held,
    /// All pauses are ended.
    Resumed,
    /// A pause was over before it was to be ended.
    ResumedLate,
    /// No answer says that the pause is over.
    ResumedUnsure,
}
