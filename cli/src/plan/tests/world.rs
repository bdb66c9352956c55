//! Endpoints, a network between, other callers, a command: all of it by a story that is given.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::endpoint::{refused, Deed, Endpoint};
use crate::client::answer::{Effect, Failure, Said};
use crate::plan::action::{Action, Call, Outcome};
use crate::plan::event::{Event, Exit, HostId, Sender, Signal};
use crate::plan::terms::{Goal, Join, OnLost, Terms};
use crate::plan::Plan;

pub const OURS: &str = "us #1";
const LEASE: u64 = 3000;
const WAIT: u64 = 1000;

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    pub kind: Kind,
    /// The times of its way there, of its way back, and until the app is quiet, in ms.
    pub there: u64,
    pub back: u64,
    pub quiet: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fine,
    NoConnection,
    /// It breaks before it is carried out.
    LostBefore,
    /// It is carried out, but its answer is lost.
    LostAfter,
    /// The connection breaks while the endpoint waits for quiet.
    Broken,
    /// The endpoint cannot do it now.
    Busy,
}

#[derive(Clone, Debug)]
pub struct Story {
    pub hosts: usize,
    pub join: Join,
    pub on_lost: OnLost,
    pub goal: Goal,
    /// Those of the calls, in their order, again and again.
    pub fates: Vec<Fate>,
    pub deeds: Vec<(u64, usize, Deed)>,
    pub signal: Option<u64>,
    /// From then on this host does not answer.
    pub dead: Vec<Option<u64>>,
    /// How long the command runs.
    pub runs: u64,
}

#[derive(Clone, Debug)]
enum Happens {
    Arrives(u64),
    /// The app is quiet, or the wait is over.
    WaitOver(u64),
    Answers(u64, Said),
    RollsBack(u64),
    Deed(usize, Deed),
    Signal,
    CommandEnds,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    host: usize,
    call: Call,
    fate: Fate,
    is_over: bool,
}

pub struct World {
    story: Story,
    plan: Plan,
    now: u64,
    hosts: Vec<Endpoint>,
    coming: BTreeMap<(u64, u64), Happens>,
    count: u64,
    sent: Vec<Sent>,
    under_way: Vec<Option<u64>>,
    starts: u32,
    is_running: bool,
    /// A host was open while the command ran.
    was_open: bool,
    outcome: Option<Outcome>,
}

impl World {
    pub fn new(story: Story) -> Self {
        let terms = Terms {
            goal: story.goal,
            by: OURS.to_owned(),
            lease: Duration::from_millis(LEASE),
            wait: Duration::from_millis(WAIT),
            patience: Duration::from_millis(WAIT),
            join: story.join,
            on_lost: story.on_lost,
        };
        // An earlier call has paused some of them. Of half of those it is not known.
        let mut hosts = vec![Endpoint::default(); story.hosts];
        let mut known = vec![None; story.hosts];
        let keeps = story.goal == Goal::Resume || story.fates.len().is_multiple_of(2);
        for (at, (host, known)) in hosts.iter_mut().zip(&mut known).enumerate().filter(|_| keeps) {
            match story.runs % 5 + at as u64 {
                0 => {}
                1 => host.begin(0, OURS, Some(LEASE), None),
                2 => *known = Some(77),
                _ => {
                    host.begin(0, OURS, Some(LEASE), None);
                    *known = Some(1);
                }
            }
        }
        let lease = Duration::from_millis(LEASE);
        let plan = match story.goal {
            Goal::Resume => Plan::to_resume(terms, &known, lease),
            Goal::Hold if keeps => Plan::to_keep(terms, &known),
            _ => {
                hosts = vec![Endpoint::default(); story.hosts];
                Plan::to_pause(terms, story.hosts)
            }
        };
        let mut world = Self {
            plan,
            now: 0,
            hosts,
            coming: BTreeMap::new(),
            count: 0,
            sent: Vec::new(),
            under_way: vec![None; story.hosts],
            starts: 0,
            is_running: false,
            was_open: false,
            outcome: None,
            story,
        };
        for (time, host, deed) in world.story.deeds.clone() {
            world.later(time, Happens::Deed(host % world.story.hosts, deed));
        }
        if let Some(time) = world.story.signal {
            world.later(time, Happens::Signal);
        }
        world
    }

    /// Plays the story to its end, and checks what the plan promises.
    pub fn play(mut self) -> Outcome {
        self.tell(Event::Begin);
        for _ in 0..5000 {
            if let Some(outcome) = self.outcome.take() {
                self.check_end(&outcome);
                return outcome;
            }
            self.step();
        }
        panic!("the plan does not finish: {:?}", self.plan);
    }

    fn later(&mut self, after: u64, what: Happens) {
        self.count += 1;
        self.coming.insert((self.now + after, self.count), what);
    }

    /// The next thing happens: in the world, or a tick.
    fn step(&mut self) {
        let tick =
            self.plan.next().map(|time| u64::try_from(time.as_micros().div_ceil(1000)).unwrap());
        let coming = self.coming.keys().next().copied();
        let is_tick = match (tick, coming) {
            (Some(tick), Some((time, _))) => tick < time,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => panic!("the plan waits for nothing: {:?}", self.plan),
        };
        let time = if is_tick { tick } else { coming.map(|(time, _)| time) };
        self.now = self.now.max(time.unwrap_or(0));
        assert!(self.now < 120_000, "the plan does not finish: {:?}", self.plan);
        self.pass();
        if is_tick {
            return self.tell(Event::Tick);
        }
        let happens = coming.and_then(|key| self.coming.remove(&key)).unwrap();
        self.happen(happens);
        self.pass();
    }

    fn pass(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.pass(self.now));
        let is_open = self.hosts.iter().any(|host| host.active.is_none());
        self.was_open |= self.is_running && is_open;
    }

    fn happen(&mut self, happens: Happens) {
        match happens {
            Happens::Deed(host, deed) => {
                self.hosts[host].deed(self.now, deed);
                self.dismiss(host);
            }
            Happens::Signal => self.tell(Event::Signal(Signal(15), Sender::Process)),
            Happens::CommandEnds => {
                if std::mem::take(&mut self.is_running) {
                    self.tell(Event::Ended(Exit::Status(0)));
                }
            }
            Happens::RollsBack(call) => self.roll_back(call),
            Happens::Arrives(call) => self.arrive(call),
            Happens::WaitOver(call) => self.wait_over(call),
            Happens::Answers(call, said) => {
                let sent = &mut self.sent[usize::try_from(call).unwrap()];
                let host = sent.host;
                if !std::mem::replace(&mut sent.is_over, true) {
                    self.under_way[host] = None;
                    self.tell(Event::Answered(HostId(host), said));
                }
            }
        }
    }

    fn roll_back(&mut self, call: u64) {
        let host = self.sent[usize::try_from(call).unwrap()].host;
        if self.hosts[host].waits(call) {
            self.hosts[host].end("rollback");
        }
    }

    fn is_dead(&self, host: usize) -> bool {
        self.story.dead[host].is_some_and(|time| time <= self.now)
    }

    fn arrive(&mut self, call: u64) {
        let Sent { host, call: what, fate, .. } = self.sent[usize::try_from(call).unwrap()];
        if self.is_dead(host) {
            return self.later(fate.back, Happens::Answers(call, lost()));
        }
        let (now, endpoint) = (self.now, &mut self.hosts[host]);
        let said = match what {
            _ if fate.kind == Kind::Busy && what != Call::Look => {
                refused(crate::client::answer::Kind::Later)
            }
            Call::Enable => match endpoint.enable(now, OURS, LEASE, call) {
                Some(said) => said,
                None if fate.kind == Kind::Broken => {
                    self.later(fate.back, Happens::Answers(call, lost()));
                    return self.later(fate.back + fate.quiet % 250, Happens::RollsBack(call));
                }
                None => return self.later(fate.quiet.min(WAIT), Happens::WaitOver(call)),
            },
            Call::Join(pause) | Call::Renew(pause) => endpoint.renew(now, pause, LEASE),
            Call::Look => endpoint.look(None),
            Call::Disable(pause) => endpoint.disable(pause, OURS),
        };
        self.answer(call, said);
    }

    fn wait_over(&mut self, call: u64) {
        let Sent { host, fate, .. } = self.sent[usize::try_from(call).unwrap()];
        if !self.hosts[host].waits(call) || self.under_way[host] != Some(call) {
            return;
        }
        if fate.quiet > WAIT {
            self.hosts[host].end("rollback");
            return self.answer(call, refused(crate::client::answer::Kind::NotQuiet));
        }
        self.hosts[host].active.as_mut().unwrap().provisional = None;
        let said = self.hosts[host].look(Some(true));
        self.answer(call, said);
    }

    fn answer(&mut self, call: u64, said: Said) {
        let Sent { host, fate, .. } = self.sent[usize::try_from(call).unwrap()];
        let is_lost = matches!(fate.kind, Kind::LostAfter | Kind::Broken) || self.is_dead(host);
        self.later(fate.back, Happens::Answers(call, if is_lost { lost() } else { said }));
    }

    /// Another caller's deed answers the calls that wait.
    fn dismiss(&mut self, host: usize) {
        let Some(call) = self.under_way[host] else { return };
        let sent = self.sent[usize::try_from(call).unwrap()];
        let waited = self
            .coming
            .iter()
            .any(|(_, what)| matches!(what, Happens::WaitOver(one) if *one == call));
        if sent.call == Call::Enable && waited && !self.hosts[host].waits(call) {
            self.answer(call, refused(crate::client::answer::Kind::Superseded));
        }
    }

    fn tell(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.plan.handle(Duration::from_millis(self.now), event, &mut actions);
        for action in actions {
            assert!(self.outcome.is_none(), "an action after the last one: {action:?}");
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Call(HostId(host), call) => self.send(host, call),
            Action::Cancel(HostId(host)) => self.cancel(host),
            Action::Start => self.start(),
            Action::Signal(_) => {
                if self.is_running {
                    self.later(100, Happens::CommandEnds);
                }
            }
            Action::Tell(_) => {}
            Action::Finish(outcome) => self.outcome = Some(outcome),
        }
    }

    fn send(&mut self, host: usize, call: Call) {
        assert!(self.under_way[host].is_none(), "two calls at a time");
        let fate = self.story.fates[self.sent.len() % self.story.fates.len()];
        let number = u64::try_from(self.sent.len()).unwrap();
        self.sent.push(Sent { host, call, fate, is_over: false });
        self.under_way[host] = Some(number);
        match fate.kind {
            Kind::NoConnection => {
                let said = refused(crate::client::answer::Kind::Unreachable);
                self.later(fate.there, Happens::Answers(number, said));
            }
            Kind::LostBefore => self.later(fate.there, Happens::Answers(number, lost())),
            _ => self.later(fate.there, Happens::Arrives(number)),
        }
    }

    /// The connection is closed. A call that is on its way may still arrive: if it waits, it is
    /// rolled back as soon as nginx sees that its caller is gone.
    fn cancel(&mut self, host: usize) {
        let number = self.under_way[host].take().expect("a call is under way");
        let sent = &mut self.sent[usize::try_from(number).unwrap()];
        sent.is_over = true;
        let Sent { call, fate, .. } = *sent;
        if call == Call::Enable && fate.kind != Kind::NoConnection {
            self.later(240, Happens::RollsBack(number));
        }
        let arrives = |what: &Happens| matches!(what, Happens::Arrives(one) if *one == number);
        let key = self.coming.iter().find(|(_, what)| arrives(what)).map(|(key, _)| *key);
        if let Some(key) = key.filter(|(time, _)| call != Call::Enable || *time >= self.now + 240) {
            self.coming.remove(&key);
        }
    }

    fn start(&mut self) {
        self.starts += 1;
        assert_eq!(self.starts, 1, "the command is started once");
        for host in &self.hosts {
            let quiet = host.active.as_ref().is_some_and(|one| one.provisional.is_none());
            assert!(quiet || host.interfered, "the command runs, but not all are quiet: {host:?}");
        }
        self.is_running = true;
        self.pass();
        self.later(self.story.runs, Happens::CommandEnds);
    }

    fn check_end(&self, outcome: &Outcome) {
        assert!(!self.is_running, "the plan is finished while the command runs");
        let ours = |host: &&Endpoint| {
            let one = host.active.as_ref().filter(|one| one.by == OURS);
            one.is_some_and(|one| !one.is_stopped && !one.is_shared)
        };
        let left: Vec<_> = self.hosts.iter().filter(ours).collect();
        match outcome {
            Outcome::Held => {
                let paused = |host: &Endpoint| host.interfered || host.active.is_some();
                assert!(self.hosts.iter().all(paused), "held, but not all are paused");
            }
            _ => assert!(left.is_empty(), "a pause of ours is left: {left:?} after {outcome:?}"),
        }
        if let Outcome::Ran(_) = outcome {
            assert!(!self.was_open, "a host was open while the command ran, and that is not told");
        }
    }
}

fn lost() -> Said {
    Err(Failure {
        kind: crate::client::answer::Kind::Unreachable,
        text: "lost".to_owned(),
        effect: Effect::Unknown,
    })
}
