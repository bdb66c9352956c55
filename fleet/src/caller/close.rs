//! The end of a pause: every host is told, and its answer awaited for a while.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::Duration;

use super::talk::{Action, Ask, Closed, Direct, NotPaused, Outcome};
use super::{Caller, Ends, Loss, Stage, AGAIN, PATIENCE, READ};
use crate::keys::{App, HostId, Token};
use crate::snapshot::Snapshot;
use crate::values::{AckState, Stage as Asked};

/// How far it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Closing {
    step: Step,
    over_by: Duration,
    /// Until then the hosts are waited for.
    wait_until: Option<Duration>,
    read_at: Duration,
    /// The hosts that said that the pause is over there.
    open: BTreeSet<HostId>,
    /// The hosts that may still be paused, as far as read.
    left: BTreeSet<HostId>,
    /// The hosts are told directly, next at this time: etcd has failed since the end began, or agents
    /// are silent.
    direct_at: Option<Duration>,
    asked: BTreeSet<HostId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// The key is to say that the hosts are to go on.
    #[default]
    Tell,
    /// The hosts do.
    Wait,
    /// The lease, with the key and the acks, is to go.
    Revoke,
    Done,
}

impl Closing {
    /// `over_by`: by then every hold is over. None: there is none.
    pub(super) fn begin(now: Duration, over_by: Option<Duration>) -> Self {
        let over_by = over_by.unwrap_or_else(|| now.saturating_add(PATIENCE * 3));
        Self { over_by, ..Self::default() }
    }

    /// When something else than a question is due.
    pub(super) fn due(&self) -> Duration {
        let direct = self.direct_at.filter(|_| self.asked.is_empty());
        direct.map_or(self.over_by, |at| at.min(self.over_by))
    }

    /// When a question is due. `bell`: when one is due because something has changed.
    pub(super) fn next(&self, bell: Duration) -> Duration {
        match (self.step, self.wait_until) {
            (Step::Wait, Some(until)) => self.read_at.min(bell).min(until),
            (Step::Done, _) => self.over_by,
            _ => Duration::ZERO,
        }
    }

    pub(super) fn failed(&mut self, now: Duration) {
        self.direct_at.get_or_insert(now);
    }

    /// The agents are waited for no longer: their hosts are told directly, and that is waited for.
    fn give_up(&mut self, now: Duration) {
        if self.step != Step::Wait || self.wait_until.is_none_or(|at| now < at) {
            return;
        }
        match self.direct_at {
            None => {
                self.direct_at = Some(now);
                self.wait_until = Some(now.saturating_add(PATIENCE));
            }
            Some(_) => self.step = Step::Revoke,
        }
    }

    pub(super) fn written(&mut self, now: Duration) {
        if self.step == Step::Tell {
            self.step = Step::Wait;
            self.wait_until = Some(now.saturating_add(PATIENCE));
            self.read_at = now;
        }
    }

    /// The key is gone: the hosts go on by that.
    pub(super) fn gone(&mut self) {
        if self.step != Step::Done {
            self.step = Step::Revoke;
        }
    }

    pub(super) fn revoked(&mut self) {
        self.step = Step::Done;
    }

    pub(super) fn told(&mut self, now: Duration, host: HostId, is_ok: bool) {
        self.asked.remove(&host);
        if is_ok {
            self.left.remove(&host);
            self.open.insert(host);
            self.read_at = now;
        }
        self.direct_at = self.direct_at.map(|_| now.saturating_add(AGAIN));
    }

    pub(super) fn read(&mut self, now: Duration, at: &Snapshot, app: &App, token: Token) {
        self.read_at = now.saturating_add(READ);
        self.left.clear();
        for (id, host) in at.serving(app) {
            match at.ack(app, token, id) {
                Some(ack) if ack.state == AckState::Open => {
                    self.open.insert(id.clone());
                }
                Some(_) => {
                    self.left.insert(id.clone());
                }
                None if host.is_alive => {
                    self.left.insert(id.clone());
                }
                None => {}
            }
        }
        self.left.retain(|id| !self.open.contains(id));
        if self.step == Step::Wait && self.left.is_empty() {
            self.step = Step::Revoke;
        }
    }
}

impl Caller {
    pub(super) fn closing_ask(&mut self, now: Duration) -> Option<Ask> {
        self.closing.give_up(now);
        match (self.closing.step, self.token, self.lease) {
            (Step::Done, ..) | (_, None, None) => None,
            (Step::Tell, Some(token), Some(lease)) => {
                let Some(modified) = self.modified else { return Some(Ask::Read) };
                let pause = self.pause(Asked::Release);
                Some(Ask::Write { token, modified, lease, pause })
            }
            (Step::Wait, ..) => {
                let is_due = now >= self.closing.read_at.min(self.read_at);
                is_due.then_some(Ask::Read)
            }
            (Step::Revoke, Some(token), _) if matches!(self.ends, Ends::Resumed) => {
                Some(Ask::Delete(token))
            }
            (_, _, Some(lease)) => Some(Ask::Revoke(lease)),
            (_, Some(token), None) => Some(Ask::Delete(token)),
        }
    }

    /// While the pause is ended: tells hosts directly, and finishes.
    pub(super) fn close(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.stage != Stage::Closing {
            return;
        }
        if self.closing.direct_at.is_some_and(|at| now >= at) && self.closing.asked.is_empty() {
            self.direct(now, actions);
        }
        let is_nothing = self.token.is_none() && self.lease.is_none();
        let all_told = self.away.is_some()
            && self.closing.direct_at.is_some()
            && self.sure.hosts() > 0
            && self.sure.pauses().all(|(id, _)| self.closing.open.contains(id));
        let is_done = self.closing.step == Step::Done || is_nothing || all_told;
        if is_done || now >= self.closing.over_by {
            self.stage = Stage::Finished;
            let held = self.sure.pauses().map(|(id, _)| id.clone());
            let all = held.chain(self.closing.left.iter().cloned());
            let all: BTreeSet<HostId> = all.filter(|id| !self.closing.open.contains(id)).collect();
            // After a stop no host is in the pause.
            let closed: Closed = all.into_iter().filter(|_| self.stopped.is_none()).collect();
            actions.push(Action::Finish(self.outcome(closed)));
        }
    }

    fn direct(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.closing.direct_at = Some(now.saturating_add(READ));
        let (Some(token), Some(at)) = (self.token, &self.seen) else { return };
        let pace = self.pause(Asked::Release);
        for (id, pause) in self.sure.pauses() {
            let endpoint = at.hosts.get(id).and_then(|one| one.host.endpoint.clone());
            let Some(endpoint) = endpoint else { continue };
            if !self.closing.open.contains(id) {
                self.closing.asked.insert(id.clone());
                let (spread, concurrency) = (self.terms.spread, pace.concurrency);
                let host = id.clone();
                let direct = Direct { host, endpoint, token, pause, spread, concurrency };
                actions.push(Action::Direct(direct));
            }
        }
    }

    fn outcome(&self, closed: Closed) -> Outcome {
        match (&self.ends, &self.loss) {
            (Ends::Ran, None) => Outcome::Ran(closed),
            (Ends::Ran, Some(Loss::Gone | Loss::Stopped(_) | Loss::Host(_) | Loss::Unheard)) => {
                Outcome::RanUnpaused(closed)
            }
            (Ends::NotStarted, _) => Outcome::NotStarted(closed),
            (Ends::NotPaused(why), _) => Outcome::NotPaused(NotPaused::clone(why), closed),
            (Ends::Interrupted, _) => Outcome::Interrupted(closed),
            (Ends::Resumed, _) => Outcome::Resumed(closed),
        }
    }
}
