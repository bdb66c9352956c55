//! The hosts of a fleet, for the verbs that ask each endpoint.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use fleet::keys::{App, HostId};
use fleet::snapshot::{HostEntry, PauseEntry, Snapshot};

use super::without;
use crate::args::Hosts;
use crate::client::url::Address;
use crate::client::Target;
use crate::config::fleets::choose_fleet;
use crate::config::{named_apps, these, Wrong};
use crate::etcd::fleets::Keys;
use crate::etcd::Failure;

/// A fleet that is named on the command line, and what etcd said of it last.
#[derive(Clone, Debug)]
pub struct Named {
    keys: Keys,
    hosts: Hosts,
    /// None: an endpoint's own app.
    apps: Vec<Option<String>>,
    without: BTreeSet<HostId>,
    at: Snapshot,
}

impl Named {
    /// None if no fleet is named. Nothing was asked yet.
    pub fn find(hosts: &Hosts) -> Result<Option<Self>, Wrong> {
        let hosts = Hosts { group: None, ..hosts.clone() };
        let Some(chosen) = choose_fleet(&hosts.in_fleet, hosts.config.as_deref())? else {
            return Ok(None);
        };
        let (keys, at) = (chosen.keys, Snapshot::default());
        let (apps, without) = (named_apps(&hosts)?, without(&hosts)?);
        Ok(Some(Self { keys, hosts, apps, without, at }))
    }

    pub fn name(&self) -> &str {
        self.keys.fleet.name()
    }

    /// Asks etcd. If it does not answer, all is as it was.
    pub async fn look(&mut self) -> Result<(), Failure> {
        self.at = self.keys.snapshot().await?;
        Ok(())
    }

    /// The hosts that serve a named app and are not left out.
    pub fn members(&self) -> impl Iterator<Item = (&HostId, &HostEntry)> {
        let is_meant = |(id, one): &(&HostId, &HostEntry)| {
            !self.without.contains(*id) && self.apps.iter().any(|app| serves(one, app))
        };
        self.at.hosts.iter().filter(is_meant)
    }

    /// Each named app at each endpoint that is registered.
    pub fn targets(&self) -> Result<Vec<Target>, Wrong> {
        let pairs = self.members().flat_map(|(_, one)| {
            let apps = self.apps.iter().filter(|app| serves(one, app));
            let pair = |app: &Option<String>| Some((one.host.endpoint.clone()?, app.clone()));
            apps.filter_map(pair).collect::<Vec<_>>()
        });
        these(&self.hosts, pairs).map(|chosen| chosen.targets)
    }

    /// The host whose endpoint this is.
    pub fn host_at(&self, address: &Address) -> Option<(&HostId, &HostEntry)> {
        let is_there =
            |endpoint: &String| Address::parse(endpoint).is_ok_and(|one| one.name == address.name);
        self.members().find(|(_, one)| one.host.endpoint.as_ref().is_some_and(is_there))
    }

    /// The hosts that cannot be asked.
    pub fn unknown(&self) -> impl Iterator<Item = (&HostId, &HostEntry)> {
        self.members().filter(|(_, one)| one.host.endpoint.is_none())
    }

    /// The pause or the stop of each named app, if there is one.
    pub fn pauses(&self) -> impl Iterator<Item = (&Option<String>, Option<&PauseEntry>)> {
        self.apps.iter().map(|app| (app, self.at.pauses.get(&App(app.clone().unwrap_or_default()))))
    }

    /// Why there is nothing to ask: for people.
    pub fn nobody(&self) -> Option<String> {
        self.members()
            .next()
            .is_none()
            .then(|| format!("no host of the fleet \"{}\" serves the app", self.name()))
    }

    /// Whether an app is named, and not an endpoint's own.
    pub fn has_named_app(&self) -> bool {
        self.apps.iter().any(Option::is_some)
    }
}

/// Each host has an app of its own that has no name.
fn serves(one: &HostEntry, app: &Option<String>) -> bool {
    app.as_ref().is_none_or(|app| one.host.serves(&App(app.clone())))
}

pub const NO_ENDPOINT: &str = "it has registered no endpoint (agent --endpoint)";
