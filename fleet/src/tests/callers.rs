//! The callers of the world.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::clock::Clock;
use super::story::Kind;
use super::world::{Happens, World, GIVEN_UP, HOLD, WAIT};
use crate::agent::call::{Call, Said, What};
use crate::caller::talk::{
    Action, Ask, Direct, Event, Goal, Kill, Loss, Notice, Outcome, Reply, Terms,
};
use crate::caller::Caller;
use crate::keys::HostId;

/// What a caller hears.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Tick,
    Wakes,
    Arrives(Ask, Option<u64>),
    Told(u64, Reply),
    Rings,
    CommandEnds,
    Directs(Direct, bool),
    Directed(HostId, bool),
}

pub(super) struct Actor {
    pub clock: Clock,
    caller: Option<Caller>,
    pub is_dead: bool,
    pub asleep_until: u64,
    pub cut_until: u64,
    inbox: Vec<Act>,
    asks: u64,
    pub is_running: bool,
    pub was_started: bool,
    /// A loss was told.
    pub is_told: bool,
    /// The first one.
    pub loss: Option<Loss>,
    pub outcome: Option<Outcome>,
    rung: u64,
}

impl Actor {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            caller: None,
            is_dead: false,
            asleep_until: 0,
            cut_until: 0,
            inbox: Vec::new(),
            asks: 0,
            is_running: false,
            was_started: false,
            is_told: false,
            loss: None,
            outcome: None,
            rung: 0,
        }
    }

    pub(super) fn die(&mut self) {
        self.is_dead = true;
        self.inbox.clear();
    }

    pub(super) fn sure(&self) -> Option<Duration> {
        self.caller.as_ref()?.sure_until()
    }

    pub(super) fn tick(&self, now: u64) -> Option<u64> {
        if self.is_dead || now < self.asleep_until || self.outcome.is_some() {
            return None;
        }
        Some(self.clock.when(self.caller.as_ref()?.next()?).max(now))
    }
}

impl World {
    pub(super) fn begin(&mut self, at: usize) {
        let (_, _, kills) = self.story.callers[at];
        let terms = Terms {
            app: self.app.clone(),
            by: format!("caller #{at}"),
            reason: None,
            goal: Goal::Run,
            hold: Duration::from_millis(HOLD),
            wait: Duration::from_millis(WAIT),
            spread: None,
            concurrency: None,
            without: Default::default(),
            kill: kills.then_some(Duration::from_secs(1)),
        };
        let one = &mut self.callers[at];
        one.caller = Some(Caller::new(one.clock.shows(self.now), terms));
        if one.is_dead {
            return;
        }
        self.caller_event(at, Event::Begin);
    }

    /// Something in etcd has changed.
    pub(super) fn ring(&mut self, at: usize) {
        let (one, revision) = (&mut self.callers[at], self.etcd.revision);
        let is_new = std::mem::replace(&mut one.rung, revision) != revision;
        if is_new && one.caller.is_some() && self.now >= one.cut_until {
            self.later(7, Happens::Caller(at, Act::Rings));
        }
    }

    pub(super) fn act(&mut self, at: usize, act: Act) {
        match act {
            Act::Arrives(ask, answer) => return self.caller_arrives(at, ask, answer),
            Act::Directs(direct, is_answered) => return self.direct(at, &direct, is_answered),
            _ => {}
        }
        if let Act::CommandEnds = act {
            self.callers[at].is_running = false;
        }
        let one = &mut self.callers[at];
        if one.is_dead || one.outcome.is_some() {
            return;
        }
        if self.now < one.asleep_until {
            one.inbox.push(act);
            return;
        }
        match act {
            Act::Wakes => {
                for act in std::mem::take(&mut one.inbox) {
                    self.act(at, act);
                }
                self.caller_event(at, Event::Tick);
            }
            Act::Told(ask, reply) if ask == one.asks => {
                one.asks += 1;
                self.caller_event(at, Event::Told(reply));
            }
            Act::Rings => self.caller_event(at, Event::Bell),
            Act::Tick => self.caller_event(at, Event::Tick),
            Act::CommandEnds => self.caller_event(at, Event::Ended),
            Act::Directed(host, is_ok) => {
                let said = if is_ok { Ok(()) } else { Err("no answer".to_owned()) };
                self.caller_event(at, Event::Direct(host, said));
            }
            _ => {}
        }
    }

    fn caller_event(&mut self, at: usize, event: Event) {
        let one = &mut self.callers[at];
        let now = one.clock.shows(self.now);
        let mut actions = Vec::new();
        let Some(caller) = one.caller.as_mut() else { return };
        caller.handle(now, event, &mut actions);
        for action in actions {
            self.caller_acts(at, action);
        }
        let one = &self.callers[at];
        let is_late = one.sure().is_none_or(|sure| now > sure + Duration::from_millis(30));
        assert!(!one.is_running || one.is_told || !is_late, "a loss is not told");
    }

    fn caller_acts(&mut self, at: usize, action: Action) {
        let fate = self.fate();
        let one = &mut self.callers[at];
        match action {
            Action::Ask(ask) => {
                let number = one.asks;
                let (there, answer) = match fate.kind {
                    Kind::Fine => (fate.there, Some(number)),
                    Kind::AnswerLost => (fate.there, None),
                    Kind::Late => (GIVEN_UP + fate.there, None),
                    Kind::Lost => (u64::MAX, None),
                };
                if there < u64::MAX && self.now >= one.cut_until {
                    self.later(there, Happens::Caller(at, Act::Arrives(ask, answer)));
                }
                let failed = Reply::Failed("no answer".to_owned());
                self.later(GIVEN_UP, Happens::Caller(at, Act::Told(number, failed)));
            }
            Action::Start => {
                assert!(!one.was_started, "the command is started twice");
                (one.is_running, one.was_started) = (true, true);
                let (_, runs, _) = self.story.callers[at];
                self.check_quiet();
                self.later(runs, Happens::Caller(at, Act::CommandEnds));
            }
            Action::Kill(Kill::Kill) => self.later(1, Happens::Caller(at, Act::CommandEnds)),
            Action::Kill(Kill::Term) => {
                self.later(fate.back, Happens::Caller(at, Act::CommandEnds))
            }
            Action::Direct(direct) => {
                let is_answered = fate.kind == Kind::Fine;
                let host = direct.host.clone();
                match fate.kind {
                    Kind::Lost => self.later(1000, Happens::Caller(at, Act::Directed(host, false))),
                    _ => self
                        .later(fate.there, Happens::Caller(at, Act::Directs(direct, is_answered))),
                }
            }
            Action::Tell(Notice::Lost(loss)) => {
                one.is_told = true;
                one.loss.get_or_insert(loss);
            }
            Action::Tell(Notice::Sure) => one.is_told = false,
            Action::Tell(_) => {}
            Action::Finish(outcome) => {
                assert!(!one.is_running, "it finishes while the command runs");
                one.outcome = Some(outcome);
            }
        }
    }

    /// At the moment when a command starts.
    fn check_quiet(&self) {
        for host in self.hosts.iter().filter(|host| self.etcd.is_registered(&host.id)) {
            let passes = host.may_pass(self.now) && !host.is_disturbed;
            assert!(
                !passes,
                "{}: the command starts, but {:?} may pass requests on",
                self.now, host.id
            );
        }
    }

    fn caller_arrives(&mut self, at: usize, ask: Ask, answer: Option<u64>) {
        if !self.etcd.is_up || self.now < self.callers[at].cut_until {
            return;
        }
        let app = self.app.clone();
        let reply = self.etcd.caller(&app, ask);
        if let Some(number) = answer {
            let back = self.fate().back;
            self.later(back, Happens::Caller(at, Act::Told(number, reply)));
        }
    }

    /// A host is told by a caller, without etcd.
    fn direct(&mut self, at: usize, direct: &Direct, is_answered: bool) {
        let by = format!("caller #{at}");
        let host = self.hosts.iter_mut().find(|host| host.id == direct.host).unwrap();
        let mut is_ok = false;
        if host.is_up {
            let (token, pause) = (direct.token, direct.pause);
            let what = What::Pause;
            let call = Call::Disable { token, pause, what, by, spread: None, concurrency: None };
            let now = host.clock.at(self.now);
            // One that is over already is as good.
            let said = host.module.call(now, &call);
            is_ok = is_answered && !matches!(said, Said::Unreachable(_));
        }
        let name = direct.host.clone();
        self.later(20, Happens::Caller(at, Act::Directed(name, is_ok)));
    }
}
