//! What `fleet` shows: the hosts of a fleet, its pauses, and what hosts make of them.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::Table;
use fleet::keys::{App, HostId};
use fleet::snapshot::{HostEntry, PauseEntry, Snapshot};
use serde_json::{json, Value};

use crate::fleets::names;
use crate::words::printable;

/// All of it in one object.
pub fn in_json(at: &Snapshot) -> Value {
    let hosts = at.hosts.iter().map(|(HostId(id), one)| {
        let acks = at.acks.iter().filter(|((_, _, host), _)| host.0 == *id);
        let acks = acks
            .map(|((App(app), token, _), ack)| json!({ "app": app, "token": token, "ack": ack }));
        let acks: Vec<Value> = acks.collect();
        json!({ "id": id, "alive": one.is_alive, "host": one.host, "acks": acks })
    });
    let hosts: Vec<Value> = hosts.collect();
    let pauses = at
        .pauses
        .iter()
        .map(|(App(app), one)| json!({ "app": app, "token": one.token, "pause": one.pause }));
    let pauses: Vec<Value> = pauses.collect();
    json!({ "revision": at.revision.0, "hosts": hosts, "pauses": pauses })
}

fn what(one: &PauseEntry) -> &'static str {
    if one.is_stop() {
        "stopped"
    } else {
        "paused"
    }
}

/// A line for each host and each pause, and for each program of which the hosts have different versions.
pub fn table(at: &Snapshot) -> String {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["HOST", "ALIVE", "APPS", "ENDPOINT", "AGENT", "MODULE", "NGINX", "PAUSE"]);
    for (HostId(id), one) in &at.hosts {
        let acks = at.acks.iter().filter(|((_, _, host), _)| host.0 == *id);
        let acks: Vec<String> = acks
            .map(|((App(app), _, _), ack)| {
                let state = format!("{:?}", ack.state).to_lowercase();
                let why = ack.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("{app} {state}{why}").trim().to_owned()
            })
            .collect();
        let apps =
            if one.host.apps.is_empty() { "all".to_owned() } else { one.host.apps.join(" ") };
        table.add_row([
            printable(id),
            if one.is_alive { "yes".to_owned() } else { "no".to_owned() },
            printable(&apps),
            printable(one.host.endpoint.as_deref().unwrap_or("")),
            printable(agent(one).unwrap_or("-")),
            printable(module(one).unwrap_or("-")),
            printable(nginx(one).unwrap_or("-")),
            printable(&acks.join(", ")),
        ]);
    }
    let mut text: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    for (what, version) in VERSIONS {
        text.push_str(&different(what, version, at));
    }
    for (App(app), one) in &at.pauses {
        let app = if app.is_empty() {
            "the endpoint's own app".to_owned()
        } else {
            format!("app \"{app}\"")
        };
        let said = match &one.pause {
            Some(pause) => {
                let reason = pause.reason.as_ref().map(|why| format!(", reason \"{why}\""));
                format!("by {}{}", pause.by, reason.unwrap_or_default())
            }
            None => "of a kind that this command does not know".to_owned(),
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{}",
            printable(&format!("{app}: {} {said}, token {}", what(one), one.token.0))
        );
    }
    text
}

/// A program, and which version of it a host has. None: that is not known.
type Version = fn(&HostEntry) -> Option<&str>;

const VERSIONS: [(&str, Version); 3] = [("agent", agent), ("module", module), ("nginx", nginx)];

fn agent(one: &HostEntry) -> Option<&str> {
    known(&one.host.agent)
}

fn module(one: &HostEntry) -> Option<&str> {
    known(&one.host.versions.as_ref()?.module)
}

fn nginx(one: &HostEntry) -> Option<&str> {
    known(&one.host.versions.as_ref()?.nginx)
}

fn known(version: &str) -> Option<&str> {
    Some(version).filter(|version| !version.is_empty())
}

/// A line that says which host has which version, if they differ.
fn different(what: &str, version: Version, at: &Snapshot) -> String {
    let mut all: BTreeMap<&str, Vec<&HostId>> = BTreeMap::new();
    for (id, one) in &at.hosts {
        if let Some(version) = version(one) {
            all.entry(version).or_default().push(id);
        }
    }
    if all.len() < 2 {
        return String::new();
    }
    let all = all
        .into_iter()
        .map(|(version, hosts)| format!("{version} at {}", names(hosts.into_iter())));
    let all: Vec<String> = all.collect();
    format!("different versions: {what} {}\n", printable(&all.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::keys::Revision;
    use fleet::values::{Host, Versions};

    fn host(module: Option<&str>) -> HostEntry {
        let versions = module
            .map(|module| Versions { module: module.to_owned(), nginx: "nginx/1.28.3".to_owned() });
        let host = Host { v: 1, agent: "0.1.0".to_owned(), versions, ..Host::default() };
        HostEntry { host, registered: Revision(1), is_alive: true }
    }

    fn shown(modules: &[Option<&str>]) -> String {
        let mut at = Snapshot::default();
        for (number, module) in modules.iter().enumerate() {
            at.hosts.insert(HostId(format!("h{number}")), host(*module));
        }
        table(&at)
    }

    #[test]
    fn hosts_of_different_versions_are_named_below_the_table() {
        let text = shown(&[Some("0.1.0"), Some("0.2.0"), None, Some("0.1.0")]);
        let line = "different versions: module 0.1.0 at h0, h3; 0.2.0 at h1";
        assert_eq!(
            text.lines().filter(|one| one.starts_with("different")).collect::<Vec<_>>(),
            [line]
        );
        assert!(!shown(&[Some("0.1.0"), None, Some("0.1.0")]).contains("different"));
    }
}
