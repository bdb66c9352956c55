//! What a caller asks etcd, and what it wants done.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::barrier::Why;
use crate::keys::{App, HostId, LeaseId, Revision, Token};
use crate::snapshot::{PauseEntry, Snapshot};
use crate::values::Pause;

/// What a caller is to do.
#[derive(Clone, Debug)]
pub struct Terms {
    pub app: App,
    /// The caller's name. It is unique: a pause with it is ours.
    pub by: String,
    pub reason: Option<String>,
    pub goal: Goal,
    /// No host holds for longer than this after the caller's last sign of life.
    pub hold: Duration,
    pub wait: Duration,
    pub spread: Option<Duration>,
    /// Of the whole fleet.
    pub concurrency: Option<u32>,
    /// Hosts that are left out.
    pub without: BTreeSet<HostId>,
    /// If the pause is lost, the command gets SIGTERM, and SIGKILL after this time. None: it may
    /// finish.
    pub kill: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The command runs in the pause, which is over afterwards.
    Run,
    /// The pause is left as it is, until its hard end.
    Hold,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A lease of this time.
    Grant(Duration),
    /// Makes the pause's key on this lease, if there is none.
    Create {
        lease: LeaseId,
        pause: Pause,
    },
    /// Writes the pause's key on this lease, if nobody has written it since this revision.
    Write {
        token: Token,
        modified: Revision,
        lease: LeaseId,
        pause: Pause,
    },
    /// All keys of the fleet at one revision. The read must be linearizable.
    Read,
    KeepAlive(LeaseId),
    /// Ends the lease, with the pause and all its acks. `Gone` if the lease is over.
    Revoke(LeaseId),
    /// Deletes the pause and its acks, if it is still the one that this revision made.
    Delete(Token),
}

#[derive(Clone, Debug)]
pub enum Reply {
    Granted(LeaseId),
    Created(Revision),
    /// This pause is there.
    Taken(PauseEntry),
    Done,
    Written(Revision),
    /// Somebody else has written the pause.
    Changed,
    /// The lease, or the pause, is over.
    Gone,
    Snapshot(Box<Snapshot>),
    /// No answer, or an error: it may have been carried out.
    Failed(String),
}

#[derive(Clone, Debug)]
pub enum Event {
    Begin,
    Tick,
    /// What came of the question that was under way.
    Told(Reply),
    /// Something has changed in the fleet.
    Bell,
    /// The command has ended.
    Ended,
    /// The command could not be started.
    NotStarted,
    /// A signal asks to end.
    Interrupt,
    /// This host was told to end its pause, without etcd. The error says what came of it.
    Direct(HostId, Result<(), String>),
}

#[derive(Clone, Debug)]
pub enum Action {
    Ask(Ask),
    /// The command is started, now.
    Start,
    Kill(Kill),
    /// This host is told to end this pause, without etcd.
    Direct(Direct),
    Tell(Notice),
    /// The last action.
    Finish(Outcome),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    Term,
    Kill,
}

#[derive(Clone, Debug)]
pub struct Direct {
    pub host: HostId,
    pub endpoint: String,
    pub token: Token,
    pub pause: u64,
    pub spread: Option<Duration>,
    pub concurrency: Option<u32>,
}

/// Something that people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// All these hosts are paused and quiet.
    Paused(usize),
    /// etcd does not answer. The pause is sure for so long.
    EtcdAway(String, Option<Duration>),
    EtcdBack,
    /// This host's agent does not live. Its pause is sure for so long.
    NotAlive(HostId, Duration),
    /// The pause is over, or may be, while it is needed.
    Lost(Loss),
    /// What was lost for want of an answer was not lost.
    Sure,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The key is gone: by its lease, or by another caller.
    Gone,
    /// An operator, by this name, has stopped the fleet.
    Stopped(String),
    /// This host is not in the pause any more.
    Host(HostId),
    /// For too long nothing was heard.
    Unheard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command ran, and all hosts held until it ended.
    Ran(Closed),
    /// The command ran, but not all hosts held, or perhaps not.
    RanUnpaused(Closed),
    NotStarted(Closed),
    NotPaused(NotPaused, Closed),
    Interrupted(Closed),
    Held(Token),
    /// A pause was ended.
    Resumed(Closed),
}

/// Why there is no pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPaused {
    /// etcd does not answer.
    NoEtcd(String),
    /// Another caller's pause is there.
    Taken(Box<PauseEntry>),
    Nobody,
    Refused(Vec<(HostId, Why)>),
    /// These hosts did not answer in time.
    Late(Vec<HostId>),
    Gone,
    /// An operator, by this name, has stopped the fleet.
    Stopped(String),
}

/// The hosts that did not say that the pause is over.
pub type Closed = Vec<HostId>;
