//! What happens to a plan.
#![forbid(unsafe_code)]

use crate::client::answer::Said;

/// A host of the plan: its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub usize);

#[derive(Clone, Debug)]
pub enum Event {
    /// The first event.
    Begin,
    /// The call that is under way at this host has ended.
    Answered(HostId, Said),
    /// Time has passed.
    Tick,
    Signal(Signal, Sender),
    /// The command has ended.
    Ended(Exit),
    /// The command could not be started.
    NotStarted(NotStarted),
}

/// A signal's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

/// Where a signal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The terminal sends its signals to the whole process group: the command has it already.
    Terminal,
    Process,
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Status(u8),
    Killed(Signal),
}

/// Why the command was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStarted {
    pub exit: u8,
    pub text: String,
}
