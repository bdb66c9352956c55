//! What runs at each host, and what its registration says of that.
#![forbid(unsafe_code)]

use super::hosts::Machine;
use super::story::Kind;
use super::world::{Happens, World};
use crate::agent::Event;
use crate::values::Versions;

/// An agent asks its nginx so often what it is, in ms.
const OFTEN: u64 = 2000;

impl Machine {
    pub(super) fn versions(&self) -> Versions {
        let nginx = "nginx/1.28.3".to_owned();
        Versions { module: format!("0.{}.0", self.version), nginx }
    }
}

impl World {
    /// An agent asks its nginx what it is.
    pub(super) fn look_at_versions(&mut self, at: usize) {
        self.later(OFTEN, Happens::Looks(at));
        let is_lost = self.fate().kind != Kind::Fine;
        let host = &self.hosts[at];
        if host.is_up && !is_lost && self.now >= host.asleep_until {
            let versions = host.versions();
            self.event(at, Event::Runs(Some(versions)));
        }
    }

    /// The host leaves: its keys go, and soon after that its lease.
    pub(super) fn leave(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        host.kill_nginx();
        host.kill_agent();
        (host.is_member, host.is_leaving) = (false, true);
        self.etcd.leave(&host.id);
        self.later(2500, Happens::LeaseEnds(at));
    }

    /// What it has asked etcd is too late now, and what came before goes with it. If etcd does not answer,
    /// it is tried again.
    pub(super) fn end_lease(&mut self, at: usize) {
        if !self.etcd.is_up {
            return self.later(200, Happens::LeaseEnds(at));
        }
        let host = &mut self.hosts[at];
        host.is_leaving = false;
        if let Some(lease) = host.lease.take() {
            self.etcd.revoke(lease);
        }
        self.etcd.leave(&host.id);
    }

    /// Nothing but a host's own start makes it one of the fleet.
    pub(super) fn check_members(&self) {
        for host in self.hosts.iter().filter(|one| !one.is_member && !one.is_leaving) {
            assert!(!self.etcd.is_registered(&host.id), "{:?} has left", host.id);
        }
    }

    /// At the end each registration is right.
    pub(super) fn check_versions(&self) {
        for host in self.hosts.iter().filter(|one| one.is_member) {
            let told = self.etcd.host(&host.id);
            assert_eq!(told.versions, Some(host.versions()), "{:?}", host.id);
            assert_eq!(told.endpoint, host.value.endpoint, "{:?}", host.id);
        }
    }
}
