//! The barrier: whether one snapshot shows every registered host quiet for one pause.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use crate::keys::{App, HostId, Token};
use crate::snapshot::{HostEntry, Snapshot};
use crate::values::AckState;

/// What stands between a pause and its command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// Every registered host is quiet.
    Reached,
    /// These hosts are not quiet yet.
    Waits(Vec<HostId>),
    /// These hosts keep the command from running.
    Refused(Vec<(HostId, Why)>),
    /// The pause is not there any more.
    Gone,
    /// No registered host serves the app.
    Nobody,
}

/// Why a host keeps the command from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is registered, but its agent does not live.
    NotAlive,
    Failed(String),
}

/// Everything is read from one snapshot, which etcd made at one revision. A host that registers
/// later reads the pauses after that, and holds before it takes traffic. `without`: hosts that an
/// operator leaves out.
pub fn barrier(at: &Snapshot, app: &App, token: Token, without: &BTreeSet<HostId>) -> Barrier {
    if at.pauses.get(app).is_none_or(|one| one.token != token) {
        return Barrier::Gone;
    }
    let serving: Vec<_> = at.serving(app).filter(|(id, _)| !without.contains(id)).collect();
    let refused: Vec<_> = serving
        .iter()
        .filter_map(|(id, one)| Some(((*id).clone(), refusal(at, app, token, id, one)?)))
        .collect();
    let is_quiet =
        |id: &HostId| at.ack(app, token, id).is_some_and(|ack| ack.state == AckState::Quiet);
    let waits: Vec<_> =
        serving.iter().filter(|(id, _)| !is_quiet(id)).map(|(id, _)| (*id).clone()).collect();
    match (serving.is_empty(), refused.is_empty(), waits.is_empty()) {
        (true, ..) => Barrier::Nobody,
        (_, false, _) => Barrier::Refused(refused),
        (_, _, false) => Barrier::Waits(waits),
        (_, _, true) => Barrier::Reached,
    }
}

fn refusal(at: &Snapshot, app: &App, token: Token, id: &HostId, host: &HostEntry) -> Option<Why> {
    let ack = at.ack(app, token, id).filter(|ack| ack.state == AckState::Failed);
    match (host.is_alive, ack) {
        (false, _) => Some(Why::NotAlive),
        (true, Some(ack)) => Some(Why::Failed(ack.why.clone().unwrap_or_default())),
        (true, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Fleet, Key, LeaseId, Revision};
    use crate::snapshot::Entry;
    use crate::values::{write, Ack, Alive, Host, Millis, Pause, Stage};

    const APP: &str = "a";

    fn entry(fleet: &Fleet, key: &Key, value: Vec<u8>, revision: u64) -> Entry {
        let (created, modified) = (Revision(revision), Revision(revision));
        Entry { key: fleet.key(key), value, created, modified, lease: LeaseId(1) }
    }

    /// Two hosts, one pause with token 5. `acks` and `alive` are by host.
    fn at(stage: Stage, alive: &[&str], acks: &[(&str, AckState)]) -> Snapshot {
        let fleet = Fleet::parse("web").unwrap();
        let host = |id: &str| HostId(id.to_owned());
        let mut all = Vec::new();
        for id in ["h0", "h1"] {
            let apps = vec![APP.to_owned()];
            let value = Host { v: 1, apps, ..Host::default() };
            all.push(entry(&fleet, &Key::Host(host(id)), write(&value), 2));
        }
        for id in alive {
            all.push(entry(&fleet, &Key::Alive(host(id)), write(&Alive { v: 1 }), 3));
        }
        let pause = Pause {
            v: 1,
            by: "alice".to_owned(),
            reason: None,
            beat: 1,
            hold: Millis(60_000),
            wait: Millis(1),
            stage,
            spread: None,
            concurrency: None,
        };
        all.push(entry(&fleet, &Key::Pause(App(APP.to_owned())), write(&pause), 5));
        for (id, state) in acks {
            let key = Key::Ack(App(APP.to_owned()), Token(5), host(id));
            let (beat, remaining, why) = (1, Millis(50_000), Some("no".to_owned()));
            let ack =
                Ack { v: 1, state: *state, beat, remaining, pause: 7, held: 0, in_flight: 0, why };
            all.push(entry(&fleet, &key, write(&ack), 6));
        }
        Snapshot::new(&fleet, Revision(6), &all)
    }

    fn says(at: &Snapshot, token: u64, without: &[&str]) -> Barrier {
        let without = without.iter().map(|id| HostId((*id).to_owned())).collect();
        barrier(at, &App(APP.to_owned()), Token(token), &without)
    }

    const QUIET: [(&str, AckState); 2] = [("h0", AckState::Quiet), ("h1", AckState::Quiet)];

    #[test]
    fn every_registered_host_must_be_quiet() {
        let h1 = || vec![HostId("h1".to_owned())];
        assert_eq!(says(&at(Stage::Hold, &["h0", "h1"], &QUIET), 5, &[]), Barrier::Reached);
        for acks in [&[QUIET[0]][..], &[QUIET[0], ("h1", AckState::Holding)]] {
            let at = at(Stage::Hold, &["h0", "h1"], acks);
            assert_eq!(says(&at, 5, &[]), Barrier::Waits(h1()));
            assert_eq!(says(&at, 5, &["h1"]), Barrier::Reached, "an operator leaves it out");
        }
        let at = at(Stage::Hold, &["h0", "h1"], &[QUIET[0], ("h1", AckState::Failed)]);
        let why = vec![(HostId("h1".to_owned()), Why::Failed("no".to_owned()))];
        assert_eq!(says(&at, 5, &[]), Barrier::Refused(why));
    }

    #[test]
    fn a_host_whose_agent_does_not_live_keeps_the_command_from_running() {
        let at = at(Stage::Hold, &["h0"], &QUIET);
        let why = vec![(HostId("h1".to_owned()), Why::NotAlive)];
        assert_eq!(says(&at, 5, &[]), Barrier::Refused(why));
        assert_eq!(says(&at, 5, &["h0", "h1"]), Barrier::Nobody);
    }

    #[test]
    fn another_pause_of_the_app_is_not_this_one() {
        assert_eq!(says(&at(Stage::Hold, &["h0", "h1"], &QUIET), 4, &[]), Barrier::Gone);
    }
}
