//! Hosts with agents, callers, etcd and a network between them: all of it by a story.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::callers::{Act, Actor};
use super::clock::Clock;
use super::etcd::Etcd;
use super::hosts::{Heard, Machine};
use super::story::{Deed, Fate, Kind, Story};
use crate::agent::call::What;
use crate::agent::Ask;
use crate::caller::talk;
use crate::keys::{App, Fleet};

/// The hard end's distance, in ms.
pub(super) const HOLD: u64 = 20_000;
pub(super) const WAIT: u64 = 3000;
/// A question of etcd is given up after this time.
pub(super) const GIVEN_UP: u64 = 3000;
/// From then on nothing bad happens.
pub(super) const HEALED: u64 = 60_000;
/// By then all hosts are stopped, if the fleet is. Then that is over.
const STOPPED: u64 = HEALED + 2 * HOLD;
/// By then all is at rest.
const REST: u64 = HEALED + 6 * HOLD;
pub(super) const HOSTS: usize = 4;

#[derive(Clone, Debug)]
pub(super) enum Happens {
    Deed(Deed),
    /// For the host's agent, if it is still this one.
    Host(usize, u64, Heard),
    Caller(usize, Act),
    CallerBegins(usize),
    /// Its lease may be over.
    Expires(i64),
    /// A pause may be over.
    Passes,
    /// The fleet is not stopped any more.
    StopEnds,
    EtcdUp,
    AgentStarts(usize),
    NginxStarts(usize),
    /// A question of an agent arrives at etcd. The last number is for its answer.
    Arrives(usize, u64, Ask, Option<u64>),
    Looks(usize),
    /// That of a host that leaves.
    LeaseEnds(usize),
    /// What starts nginx asks the agent. Only this try counts.
    Asks(usize, u64),
    /// That try's nginx is there.
    IsUp(usize, u64),
}

pub(super) struct World {
    pub story: Story,
    pub now: u64,
    pub app: App,
    pub etcd: Etcd,
    pub hosts: Vec<Machine>,
    pub callers: Vec<Actor>,
    coming: BTreeMap<(u64, u64), Happens>,
    count: u64,
    fates: usize,
    /// How much of etcd's history, and of its leases, was seen to.
    told: usize,
    leases: i64,
}

impl World {
    pub(super) fn new(story: Story) -> Self {
        let clock = |at: usize| {
            let (offset, rate) = story.clocks[at % story.clocks.len()];
            Clock { offset, rate }
        };
        let hosts = (0..HOSTS).map(|at| Machine::new(at, clock(at), story.endpoints)).collect();
        let callers = (0..story.callers.len()).map(|at| Actor::new(clock(HOSTS + at))).collect();
        let mut world = Self {
            now: 0,
            app: App("a".to_owned()),
            etcd: Etcd::new(Fleet::parse("web").unwrap()),
            hosts,
            callers,
            coming: BTreeMap::new(),
            count: 0,
            fates: 0,
            told: 0,
            leases: 0,
            story,
        };
        for (time, deed) in world.story.deeds.clone() {
            world.later(time, Happens::Deed(deed));
        }
        for (at, (time, ..)) in world.story.callers.clone().into_iter().enumerate() {
            world.later(time, Happens::CallerBegins(at));
        }
        world.later(STOPPED, Happens::StopEnds);
        (0..HOSTS).for_each(|at| world.later(500, Happens::Looks(at)));
        for at in 0..world.story.hosts {
            world.boot(at);
        }
        world
    }

    pub(super) fn later(&mut self, after: u64, what: Happens) {
        self.count += 1;
        self.coming.insert((self.now + after, self.count), what);
    }

    pub(super) fn fate(&mut self) -> Fate {
        let fate = self.story.fates[self.fates % self.story.fates.len()];
        self.fates += 1;
        match self.now < HEALED {
            true => fate,
            false => Fate {
                kind: Kind::Fine,
                there: fate.there % 50,
                back: fate.back % 50,
                quiet: fate.quiet % 500,
            },
        }
    }

    /// Plays the story to its end.
    pub(super) fn play(mut self) -> Self {
        for _ in 0..200_000 {
            let tick = self.ticks();
            let coming = self.coming.keys().next().map(|(time, _)| *time);
            let time = tick.map(|(time, _)| time).into_iter().chain(coming).min();
            let Some(time) = time.filter(|time| *time < REST) else {
                self.check_end();
                return self;
            };
            self.now = self.now.max(time);
            self.etcd.now = self.now;
            self.pass();
            match tick {
                Some((tick, who)) if tick <= time => self.tick(who),
                _ => {
                    let key = *self.coming.keys().next().unwrap();
                    let what = self.coming.remove(&key).unwrap();
                    self.happen(what);
                }
            }
            self.pass();
            self.tell_watchers();
            self.check();
        }
        panic!("it does not come to rest: {}, {:?}", self.now, self.ticks());
    }

    /// The next tick of an agent or a caller.
    fn ticks(&self) -> Option<(u64, Who)> {
        let hosts = self
            .hosts
            .iter()
            .enumerate()
            .filter_map(|(at, one)| Some((one.tick(self.now)?, Who::Host(at))));
        let callers = self.callers.iter().enumerate();
        let callers = callers.filter_map(|(at, one)| Some((one.tick(self.now)?, Who::Caller(at))));
        hosts.chain(callers).min_by_key(|(time, _)| *time)
    }

    fn tick(&mut self, who: Who) {
        match who {
            Who::Host(at) => self.hear(at, Heard::Tick),
            Who::Caller(at) => self.act(at, Act::Tick),
        }
    }

    /// Pauses end by their leases.
    fn pass(&mut self) {
        for host in &mut self.hosts {
            let now = host.clock.at(self.now);
            host.module.pass(now);
        }
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Deed(deed) => self.deed(deed),
            Happens::Host(at, life, heard) => {
                if self.hosts[at].life == life {
                    self.hear(at, heard);
                }
            }
            Happens::Caller(at, act) => self.act(at, act),
            Happens::CallerBegins(at) => self.begin(at),
            Happens::Expires(lease) => self.expire(lease),
            Happens::Passes => {}
            Happens::StopEnds => self.end_stop(),
            Happens::EtcdUp => {
                self.etcd.is_up = true;
                self.etcd.extend();
                let all: Vec<_> = self.etcd.leases.iter().map(|(id, one)| (*id, one.ttl)).collect();
                all.into_iter().for_each(|(id, ttl)| self.later(ttl, Happens::Expires(id)));
            }
            Happens::AgentStarts(at) => self.start_agent(at),
            Happens::NginxStarts(at) => self.start_nginx(at),
            Happens::Arrives(at, life, ask, answer) => self.arrive(at, life, ask, answer),
            Happens::LeaseEnds(at) => self.end_lease(at),
            Happens::Looks(at) => self.look_at_versions(at),
            Happens::Asks(at, start) => self.ask_start(at, start),
            Happens::IsUp(at, start) => self.is_up(at, start),
        }
    }

    fn expire(&mut self, lease: i64) {
        let Some(one) = self.etcd.leases.get(&lease).copied() else { return };
        if !self.etcd.is_up {
            return;
        }
        match one.deadline.saturating_sub(self.now) {
            0 => {
                self.etcd.revoke(crate::keys::LeaseId(lease));
            }
            left => self.later(left + self.now % 700, Happens::Expires(lease)),
        }
    }

    /// New leases have their ends; watchers are told what is new.
    fn tell_watchers(&mut self) {
        while self.leases < self.etcd.leases_made {
            self.leases += 1;
            let ttl = self.etcd.leases.get(&self.leases).map_or(0, |one| one.ttl);
            self.later(ttl, Happens::Expires(self.leases));
        }
        let history: Vec<_> = self.etcd.history[self.told..].to_vec();
        self.told = self.etcd.history.len();
        for (revision, key, entry) in history {
            self.change(revision, &key, entry.as_ref());
        }
        if self.told > 0 {
            for at in 0..self.callers.len() {
                self.ring(at);
            }
        }
    }

    fn deed(&mut self, deed: Deed) {
        let clock = |at: usize| self.hosts[at].clock.at(self.now);
        match deed {
            Deed::AgentDies(at, time) => {
                self.hosts[at].kill_agent();
                self.later(time, Happens::AgentStarts(at));
            }
            Deed::AgentSleeps(at, time) if self.hosts[at].agent.is_some() => {
                self.hosts[at].asleep_until = self.now + time;
                let life = self.hosts[at].life;
                self.later(time, Happens::Host(at, life, Heard::Wakes));
            }
            Deed::NginxDies(at, time) if self.hosts[at].is_member => {
                self.hosts[at].kill_nginx();
                self.later(time, Happens::NginxStarts(at));
            }
            Deed::HostDies(at, time) if self.hosts[at].is_member => {
                self.hosts[at].kill_nginx();
                self.hosts[at].kill_agent();
                if !self.story.starters {
                    self.hosts[at].module = Default::default();
                }
                self.later(time, Happens::AgentStarts(at));
                self.later(time + 100, Happens::NginxStarts(at));
            }
            Deed::Joins(at) if !self.hosts[at].is_member && !self.hosts[at].is_leaving => {
                self.boot(at)
            }
            Deed::Leaves(at) if self.hosts[at].is_member && self.etcd.is_up => {
                self.leave(at);
            }
            Deed::Upgrade(at) => self.hosts[at].version += 1,
            Deed::Cut(at, time) => self.hosts[at].cut_until = self.now + time,
            Deed::CallerCut(at, time) => {
                if let Some(one) = self.callers.get_mut(at) {
                    one.cut_until = self.now + time;
                }
            }
            Deed::CallerDies(at) => {
                if let Some(one) = self.callers.get_mut(at) {
                    one.die();
                }
            }
            Deed::CallerSleeps(at, time) => {
                let now = self.now;
                if let Some(one) = self.callers.get_mut(at) {
                    one.asleep_until = now + time;
                    self.later(time, Happens::Caller(at, Act::Wakes));
                }
            }
            Deed::EtcdDown(time) if self.etcd.is_up => {
                self.etcd.is_up = false;
                self.later(time, Happens::EtcdUp);
            }
            Deed::NewLeader => self.etcd.extend(),
            Deed::Compaction => self.etcd.compacted = self.etcd.revision,
            Deed::WatchEnds(at) => self.end_watch(at, 100),
            Deed::WatchLags(at, time) => self.hosts[at].lags_until = self.now + time,
            Deed::Stop if self.etcd.is_up => self.etcd.stop(&self.app.clone()),
            Deed::Alice(at) => {
                let now = clock(at);
                if self.hosts[at].is_up {
                    self.hosts[at].module.alice(now, 5000);
                }
                self.later(5100, Happens::Passes);
            }
            Deed::AliceEnds(at) => {
                let now = clock(at);
                let host = &mut self.hosts[at];
                if host.is_up && host.module.active.is_some() {
                    host.module.end("alice", now);
                    host.is_disturbed = true;
                }
            }
            _ => {}
        }
    }

    /// What is true at every moment.
    fn check(&self) {
        self.check_members();
        for caller in &self.callers {
            let Some(sure) = caller.sure() else { continue };
            // The promise is the time, whether the caller lives or not.
            if !caller.is_running || caller.clock.shows(self.now) >= sure || caller.is_told {
                continue;
            }
            for host in &self.hosts {
                let passes = host.may_pass(self.now) && self.etcd.is_registered(&host.id);
                assert!(
                    !passes || host.is_disturbed,
                    "{}: the command runs, but {:?} may pass requests on: {:?}",
                    self.now,
                    host.id,
                    host.module
                );
            }
        }
        for host in &self.hosts {
            let Some(one) = &host.module.active else { continue };
            let Some(token) = one.token.filter(|_| one.what == What::Pause) else { continue };
            let until = host.clock.when(Duration::from_millis(one.until));
            let beat = self.etcd.beats[&token];
            let hard = beat + HOLD * 1011 / 1000 + 5;
            assert!(until <= hard, "{}: {:?} outlives its hard end {hard}", self.now, host.module);
        }
    }

    fn end_stop(&mut self) {
        let Some(token) = self.etcd.stopped(&self.app) else { return };
        for host in self.hosts.iter().filter(|one| one.is_member) {
            let is_stopped = host.module.active.as_ref().is_some_and(|one| one.what == What::Stop);
            assert!(is_stopped, "{:?} is not stopped: {:?}", host.id, host.agent);
        }
        self.etcd.caller(&self.app.clone(), talk::Ask::Delete(token));
    }

    /// What is true at the end.
    fn check_end(&self) {
        self.check_versions();
        for host in self.hosts.iter().filter(|one| one.is_member) {
            assert!(host.module.active.is_none(), "{:?} is still paused", host.id);
            assert!(host.takes, "{:?} does not take traffic: {:?}", host.id, host.agent);
            assert!(self.etcd.is_registered(&host.id), "{:?} is not registered", host.id);
        }
        let left =
            self.etcd.keys.keys().find(|key| key.contains("/pauses/") || key.contains("/acks/"));
        assert!(left.is_none(), "{left:?} is left");
        for caller in &self.callers {
            assert!(caller.is_dead || caller.outcome.is_some(), "a caller does not finish");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Who {
    Host(usize),
    Caller(usize),
}
