//! The hosts of the world: an nginx with the module, and an agent.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::clock::Clock;
use super::etcd::Etcd;
use super::module::{Active, Module};
use super::story::Kind;
use super::world::{Happens, World, GIVEN_UP, HOLD};
use crate::agent::call::{Call, Said, What};
use crate::agent::{Action, Agent, Ask, Change, Event, Reply, Terms};
use crate::keys::{HostId, Key, LeaseId, Revision};
use crate::snapshot::{Entry, PauseEntry};
use crate::values::{Host, Stage};

/// A call of the endpoint that does not arrive within this time never does.
const SLACK: u64 = 1000;

/// What an agent hears.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    Tick,
    Wakes,
    NginxStarts,
    Told(u64, Reply),
    /// A call arrives at the endpoint. None: its answer is lost.
    Calls(Call, Option<u64>, u64),
    /// The wait for quiet is over.
    Waited(Call, u64),
    Answered(u64, Said),
    Changed(u64, Change),
    WatchEnded(u64),
}

pub(super) struct Machine {
    pub id: HostId,
    pub clock: Clock,
    pub value: Host,
    pub agent: Option<Agent>,
    /// Which agent it is.
    pub life: u64,
    pub asleep_until: u64,
    pub cut_until: u64,
    pub lags_until: u64,
    inbox: Vec<Heard>,
    asks: u64,
    calls: u64,
    /// The watch, and when its newest change arrives.
    watch: Option<(u64, u64)>,
    watches: u64,
    pub module: Module,
    /// Which version of it runs.
    pub version: u64,
    /// The newest lease that etcd gave its agent.
    pub lease: Option<LeaseId>,
    pub is_member: bool,
    pub is_leaving: bool,
    pub is_up: bool,
    pub takes: bool,
    started: u64,
    /// Which start of nginx it is, and since when the agent is asked what with.
    pub starts: u64,
    pub asked: Option<Duration>,
    /// Until then a request that was passed on is unfinished.
    pub unfinished_until: u64,
    /// An operator has ended its pause.
    pub is_disturbed: bool,
}

impl Machine {
    pub(super) fn new(at: usize, clock: Clock, reachable: bool) -> Self {
        let id = HostId(format!("h{at}"));
        let endpoint = reachable.then(|| format!("{at}"));
        Self {
            id,
            clock,
            value: Host { v: 1, endpoint, ..Host::default() },
            agent: None,
            life: 0,
            asleep_until: 0,
            cut_until: 0,
            lags_until: 0,
            inbox: Vec::new(),
            asks: 0,
            calls: 0,
            watch: None,
            watches: 0,
            module: Module::default(),
            version: 1,
            lease: None,
            is_member: false,
            is_leaving: false,
            is_up: false,
            takes: false,
            started: 0,
            starts: 0,
            asked: None,
            unfinished_until: 0,
            is_disturbed: false,
        }
    }

    pub(super) fn kill_agent(&mut self) {
        self.agent = None;
        self.life += 1;
        self.inbox.clear();
        self.watch = None;
        self.asleep_until = 0;
    }

    pub(super) fn kill_nginx(&mut self) {
        (self.is_up, self.takes, self.unfinished_until) = (false, false, 0);
        (self.starts, self.asked) = (self.starts + 1, None);
    }

    /// Whether a request may reach the app, or one is still there.
    pub(super) fn may_pass(&self, now: u64) -> bool {
        self.is_up && ((self.takes && self.module.active.is_none()) || now < self.unfinished_until)
    }

    pub(super) fn tick(&self, now: u64) -> Option<u64> {
        let next = self.agent.as_ref()?.next()?;
        (now >= self.asleep_until).then(|| self.clock.when(next).max(now))
    }
}

impl World {
    pub(super) fn boot(&mut self, at: usize) {
        self.hosts[at].is_member = true;
        self.hosts[at].module = Module::default();
        self.start_agent(at);
        self.start_nginx(at);
    }

    pub(super) fn start_agent(&mut self, at: usize) {
        if self.hosts[at].agent.is_some() || !self.hosts[at].is_member {
            return;
        }
        let (app, fleet) = (self.app.clone(), self.etcd.fleet.clone());
        let host = &mut self.hosts[at];
        let terms = Terms {
            fleet,
            host: host.value.clone(),
            poll: Duration::from_millis(1000),
            look: Duration::from_millis(1000),
            slack: Duration::from_millis(SLACK),
        };
        (host.life, host.asleep_until) = (host.life + 1, 0);
        host.agent = Some(Agent::new(host.clock.shows(self.now), terms));
        self.event(at, Event::Apps(vec![app]));
    }

    pub(super) fn start_nginx(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        if host.is_member && !host.is_up {
            if self.story.starters {
                host.starts += 1;
                let start = host.starts;
                return self.ask_start(at, start);
            }
            host.is_up = true;
            host.started = host.clock.at(self.now);
            self.hear(at, Heard::NginxStarts);
        }
    }

    pub(super) fn hear(&mut self, at: usize, heard: Heard) {
        let host = &mut self.hosts[at];
        // What is under way goes on, whether the agent sleeps or not.
        match heard {
            Heard::Calls(call, answer, quiet) => return self.called(at, call, answer, quiet),
            Heard::Waited(call, answer) => return self.waited(at, &call, answer),
            _ => {}
        }
        if self.now < host.asleep_until {
            host.inbox.push(heard);
            return;
        }
        match heard {
            Heard::Wakes => {
                for one in std::mem::take(&mut host.inbox) {
                    self.hear(at, one);
                }
                self.event(at, Event::Tick);
            }
            Heard::Told(ask, reply) if ask == host.asks => {
                host.asks += 1;
                if let Reply::Granted(lease) = &reply {
                    host.lease = Some(*lease);
                }
                self.event(at, Event::Told(reply));
            }
            Heard::Answered(call, said) if call == host.calls => {
                host.calls += 1;
                let app = self.app.clone();
                self.event(at, Event::Answered(app, said));
            }
            Heard::Changed(watch, change) if host.watch.is_some_and(|(one, _)| one == watch) => {
                self.event(at, Event::Changed(change));
            }
            Heard::WatchEnded(watch) if watch == host.watches => self.event(at, Event::WatchEnded),
            Heard::Tick => self.event(at, Event::Tick),
            Heard::NginxStarts => self.event(at, Event::Forget),
            _ => {}
        }
    }

    pub(super) fn event(&mut self, at: usize, event: Event) {
        let host = &mut self.hosts[at];
        let now = host.clock.shows(self.now);
        let mut actions = Vec::new();
        let Some(agent) = host.agent.as_mut() else { return };
        agent.handle(now, event, &mut actions);
        let since = Duration::from_millis(host.started);
        if host.is_up && !host.takes && agent.is_ready(since) {
            host.takes = true;
            // The first request.
            if host.module.active.is_none() {
                host.unfinished_until = self.now + 100;
            }
        }
        for action in actions {
            self.agent_acts(at, action);
        }
        self.answer_start(at);
    }

    fn agent_acts(&mut self, at: usize, action: Action) {
        let (fate, life) = (self.fate(), self.hosts[at].life);
        match action {
            Action::Ask(ask) => {
                let number = self.hosts[at].asks;
                let (there, answer) = match fate.kind {
                    Kind::Fine => (fate.there, Some(number)),
                    Kind::AnswerLost => (fate.there, None),
                    Kind::Late => (GIVEN_UP + fate.there, None),
                    Kind::Lost => (u64::MAX, None),
                };
                if there < u64::MAX && self.now >= self.hosts[at].cut_until {
                    self.later(there, Happens::Arrives(at, life, ask, answer));
                }
                self.later(GIVEN_UP, Happens::Host(at, life, Heard::Told(number, Reply::Failed)));
            }
            Action::Watch(from) => self.watch(at, from),
            Action::Call(_, call) => {
                let number = self.hosts[at].calls;
                let failed = match self.hosts[at].is_up {
                    true => Said::Unreachable("no answer".to_owned()),
                    false => Said::Down("refused".to_owned()),
                };
                match (self.hosts[at].is_up, fate.kind) {
                    (false, _) | (_, Kind::Lost) => {}
                    (true, Kind::Fine) => {
                        let heard = Heard::Calls(call.clone(), Some(number), fate.quiet);
                        self.later(fate.there, Happens::Host(at, life, heard));
                    }
                    (true, _) => {
                        let heard = Heard::Calls(call.clone(), None, fate.quiet);
                        self.later(fate.there, Happens::Host(at, life, heard));
                    }
                }
                let wait = match &call {
                    Call::Wait { wait, .. } => u64::try_from(wait.as_millis()).unwrap(),
                    _ => 0,
                };
                let patience = if self.hosts[at].is_up { wait + 2 * SLACK } else { 5 };
                self.later(patience, Happens::Host(at, life, Heard::Answered(number, failed)));
            }
        }
    }

    /// A question arrives at etcd, whatever has become of the agent that asked it.
    pub(super) fn arrive(&mut self, at: usize, life: u64, ask: Ask, answer: Option<u64>) {
        if !self.etcd.is_up || self.now < self.hosts[at].cut_until {
            return;
        }
        let id = self.hosts[at].id.clone();
        let reply = self.etcd.agent(&id, ask);
        if let Some(number) = answer {
            let back = self.fate().back;
            self.later(back, Happens::Host(at, life, Heard::Told(number, reply)));
        }
    }

    /// A call reaches the endpoint.
    fn called(&mut self, at: usize, call: Call, answer: Option<u64>, quiet: u64) {
        let host = &mut self.hosts[at];
        if !host.is_up {
            return;
        }
        self.check_end_of(at, &call);
        let host = &mut self.hosts[at];
        let now = host.clock.at(self.now);
        let was_open = host.module.active.is_none();
        let said = host.module.call(now, &call);
        if was_open && host.module.active.is_some() && host.takes {
            host.unfinished_until = self.now + quiet;
        }
        self.later(HOLD + 1, Happens::Passes);
        let (life, back) = (self.hosts[at].life, self.fate().back % 300);
        let Some(number) = answer else { return };
        match (&call, &said) {
            (Call::Wait { wait, .. }, Said::Is(_)) => {
                let wait = u64::try_from(wait.as_millis()).unwrap();
                let left = self.hosts[at].unfinished_until.saturating_sub(self.now);
                let heard = Heard::Waited(call, number);
                self.later(left.min(wait), Happens::Host(at, life, heard));
            }
            _ => self.later(back, Happens::Host(at, life, Heard::Answered(number, said))),
        }
    }

    /// Only what is over is ended.
    fn check_end_of(&self, at: usize, call: &Call) {
        let (host, key) = (&self.hosts[at], self.etcd.fleet.key(&Key::Pause(self.app.clone())));
        let Call::Disable { pause, what, .. } = call else { return };
        let is_that = |one: &&Active| {
            one.number == *pause && (*what == What::Stop || one.what == What::Pause)
        };
        let Some(one) = host.module.active.as_ref().filter(is_that) else { return };
        let token = one.token.expect("another's pause is ended");
        let Some(entry) = self.etcd.keys.get(&key) else { return };
        let pause = PauseEntry::of(entry);
        let is_stop = pause.token.0 == token && one.what == What::Stop && pause.is_stop();
        assert!(!is_stop, "{}: a live stop is ended", self.now);
        let is_live = pause.token.0 == token && pause.pause.as_ref().unwrap().stage == Stage::Hold;
        let age = self.now - self.etcd.beats[&token];
        assert!(!is_live || age * 100 > HOLD * 98, "{}: a live pause is ended", self.now);
    }

    fn waited(&mut self, at: usize, call: &Call, number: u64) {
        let Call::Wait { pause, .. } = call else { return };
        let host = &self.hosts[at];
        let status = host.module.status(host.clock.at(self.now));
        use crate::agent::call::{Refusal, State};
        let said = match (
            status.state == State::Paused && status.pause == *pause,
            self.now < host.unfinished_until,
        ) {
            (false, _) => Said::Refused(Refusal::NotThatPause),
            (true, true) => Said::Refused(Refusal::NotQuiet("1 request".to_owned())),
            (true, false) => Said::Is(status),
        };
        if host.is_up {
            let (life, back) = (host.life, self.fate().back % 300);
            self.later(back, Happens::Host(at, life, Heard::Answered(number, said)));
        }
    }

    fn watch(&mut self, at: usize, from: Revision) {
        let host = &mut self.hosts[at];
        host.watches += 1;
        host.watch = Some((host.watches, self.now));
        if from.0 < self.etcd.compacted {
            return self.end_watch(at, 10);
        }
        let missed: Vec<_> =
            self.etcd.history.iter().filter(|(revision, ..)| *revision > from.0).cloned().collect();
        for (revision, key, entry) in missed {
            self.tell_change(at, revision, &key, entry.as_ref());
        }
    }

    pub(super) fn end_watch(&mut self, at: usize, after: u64) {
        let host = &mut self.hosts[at];
        host.watch = None;
        let (life, watch) = (host.life, host.watches);
        self.later(after, Happens::Host(at, life, Heard::WatchEnded(watch)));
    }

    /// etcd has changed a key.
    pub(super) fn change(&mut self, revision: u64, key: &str, entry: Option<&Entry>) {
        for at in 0..self.hosts.len() {
            self.tell_change(at, revision, key, entry);
        }
    }

    fn tell_change(&mut self, at: usize, revision: u64, key: &str, entry: Option<&Entry>) {
        let Some(Key::Pause(app)) = Etcd::read(&self.etcd, key) else { return };
        let Some((watch, last)) = self.hosts[at].watch else { return };
        if self.now < self.hosts[at].cut_until {
            return self.end_watch(at, 2000);
        }
        let lag = self.fate().there % 200;
        let host = &mut self.hosts[at];
        let time = last.max(self.now + lag).max(host.lags_until);
        host.watch = Some((watch, time));
        let change = Change { revision: Revision(revision), app, pause: entry.map(PauseEntry::of) };
        let (life, after) = (host.life, time - self.now);
        self.later(after, Happens::Host(at, life, Heard::Changed(watch, change)));
    }
}

impl Etcd {
    fn read(&self, key: &str) -> Option<Key> {
        self.fleet.read(key)
    }
}
