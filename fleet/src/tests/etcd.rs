//! etcd, as far as the fleet can tell: one order of all writes, leases, a history.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::agent;
use crate::caller::talk;
use crate::keys::{App, Fleet, HostId, Key, LeaseId, Revision, Token};
use crate::snapshot::{Entry, PauseEntry, Snapshot};
use crate::values::{read, write, Alive, Host, Millis, Pause, Stage};

/// A lease: its time, and when it is over, in ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub ttl: u64,
    pub deadline: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Etcd {
    pub fleet: Fleet,
    pub now: u64,
    pub is_up: bool,
    pub revision: u64,
    pub keys: BTreeMap<String, Entry>,
    pub leases: BTreeMap<i64, Lease>,
    pub leases_made: i64,
    /// Each change, with its revision. None: the key was deleted.
    pub history: Vec<(u64, String, Option<Entry>)>,
    pub compacted: u64,
    /// When each pause's key was written last, by its token.
    pub beats: BTreeMap<u64, u64>,
}

pub(super) const AGENT_TTL: u64 = 5000;

impl Etcd {
    pub(super) fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            now: 0,
            is_up: true,
            revision: 1,
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            leases_made: 0,
            history: Vec::new(),
            compacted: 0,
            beats: BTreeMap::new(),
        }
    }

    fn grant(&mut self, ttl: u64) -> LeaseId {
        self.leases_made += 1;
        self.leases.insert(self.leases_made, Lease { ttl, deadline: self.now + ttl });
        LeaseId(self.leases_made)
    }

    fn keep(&mut self, lease: LeaseId) -> bool {
        let now = self.now;
        let lease = self.leases.get_mut(&lease.0);
        lease.map(|lease| lease.deadline = now + lease.ttl).is_some()
    }

    /// A new leader, or etcd comes back: each lease has its whole time again.
    pub(super) fn extend(&mut self) {
        let now = self.now;
        self.leases.values_mut().for_each(|lease| lease.deadline = now + lease.ttl);
    }

    /// The lease ends, with its keys.
    pub(super) fn revoke(&mut self, lease: LeaseId) -> bool {
        let was = self.leases.remove(&lease.0).is_some();
        let on_it = self.keys.iter().filter(|(_, one)| one.lease == lease && lease.0 != 0);
        let keys: Vec<_> = on_it.map(|(key, _)| key.clone()).collect();
        self.delete(&keys);
        was
    }

    fn delete(&mut self, keys: &[String]) {
        self.revision += 1;
        for key in keys {
            if self.keys.remove(key).is_some() {
                self.history.push((self.revision, key.clone(), None));
            }
        }
    }

    pub(super) fn leave(&mut self, id: &HostId) {
        let key = self.fleet.key(&Key::Host(id.clone()));
        let alive = self.fleet.key(&Key::Alive(id.clone()));
        self.delete(&[key, alive]);
    }

    /// All of them in one transaction.
    fn put(&mut self, all: Vec<(String, Vec<u8>, LeaseId)>) -> Revision {
        self.revision += 1;
        let modified = Revision(self.revision);
        for (key, value, lease) in all {
            let created = self.keys.get(&key).map_or(modified, |one| one.created);
            if let Some(Key::Pause(_)) = self.fleet.read(&key) {
                self.beats.insert(created.0, self.now);
            }
            let entry = Entry { key: key.clone(), value, created, modified, lease };
            self.history.push((self.revision, key.clone(), Some(entry.clone())));
            self.keys.insert(key, entry);
        }
        modified
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let entries: Vec<_> = self.keys.values().cloned().collect();
        Snapshot::new(&self.fleet, Revision(self.revision), &entries)
    }

    pub(super) fn is_registered(&self, id: &HostId) -> bool {
        self.keys.contains_key(&self.fleet.key(&Key::Host(id.clone())))
    }

    /// What a registered host says of itself.
    pub(super) fn host(&self, id: &HostId) -> Host {
        let entry = self.keys.get(&self.fleet.key(&Key::Host(id.clone())));
        entry.and_then(|entry| read(&entry.value)).unwrap()
    }

    /// An operator stops the fleet, whatever is there.
    pub(super) fn stop(&mut self, app: &App) {
        let pause = Pause {
            v: 1,
            by: "bob".to_owned(),
            reason: None,
            beat: 0,
            hold: Millis(0),
            wait: Millis(0),
            stage: Stage::Stop,
            spread: None,
            concurrency: None,
        };
        let key = self.fleet.key(&Key::Pause(app.clone()));
        self.put(vec![(key, write(&pause), LeaseId(0))]);
    }

    /// Whether the fleet is stopped, by this token.
    pub(super) fn stopped(&self, app: &App) -> Option<Token> {
        let entry = self.keys.get(&self.fleet.key(&Key::Pause(app.clone())))?;
        let pause = PauseEntry::of(entry);
        pause.is_stop().then_some(pause.token)
    }

    pub(super) fn agent(&mut self, id: &HostId, ask: agent::Ask) -> agent::Reply {
        use agent::{Ask, Reply};
        let (host_key, alive_key) =
            (self.fleet.key(&Key::Host(id.clone())), self.fleet.key(&Key::Alive(id.clone())));
        match ask {
            Ask::Grant => Reply::Granted(self.grant(AGENT_TTL)),
            Ask::Register { lease, host } if self.leases.contains_key(&lease.0) => {
                let alive = (alive_key, write(&Alive { v: 1 }), lease);
                Reply::Registered(self.put(vec![(host_key, write(&host), LeaseId(0)), alive]))
            }
            Ask::Register { .. } => Reply::NoLease,
            Ask::Read => {
                let is_alive = self.keys.contains_key(&alive_key);
                let host = self.keys.get(&host_key).filter(|_| is_alive);
                let registered = host.map(|entry| (entry.modified, read(&entry.value).unwrap()));
                let pauses = self.snapshot().pauses;
                Reply::Pauses { revision: Revision(self.revision), pauses, registered }
            }
            Ask::Amend { modified, host } => {
                match self.keys.get(&host_key).is_some_and(|entry| entry.modified == modified) {
                    true => {
                        let put = (host_key, write(&host), LeaseId(0));
                        Reply::Amended(self.put(vec![put]))
                    }
                    false => Reply::Changed,
                }
            }
            Ask::KeepAlive(lease) => match self.keep(lease) {
                true => Reply::KeptAlive,
                false => Reply::NoLease,
            },
            Ask::Ack { app, token, lease, ack } => {
                let pause = self.keys.get(&self.fleet.key(&Key::Pause(app.clone())));
                if pause.is_none_or(|one| one.created.0 != token.0) {
                    return Reply::NoPause;
                }
                let key = self.fleet.key(&Key::Ack(app, token, id.clone()));
                self.put(vec![(key, write(&ack), lease)]);
                Reply::Acked
            }
        }
    }

    pub(super) fn caller(&mut self, app: &crate::keys::App, ask: talk::Ask) -> talk::Reply {
        use talk::{Ask, Reply};
        let key = self.fleet.key(&Key::Pause(app.clone()));
        let there = self.keys.get(&key).cloned();
        match ask {
            Ask::Grant(time) => Reply::Granted(self.grant(time.as_millis().try_into().unwrap())),
            Ask::Create { lease, .. } if !self.leases.contains_key(&lease.0) => Reply::Gone,
            Ask::Create { lease, pause } => match there {
                Some(entry) => Reply::Taken(PauseEntry::of(&entry)),
                None => Reply::Created(self.put(vec![(key, write(&pause), lease)])),
            },
            Ask::Write { token, modified, lease, pause } => match there {
                Some(entry) if entry.created.0 != token.0 => Reply::Gone,
                Some(entry) if entry.modified != modified => Reply::Changed,
                Some(_) if self.leases.contains_key(&lease.0) => {
                    Reply::Written(self.put(vec![(key, write(&pause), lease)]))
                }
                _ => Reply::Gone,
            },
            Ask::Read => Reply::Snapshot(Box::new(self.snapshot())),
            Ask::KeepAlive(lease) => match self.keep(lease) {
                true => Reply::Done,
                false => Reply::Gone,
            },
            Ask::Revoke(lease) => match self.revoke(lease) {
                true => Reply::Done,
                false => Reply::Gone,
            },
            Ask::Delete(token) => {
                if there.is_none_or(|entry| entry.created.0 != token.0) {
                    return Reply::Gone;
                }
                let acks = format!("{}acks/{}/{}/", self.fleet.prefix(), app.encoded(), token.0);
                let keys = self.keys.keys().filter(|one| **one == key || one.starts_with(&acks));
                let keys: Vec<_> = keys.cloned().collect();
                self.delete(&keys);
                Reply::Done
            }
        }
    }
}
