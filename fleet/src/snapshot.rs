//! All keys of a fleet at one revision.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::keys::{App, Fleet, HostId, Key, LeaseId, Revision, Token};
use crate::values::{read, Ack, Host, Pause, Stage};

/// A key with its value, as etcd tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Vec<u8>,
    pub created: Revision,
    pub modified: Revision,
    pub lease: LeaseId,
}

/// A pause that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseEntry {
    pub token: Token,
    /// The revision of its newest beat.
    pub modified: Revision,
    pub lease: LeaseId,
    /// None: the value cannot be understood.
    pub pause: Option<Pause>,
}

/// A host that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    pub host: Host,
    /// The revision that registered it. What it says of itself later is no registration.
    pub registered: Revision,
    pub is_alive: bool,
}

/// All keys of a fleet, or some of them, at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub revision: Revision,
    pub hosts: BTreeMap<HostId, HostEntry>,
    pub pauses: BTreeMap<App, PauseEntry>,
    pub acks: BTreeMap<(App, Token, HostId), Ack>,
}

impl Snapshot {
    pub fn new(fleet: &Fleet, revision: Revision, entries: &[Entry]) -> Self {
        let mut all = Self { revision, ..Self::default() };
        let mut alive = Vec::new();
        for entry in entries {
            match fleet.read(&entry.key) {
                Some(Key::Host(id)) => {
                    // A host whose value cannot be understood still counts: it serves every app.
                    let host = read(&entry.value).unwrap_or_default();
                    let one = HostEntry { host, registered: entry.modified, is_alive: false };
                    all.hosts.insert(id, one);
                }
                Some(Key::Alive(id)) => alive.push((id, entry.modified)),
                Some(Key::Pause(app)) => {
                    all.pauses.insert(app, PauseEntry::of(entry));
                }
                Some(Key::Ack(app, token, id)) => {
                    if let Some(ack) = read(&entry.value) {
                        all.acks.insert((app, token, id), ack);
                    }
                }
                None => {}
            }
        }
        for (id, registered) in alive {
            if let Some(host) = all.hosts.get_mut(&id) {
                (host.is_alive, host.registered) = (true, registered);
            }
        }
        all
    }

    /// The hosts that serve this app.
    pub fn serving<'a>(
        &'a self,
        app: &'a App,
    ) -> impl Iterator<Item = (&'a HostId, &'a HostEntry)> {
        self.hosts.iter().filter(|(_, one)| one.host.serves(app))
    }

    pub fn ack(&self, app: &App, token: Token, id: &HostId) -> Option<&Ack> {
        self.acks.get(&(app.clone(), token, id.clone()))
    }
}

impl PauseEntry {
    /// Whether its hosts are to go on.
    pub fn is_released(&self) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.stage == Stage::Release)
    }

    /// Whether its hosts are to answer with 503.
    pub fn is_stop(&self) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.stage == Stage::Stop)
    }

    pub fn of(entry: &Entry) -> Self {
        Self {
            token: Token(entry.created.0),
            modified: entry.modified,
            lease: entry.lease,
            pause: read(&entry.value),
        }
    }
}

impl Host {
    pub fn serves(&self, app: &App) -> bool {
        self.apps.is_empty() || self.apps.contains(&app.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else each host that says something new would cost its pause's caller a beat.
    #[test]
    fn what_a_living_host_says_later_is_no_registration() {
        let fleet = Fleet::parse("web").unwrap();
        let id = HostId("h0".to_owned());
        let entry = |key: Key, modified: u64| Entry {
            key: fleet.key(&key),
            value: b"{}".to_vec(),
            created: Revision(5),
            modified: Revision(modified),
            lease: LeaseId(0),
        };
        let host = entry(Key::Host(id.clone()), 9);
        let registered =
            |entries: &[Entry]| Snapshot::new(&fleet, Revision(9), entries).hosts[&id].registered;
        let alive = entry(Key::Alive(id.clone()), 5);
        assert_eq!(registered(&[host.clone(), alive]), Revision(5));
        assert_eq!(registered(&[host]), Revision(9), "of one that is dead nothing else is known");
    }
}
