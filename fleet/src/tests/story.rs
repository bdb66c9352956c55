//! What happens to a fleet.
#![forbid(unsafe_code)]

/// What happens to a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub kind: Kind,
    /// The times of its way there and back, and until the app is quiet, in ms.
    pub there: u64,
    pub back: u64,
    pub quiet: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fine,
    /// It does not arrive.
    Lost,
    /// It is carried out, but the answer does not come back.
    AnswerLost,
    /// It is given up, and carried out after that.
    Late,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// The agent is killed, and starts again after this time.
    AgentDies(usize, u64),
    AgentSleeps(usize, u64),
    /// nginx is killed, and starts again after this time. Its pauses are in the state file.
    NginxDies(usize, u64),
    /// All of the host, which starts again after this time, without a state file if nothing asks for it.
    HostDies(usize, u64),
    /// A new host.
    Joins(usize),
    Leaves(usize),
    /// Its nginx, or the module in it, is replaced by a newer one.
    Upgrade(usize),
    /// The host and etcd do not reach each other for this time.
    Cut(usize, u64),
    CallerCut(usize, u64),
    CallerDies(usize),
    CallerSleeps(usize, u64),
    EtcdDown(u64),
    NewLeader,
    Compaction,
    WatchEnds(usize),
    WatchLags(usize, u64),
    /// An operator pauses or resumes one host.
    Alice(usize),
    AliceEnds(usize),
    /// An operator stops the fleet, until the end.
    Stop,
}

#[derive(Clone, Debug)]
pub(super) struct Story {
    /// How many hosts there are at the beginning; others may join.
    pub hosts: usize,
    /// Those of the messages, in their order, again and again.
    pub fates: Vec<Fate>,
    pub deeds: Vec<(u64, Deed)>,
    /// When each caller begins, how long its command runs, and whether a loss ends the command.
    pub callers: Vec<(u64, u64, bool)>,
    /// By machine: the clock's offset and rate.
    pub clocks: Vec<(u64, u64)>,
    /// Hosts have endpoints that callers reach.
    pub endpoints: bool,
    /// nginx starts when the agent says what with, and takes traffic at once. Else it starts without
    /// asking, and takes traffic when the agent says that the host is ready.
    pub starters: bool,
}
