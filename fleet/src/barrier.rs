//! The barrier: whether one snapshot shows every registered host quiet for one pause.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use crate::keys::{App, HostId, Token};
use crate::snapshot::{HostEntry, Snapshot};
use crate::values::AckState;

/// What stands between a pause and its command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// Every registered host is quiet.
    Reached,
    /// These hosts are not quiet yet.
    Waits(Vec<HostId>),
    /// These hosts keep the command from running.
    Refused(Vec<(HostId, Why)>),
    /// The pause is not there any more.
    Gone,
    /// No registered host serves the app.
    Nobody,
}

/// Why a host keeps the command from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is registered, but its agent does not live.
    NotAlive,
    Failed(String),
}

/// Everything is read from one snapshot, which etcd made at one revision. A host that registers
/// later reads the pauses after that, and holds before it takes traffic. `without`: hosts that an
/// operator leaves out.
pub fn barrier(at: &Snapshot, app: &App, token: Token, without: &BTreeSet<HostId>) -> Barrier {
    if at.pauses.get(app).is_none_or(|one| one.token != token) {
        return Barrier::Gone;
    }
    let serving: Vec<_> = at.serving(app).filter(|(id, _)| !without.contains(id)).collect();
    let refused: Vec<_> = serving
        .iter()
        .filter_map(|(id, one)| Some(((*id).clone(), refusal(at, app, token, id, one)?)))
        .collect();
    let is_quiet =
        |id: &HostId| at.ack(app, token, id).is_some_and(|ack| ack.state == AckState::Quiet);
    let waits: Vec<_> =
        serving.iter().filter(|(id, _)| !is_quiet(id)).map(|(id, _)| (*id).clone()).collect();
    match (serving.is_empty(), refused.is_empty(), waits.is_empty()) {
        (true, ..) => Barrier::Nobody,
        (_, false, _) => Barrier::Refused(refused),
        (_, _, false) => Barrier::Waits(waits),
        (_, _, true) => Barrier::Reached,
    }
}

fn refusal(at: &Snapshot, app: &App, token: Token, id: &HostId, host: &HostEntry) -> Option<Why> {
    let ack = at.ack(app, token, id).filter(|ack| ack.state == AckState::Failed);
    match (host.is_alive, ack) {
        (false, _) => Some(Why::NotAlive),
        (true, Some(ack)) => Some(Why::Failed(ack.why.clone().unwrap_or_default())),
        (true, None) => None,
    }
}
