//! The plan of `run`, `pause` and `resume`: events in, actions out. It does no I/O and reads no
//! clock: all times are passed in, counted from the plan's start.
//!
//! What it promises, whatever the hosts answer, and when: the command runs only if all hosts are
//! paused and quiet. When the plan is finished, no pause of ours is active on a host that still
//! answers. Another caller's pause is never ended. And it finishes.
#![forbid(unsafe_code)]

pub mod action;
pub mod event;
mod host;
pub mod terms;

use std::time::Duration;

use crate::client::answer::{Failure, Said, Status};
use action::{Action, Closed, Notice, Outcome};
use event::{Event, Exit, HostId, NotStarted, Sender, Signal};
use host::{Host, News, Used};
use terms::{Goal, OnLost, Terms};

/// A plan.
#[derive(Debug)]
pub struct Plan {
    terms: Terms,
    hosts: Vec<Host>,
    phase: Phase,
    /// Why the command does not run.
    refused: Option<Refused>,
    /// How the command ended.
    exit: Option<Exit>,
    is_lost: bool,
    is_unsure: bool,
    /// When the command gets SIGKILL.
    kill_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Pausing,
    Running,
    Ending,
    Finished,
}

#[derive(Clone, Debug)]
enum Refused {
    Failed(HostId, Failure),
    Lost(HostId),
    Interrupted(Signal),
    NotStarted(NotStarted),
}

pub const SIGINT: i32 = 2;
pub const SIGQUIT: i32 = 3;
pub const SIGKILL: i32 = 9;
pub const SIGTERM: i32 = 15;

impl Plan {
    /// A plan that pauses this many hosts.
    pub fn to_pause(terms: Terms, hosts: usize) -> Self {
        Self::new(terms, (0..hosts).map(|_| Host::to_pause()).collect(), Phase::Pausing)
    }

    /// The same, but some may be paused already, by pauses with these numbers or of our name.
    pub fn to_keep(terms: Terms, pauses: &[Option<u64>]) -> Self {
        let hosts = pauses.iter().map(|pause| Host::to_keep(*pause)).collect();
        Self::new(terms, hosts, Phase::Pausing)
    }

    /// A plan that ends pauses, one at each host: the one with this number, or one of our name. It
    /// tries for this time.
    pub fn to_resume(terms: Terms, pauses: &[Option<u64>], within: Duration) -> Self {
        let hosts = pauses.iter().map(|pause| Host::to_resume(*pause, within)).collect();
        Self::new(terms, hosts, Phase::Ending)
    }

    fn new(terms: Terms, hosts: Vec<Host>, phase: Phase) -> Self {
        Self {
            terms,
            hosts,
            phase,
            refused: None,
            exit: None,
            is_lost: false,
            is_unsure: false,
            kill_at: None,
        }
    }

    /// When an [`Event::Tick`] is needed. Returns None if only other events are awaited.
    pub fn next(&self) -> Option<Duration> {
        let hosts = self.hosts.iter().filter_map(Host::next).min();
        hosts.into_iter().chain(self.kill_at).min()
    }

    /// The app of this host as it was seen last.
    pub fn seen(&self, host: HostId) -> Option<&Status> {
        self.hosts.get(host.0)?.seen()
    }

    /// The pauses that are active and ours.
    pub fn pauses(&self) -> Vec<(HostId, u64)> {
        let ours = |(at, host): (usize, &Host)| {
            host.pause().filter(|(_, is_ours)| *is_ours).map(|(pause, _)| (HostId(at), pause))
        };
        self.hosts.iter().enumerate().filter_map(ours).collect()
    }

    /// Something has happened at this time. Adds what is to be done.
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        if self.phase == Phase::Finished {
            return;
        }
        match event {
            Event::Begin | Event::Tick => {}
            Event::Answered(id, said) => self.answered(now, id, said, actions),
            Event::Signal(signal, sender) => self.signal(now, signal, sender, actions),
            Event::Ended(exit) => {
                self.exit = Some(exit);
                self.kill_at = None;
                self.end(now, actions);
            }
            Event::NotStarted(why) => {
                self.refuse(now, Refused::NotStarted(why), actions);
            }
        }
        self.advance(now, actions);
    }

    fn answered(&mut self, now: Duration, id: HostId, said: Said, actions: &mut Vec<Action>) {
        let Some(host) = self.hosts.get_mut(id.0) else { return };
        let (news, call) = host.answered(now, said, &self.terms);
        actions.extend(call.map(|call| Action::Call(id, call)));
        if let Some(news) = news {
            self.hear(now, id, news, actions);
        }
    }

    fn signal(&mut self, now: Duration, signal: Signal, sender: Sender, actions: &mut Vec<Action>) {
        let ends = !matches!(signal.0, SIGINT | SIGQUIT | SIGTERM | 1);
        match self.phase {
            Phase::Running
                if sender == Sender::Process || !matches!(signal.0, SIGINT | SIGQUIT) =>
            {
                actions.push(Action::Signal(signal));
            }
            // The command decides.
            Phase::Running => {}
            _ if ends => {}
            Phase::Pausing => {
                if self.refused.is_none() {
                    actions.push(Action::Tell(Notice::Aborted(signal)));
                }
                self.refuse(now, Refused::Interrupted(signal), actions);
            }
            Phase::Ending | Phase::Finished => {
                let open = self.hosts.iter().enumerate().filter(|(_, host)| !host.is_closed());
                let open = open.map(|(at, _)| HostId(at)).collect();
                actions.push(Action::Tell(Notice::StillEnding(signal, open)));
            }
        }
    }

    /// What a host said.
    fn hear(&mut self, now: Duration, id: HostId, news: News, actions: &mut Vec<Action>) {
        let mut tell = |notice| actions.push(Action::Tell(notice));
        match news {
            News::Paused(status) => tell(Notice::Paused(id, status)),
            News::Joined(status) => tell(Notice::Joined(id, status)),
            News::Waits(failure) => tell(Notice::Waits(id, failure)),
            News::Delayed(failure) => tell(Notice::Delayed(id, failure)),
            News::Failed(failure) => {
                tell(Notice::Failed(id, failure.clone()));
                self.refuse(now, Refused::Failed(id, failure), actions);
            }
            News::Lost(loss) => {
                tell(Notice::Lost(id, loss));
                match self.phase {
                    Phase::Pausing => self.refuse(now, Refused::Lost(id), actions),
                    _ => self.lost(now, actions),
                }
            }
            News::Closed(closed) => {
                match &closed {
                    Closed::Lost => self.is_lost = true,
                    Closed::LeaseOver(_) => self.is_unsure = true,
                    Closed::Nothing | Closed::Ended(_) | Closed::Left => {}
                }
                tell(Notice::Closed(id, closed));
            }
        }
    }

    /// A pause is lost while the command runs.
    fn lost(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.is_lost = true;
        if let (OnLost::Kill(grace), Phase::Running, None) =
            (self.terms.on_lost, self.phase, self.kill_at)
        {
            actions.push(Action::Tell(Notice::Ending(Signal(SIGTERM))));
            actions.push(Action::Signal(Signal(SIGTERM)));
            self.kill_at = Some(now.saturating_add(grace));
        }
    }

    /// The command does not run: all that was paused is resumed.
    fn refuse(&mut self, now: Duration, why: Refused, actions: &mut Vec<Action>) {
        self.refused.get_or_insert(why);
        self.end(now, actions);
    }

    /// Ends all pauses.
    fn end(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Ending | Phase::Finished) {
            return;
        }
        self.phase = Phase::Ending;
        let used = if self.exit.is_some() { Used::Yes } else { Used::No };
        for at in 0..self.hosts.len() {
            let Some(host) = self.hosts.get_mut(at) else { continue };
            let (drops, news) = host.end(now, used, &self.terms);
            if drops {
                actions.push(Action::Cancel(HostId(at)));
            }
            if let Some(news) = news {
                self.hear(now, HostId(at), news, actions);
            }
        }
    }

    /// Does what is due.
    fn advance(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.kill_at.is_some_and(|at| now >= at) {
            self.kill_at = None;
            actions.push(Action::Tell(Notice::Ending(Signal(SIGKILL))));
            actions.push(Action::Signal(Signal(SIGKILL)));
        }
        for at in 0..self.hosts.len() {
            let news = self.hosts.get_mut(at).and_then(|host| host.pass(now));
            if let Some(news) = news {
                self.hear(now, HostId(at), news, actions);
            }
        }
        if self.phase == Phase::Pausing && self.hosts.iter().all(Host::is_paused) {
            match self.terms.goal {
                Goal::Hold => return self.finish(Outcome::Held, actions),
                Goal::Run | Goal::Resume => {
                    self.phase = Phase::Running;
                    actions.push(Action::Start);
                }
            }
        }
        for (at, host) in self.hosts.iter_mut().enumerate() {
            actions.extend(host.call(now).map(|call| Action::Call(HostId(at), call)));
        }
        if self.phase == Phase::Ending && self.hosts.iter().all(Host::is_closed) {
            let outcome = self.outcome();
            self.finish(outcome, actions);
        }
    }

    fn finish(&mut self, outcome: Outcome, actions: &mut Vec<Action>) {
        self.phase = Phase::Finished;
        actions.push(Action::Finish(outcome));
    }

    fn outcome(&self) -> Outcome {
        match (&self.refused, self.exit) {
            (Some(Refused::Failed(id, failure)), _) => Outcome::NotPaused(*id, failure.clone()),
            (Some(Refused::Lost(id)), _) => Outcome::LostBefore(*id),
            (Some(Refused::Interrupted(signal)), _) => Outcome::Interrupted(*signal),
            (Some(Refused::NotStarted(why)), _) => Outcome::NotStarted(why.clone()),
            (None, Some(exit)) if self.is_lost => Outcome::RanUnpaused(exit),
            (None, Some(exit)) if self.is_unsure => Outcome::RanUnsure(exit),
            (None, Some(exit)) => Outcome::Ran(exit),
            (None, None) if self.is_unsure => Outcome::ResumedUnsure,
            (None, None) if self.is_lost => Outcome::ResumedLate,
            (None, None) => Outcome::Resumed,
        }
    }
}

#[cfg(test)]
mod tests;
