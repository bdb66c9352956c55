//! `fleet`: the hosts of a fleet, its pauses, and what hosts make of them.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{self, Write};

use comfy_table::Table;
use fleet::keys::{App, HostId};
use fleet::snapshot::{PauseEntry, Snapshot};
use serde_json::{json, Value};

use crate::args::fleet::{FleetVerb, Fleets};
use crate::config::fleets::choose_fleet;
use crate::config::Wrong;
use crate::exit::Exit;
use crate::fleets::{away, failure};
use crate::show;
use crate::words::printable;

pub async fn run(args: &Fleets) -> Result<Exit, Wrong> {
    let chosen = choose_fleet(&args.fleet, args.config.as_deref())?;
    let chosen = chosen.ok_or_else(|| Wrong::usage("which fleet? Give --fleet NAME"))?;
    let away = |error| away(&error);
    if let Some(FleetVerb::Forget { id }) = &args.verb {
        let wrong = || Wrong::usage(format!("\"{id}\" is not a host's name"));
        chosen.keys.forget(&HostId::parse(id).ok_or_else(wrong)?).await.map_err(away)?;
        show::say(&format!("host {id} is forgotten"));
        return Ok(Exit::OK);
    }
    loop {
        let text = match chosen.keys.snapshot().await {
            Ok(at) if args.json => format!("{}\n", in_json(&at)),
            Ok(at) => table(&at),
            Err(error) if args.watch => format!("{}\n", failure(&error)),
            Err(error) => return Err(away(error)),
        };
        let clear = if args.watch && !args.json { "\x1b[H\x1b[2J" } else { "" };
        let mut out = io::stdout().lock();
        if write!(out, "{clear}{text}").and_then(|()| out.flush()).is_err() || !args.watch {
            return Ok(Exit::OK);
        }
        drop(out);
        tokio::time::sleep(args.interval).await;
    }
}

fn in_json(at: &Snapshot) -> Value {
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

fn table(at: &Snapshot) -> String {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["HOST", "ALIVE", "APPS", "ENDPOINT", "AGENT", "PAUSE"]);
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
            printable(&one.host.agent),
            printable(&acks.join(", ")),
        ]);
    }
    let mut text = format!("{table}\n");
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
