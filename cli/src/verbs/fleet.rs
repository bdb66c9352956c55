//! `fleet`: the hosts of a fleet, its pauses, and what hosts make of them.
#![forbid(unsafe_code)]

use fleet::keys::HostId;
use fleet::snapshot::Snapshot;
use serde_json::json;

use crate::args::fleet::{FleetVerb, Fleets};
use crate::config::fleets::{choose_fleet, ChosenFleet};
use crate::config::Wrong;
use crate::etcd::Failure;
use crate::exit::Exit;
use crate::fleets::{away, failure};
use crate::show;
use crate::show::fleet::{in_json, table};
use crate::show::screen::{print, watch, Manner, Text};

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
    if args.watch {
        return again(&chosen, args).await;
    }
    let at = chosen.keys.snapshot().await.map_err(away)?;
    print(&if args.json { lines(&at).text } else { table(&at) });
    Ok(Exit::OK)
}

/// What etcd said last is shown until it answers again.
async fn again(chosen: &ChosenFleet, args: &Fleets) -> Result<Exit, Wrong> {
    let mut last = String::new();
    let manner = if args.json { Manner::Changes } else { Manner::Table };
    watch(manner, args.interval, async || match (chosen.keys.snapshot().await, args.json) {
        (Ok(at), true) => lines(&at),
        (Ok(at), false) => {
            last = table(&at);
            last.clone().into()
        }
        (Err(error), true) => format!("{}\n", json!({ "error": failure(&error) })).into(),
        (Err(error), false) => is_old(&error, &last).into(),
    })
    .await
}

fn is_old(error: &Failure, last: &str) -> String {
    let why = failure(error);
    match last.is_empty() {
        true => format!("{why}\n"),
        false => format!("{why}; this is what it said last:\n\n{last}"),
    }
}

/// A line of JSON. Another revision alone is no change: etcd counts the writes of all its users.
fn lines(at: &Snapshot) -> Text {
    let whole = in_json(at);
    let mut says = whole.clone();
    if let Some(fields) = says.as_object_mut() {
        fields.remove("revision");
    }
    Text { text: format!("{whole}\n"), says: says.to_string() }
}
