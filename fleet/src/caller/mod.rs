//! The caller: one pause of one app over a fleet, and a command in it.
//!
//! What it promises: the command starts only if one snapshot shows every registered host quiet,
//! and all of them go on holding for a while. While it runs, the caller knows until when every
//! host surely holds, and tells a loss by then. It touches no other caller's pause. It finishes.
#![forbid(unsafe_code)]

mod asks;
mod close;
mod sure;
pub mod talk;

use std::time::Duration;

use crate::barrier::{barrier, Barrier};
use crate::keys::{LeaseId, Revision, Token};
use crate::snapshot::{PauseEntry, Snapshot};
use close::Closing;
use sure::Sure;
use talk::{Action, Ask, Event, Goal, Kill, Loss, NotPaused, Notice, Outcome, Reply, Terms};

/// How often the fleet is read if no bell rings.
const READ: Duration = Duration::from_secs(1);
/// How long after a bell: several changes are read at once.
const BELL: Duration = Duration::from_millis(20);
/// A question that failed is repeated after this time.
const AGAIN: Duration = Duration::from_millis(300);
/// How long etcd, or the agents, may be silent before a pause is given up that is to begin.
const PATIENCE: Duration = Duration::from_secs(5);

/// A caller.
#[derive(Clone, Debug)]
pub struct Caller {
    terms: Terms,
    stage: Stage,
    began: Duration,
    lease: Option<LeaseId>,
    token: Option<Token>,
    /// The revision that wrote the pause's key last. None: it is to be read.
    modified: Option<Revision>,
    /// The newest beat that was sent.
    beat: u64,
    sure: Sure,
    under_way: Option<(Ask, Duration)>,
    beat_at: Duration,
    keep_at: Duration,
    read_at: Duration,
    /// When the newest bell rang.
    rang: Option<Duration>,
    again_at: Duration,
    seen: Option<Box<Snapshot>>,
    /// Why etcd does not answer.
    away: Option<String>,
    loss: Option<Loss>,
    /// Who has stopped the fleet.
    stopped: Option<String>,
    ends: Ends,
    kill_at: Option<Duration>,
    closing: Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Preparing,
    Running,
    Closing,
    Finished,
}

/// How it is going to end.
#[derive(Clone, Debug)]
enum Ends {
    Ran,
    NotStarted,
    NotPaused(NotPaused),
    Interrupted,
    Resumed,
}

impl Caller {
    pub fn new(now: Duration, terms: Terms) -> Self {
        Self {
            terms,
            stage: Stage::Preparing,
            began: now,
            lease: None,
            token: None,
            modified: None,
            beat: 0,
            sure: Sure::default(),
            under_way: None,
            beat_at: now,
            keep_at: now,
            read_at: now,
            rang: None,
            again_at: now,
            seen: None,
            away: None,
            loss: None,
            stopped: None,
            ends: Ends::Ran,
            kill_at: None,
            closing: Closing::default(),
        }
    }

    /// A caller that ends a pause, which may be another's: an operator asks for that.
    pub fn to_resume(now: Duration, terms: Terms, entry: &PauseEntry) -> Self {
        let mut caller = Self::new(now, terms);
        caller.token = Some(entry.token);
        caller.modified = Some(entry.modified);
        caller.lease = Some(entry.lease);
        caller.beat = entry.pause.as_ref().map_or(0, |pause| pause.beat);
        caller.end(now, Ends::Resumed);
        caller
    }

    /// Until when every registered host surely holds, as far as known now.
    pub fn sure_until(&self) -> Option<Duration> {
        self.sure.until(self.terms.hold)
    }

    pub fn token(&self) -> Option<Token> {
        self.token
    }

    /// The fleet as it was read last.
    pub fn seen(&self) -> Option<&Snapshot> {
        self.seen.as_deref()
    }

    /// When an [`Event::Tick`] is needed.
    pub fn next(&self) -> Option<Duration> {
        let ask = match self.stage {
            Stage::Finished => return None,
            Stage::Closing => self.closing.next(self.read_at).max(self.again_at),
            Stage::Preparing | Stage::Running => {
                let read = if self.token.is_some() { self.read_at } else { self.again_at };
                let renew = self.beat_at.min(self.keep_at);
                let is_gone = self.is_gone();
                if is_gone { read } else { renew.min(read) }.max(self.again_at)
            }
        };
        let ask = self.under_way.is_none().then_some(ask);
        let sure = match (self.stage, &self.loss) {
            (Stage::Running, None) => self.sure_until(),
            (Stage::Preparing, _) => Some(self.deadline()),
            (Stage::Closing, _) => Some(self.closing.due()),
            _ => None,
        };
        ask.into_iter().chain(sure).chain(self.kill_at).min()
    }

    /// Something has happened at this time. Adds what is to be done.
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        if self.stage == Stage::Finished {
            return;
        }
        match event {
            Event::Begin | Event::Tick => {}
            Event::Bell => {
                self.rang = Some(now);
                self.read_at = self.read_at.min(now.saturating_add(BELL));
            }
            Event::Told(reply) => self.told(now, reply, actions),
            Event::Ended => {
                self.kill_at = None;
                self.end(now, Ends::Ran);
            }
            Event::NotStarted => self.end(now, Ends::NotStarted),
            Event::Interrupt if self.stage == Stage::Preparing => self.end(now, Ends::Interrupted),
            Event::Interrupt => {}
            Event::Direct(host, said) => self.closing.told(now, host, said.is_ok()),
        }
        self.watch(now, actions);
        let ask = if self.under_way.is_none() { self.ask(now) } else { None };
        if let Some(ask) = ask {
            self.under_way = Some((ask.clone(), now));
            actions.push(Action::Ask(ask));
        }
        self.close(now, actions);
    }

    fn told(&mut self, now: Duration, reply: Reply, actions: &mut Vec<Action>) {
        let Some((ask, sent)) = self.under_way.take() else { return };
        if let Reply::Failed(why) = reply {
            self.again_at = now.saturating_add(AGAIN);
            if self.away.is_none() && self.token.is_some() {
                let sure = self.sure_until().map(|sure| sure.saturating_sub(now));
                actions.push(Action::Tell(Notice::EtcdAway(why.clone(), sure)));
            }
            self.away = Some(why);
            if matches!(ask, Ask::Write { .. }) {
                self.modified = None;
            }
            self.closing.failed(now);
            return;
        }
        if self.away.take().is_some() && self.token.is_some() {
            actions.push(Action::Tell(Notice::EtcdBack));
        }
        match (ask, reply) {
            (Ask::Grant(_), Reply::Granted(lease)) => {
                self.lease = Some(lease);
                self.kept(sent);
            }
            (Ask::Create { .. }, Reply::Created(revision)) => {
                self.modified = Some(revision);
                self.made(now, Token(revision.0));
            }
            (Ask::Create { .. }, Reply::Taken(entry)) => {
                match entry.pause.as_ref().is_some_and(|pause| pause.by == self.terms.by) {
                    true => self.made(now, entry.token),
                    false => self.end(now, Ends::NotPaused(NotPaused::Taken(Box::new(entry)))),
                }
            }
            (Ask::Create { .. }, Reply::Gone) => self.lease = None,
            (Ask::KeepAlive(_), Reply::Done) => self.kept(sent),
            (Ask::Write { .. }, Reply::Written(revision)) => {
                self.modified = Some(revision);
                self.closing.written(now);
            }
            (Ask::Write { .. }, Reply::Changed) => self.modified = None,
            (Ask::Read, Reply::Snapshot(snapshot)) => self.read(now, sent, snapshot, actions),
            (Ask::Revoke(_) | Ask::Delete(_), _) => self.closing.revoked(),
            (Ask::KeepAlive(_) | Ask::Write { .. }, _) => self.gone(now, actions),
            _ => {}
        }
    }

    /// Whether the key is not ours any more.
    fn is_gone(&self) -> bool {
        self.loss == Some(Loss::Gone) || self.stopped.is_some()
    }

    fn kept(&mut self, sent: Duration) {
        self.sure.kept(sent, self.terms.hold);
        self.keep_at = sent.saturating_add(self.terms.hold / 4);
    }

    fn made(&mut self, now: Duration, token: Token) {
        self.token = Some(token);
        self.read_at = now;
    }

    /// The pause is not there any more.
    fn gone(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let (why, loss) = match self.stopped.clone() {
            Some(by) => (NotPaused::Stopped(by.clone()), Loss::Stopped(by)),
            None => (NotPaused::Gone, Loss::Gone),
        };
        match self.stage {
            Stage::Preparing => self.end(now, Ends::NotPaused(why)),
            Stage::Running => self.lose(now, loss, actions),
            Stage::Closing => self.closing.gone(),
            Stage::Finished => {}
        }
    }

    fn read(
        &mut self,
        now: Duration,
        sent: Duration,
        at: Box<Snapshot>,
        actions: &mut Vec<Action>,
    ) {
        // What rang since the question was sent may not be in its answer.
        let rang = self.rang.is_some_and(|rang| rang >= sent);
        self.read_at = now.saturating_add(if rang { BELL } else { READ });
        let Some(token) = self.token else { return };
        let app = &self.terms.app.clone();
        let newest = at.serving(app).map(|(_, one)| one.registered).max();
        let ours = at.pauses.get(app).filter(|one| one.token == token);
        let is_released = ours.is_some_and(PauseEntry::is_released);
        let stop = ours.filter(|one| one.is_stop() && !matches!(self.ends, Ends::Resumed));
        if let Some(stop) = stop {
            self.stopped = Some(stop.pause.as_ref().map_or_else(String::new, |one| one.by.clone()));
        }
        let is_ended = is_released || self.stopped.is_some();
        let beaten = ours.map(|one| one.modified);
        self.modified = beaten;
        // It waits for a beat that is newer than its registration.
        if newest > beaten {
            self.beat_at = now;
        }
        let lost = self.sure.read(sent, &at, app, token, self.stage == Stage::Running);
        for (host, sure) in lost.not_alive {
            actions.push(Action::Tell(Notice::NotAlive(host, sure.saturating_sub(now))));
        }
        match (self.stage, barrier(&at, app, token, &self.terms.without)) {
            // An operator has ended it.
            (Stage::Preparing | Stage::Running, _) if is_ended => self.gone(now, actions),
            (Stage::Preparing, Barrier::Reached) => self.reached(now, actions),
            (Stage::Preparing, Barrier::Refused(hosts)) => {
                self.end(now, Ends::NotPaused(NotPaused::Refused(hosts)));
            }
            (Stage::Preparing, Barrier::Nobody) => {
                self.end(now, Ends::NotPaused(NotPaused::Nobody));
            }
            (Stage::Preparing | Stage::Running, Barrier::Gone) => self.gone(now, actions),
            (Stage::Running, _) => {
                if let Some(host) = lost.host {
                    self.lose(now, Loss::Host(host), actions);
                }
            }
            _ => {}
        }
        if is_released {
            self.closing.written(now);
        }
        if beaten.is_none() || self.stopped.is_some() {
            self.closing.gone();
        }
        self.closing.read(now, &at, app, token);
        self.seen = Some(at);
    }

    /// All are quiet. The command starts if they stay so for long enough.
    fn reached(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let enough = now.saturating_add(self.terms.hold / 5);
        if self.sure_until().is_none_or(|sure| sure < enough) {
            return;
        }
        actions.push(Action::Tell(Notice::Paused(self.sure.hosts())));
        match (self.terms.goal, self.token) {
            (Goal::Hold, Some(token)) => {
                self.stage = Stage::Finished;
                actions.push(Action::Finish(Outcome::Held(token)));
            }
            _ => {
                self.stage = Stage::Running;
                actions.push(Action::Start);
            }
        }
    }

    /// While the command runs: whether the pause is still sure.
    fn watch(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.stage == Stage::Running {
            let is_sure = self.sure_until().is_some_and(|sure| now < sure);
            match (&self.loss, is_sure) {
                (None, false) => self.lose(now, Loss::Unheard, actions),
                // Each host is in the same pause as before, which was never over.
                (Some(Loss::Unheard), true) if self.terms.kill.is_none() => {
                    self.loss = None;
                    actions.push(Action::Tell(Notice::Sure));
                }
                _ => {}
            }
        }
        if self.kill_at.is_some_and(|at| now >= at) {
            self.kill_at = None;
            actions.push(Action::Kill(Kill::Kill));
        }
        if self.stage == Stage::Preparing && now >= self.deadline() {
            let why = match (&self.away, &self.seen, self.token) {
                (Some(why), ..) => NotPaused::NoEtcd(why.clone()),
                (None, Some(at), Some(token)) => {
                    match barrier(at, &self.terms.app, token, &self.terms.without) {
                        Barrier::Waits(hosts) => NotPaused::Late(hosts),
                        _ => NotPaused::Late(Vec::new()),
                    }
                }
                _ => NotPaused::NoEtcd("no answer".to_owned()),
            };
            self.end(now, Ends::NotPaused(why));
        }
    }

    fn lose(&mut self, now: Duration, loss: Loss, actions: &mut Vec<Action>) {
        if matches!(self.loss, None | Some(Loss::Unheard)) && self.loss.as_ref() != Some(&loss) {
            let is_first = self.loss.is_none();
            self.loss = Some(loss.clone());
            actions.push(Action::Tell(Notice::Lost(loss)));
            if let (Some(grace), true) = (self.terms.kill, is_first) {
                actions.push(Action::Kill(Kill::Term));
                self.kill_at = Some(now.saturating_add(grace));
            }
        }
    }

    /// Until then all hosts must be quiet.
    fn deadline(&self) -> Duration {
        let wait = if self.token.is_some() { self.terms.wait } else { Duration::ZERO };
        self.began.saturating_add(wait).saturating_add(PATIENCE)
    }

    fn end(&mut self, now: Duration, ends: Ends) {
        if matches!(self.stage, Stage::Preparing | Stage::Running) {
            self.stage = Stage::Closing;
            self.ends = ends;
            self.again_at = now;
            self.closing = Closing::begin(now, self.sure.over_by(self.terms.hold));
            // The key is an operator's now: it stays as it is.
            if self.stopped.is_some() {
                self.closing.gone();
            }
        }
    }
}
