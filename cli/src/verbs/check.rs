//! `check`: can a pause be afforded now?
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use fleet::keys::HostId;
use fleet::snapshot::HostEntry;
use serde_json::json;

use super::together::each;
use crate::args::Check;
use crate::check::guard::guard;
use crate::check::{judge, line, Line, Planned, Verdict};
use crate::client::Target;
use crate::config::{choose, Wrong};
use crate::exit::Exit;
use crate::fleets::named::{Named, NO_ENDPOINT};
use crate::fleets::{away, not_alive, standing};
use crate::show::screen::print;
use crate::words::printable;

pub async fn run(args: &Check) -> Result<Exit, Wrong> {
    let fleet = match Named::find(&args.hosts)? {
        None => None,
        Some(mut fleet) => {
            fleet.look().await.map_err(|error| away(&error))?;
            Some(fleet)
        }
    };
    let targets = match &fleet {
        Some(fleet) => fleet.targets()?,
        None => choose(&args.hosts)?.targets,
    };
    let planned = Planned { pause: args.pause, wait: args.wait };
    let sample = args.sample;
    let all = each(&targets, move |target| async move { look(&target, sample, planned).await });
    let mut places: Vec<(Place, Vec<Line>)> = fleet.iter().flat_map(of_fleet).collect();
    for (target, lines) in targets.iter().zip(all.await) {
        let mut lines = lines.unwrap_or_default();
        let host = fleet.as_ref().and_then(|fleet| fleet.host_at(&target.address));
        lines.splice(0..0, host.map(|(id, one)| agent(id, one)));
        places.push((Place::of(target, host.map(|(id, _)| id)), lines));
    }
    let (mut exit, mut text) = (Exit::OK, String::new());
    for (place, lines) in &places {
        if lines.is_empty() || lines.iter().any(|line| line.verdict == Verdict::Fault) {
            exit = Exit::FAULT;
        }
        text.push_str(&told(place, lines, args.json));
    }
    // A reader that is gone does not want it.
    print(&text);
    Ok(exit)
}

async fn look(target: &Target, sample: Duration, planned: Planned) -> Vec<Line> {
    let first = match target.status().await {
        Ok(first) => first,
        Err(failure) => return vec![line("endpoint", Verdict::Fault, failure.text)],
    };
    let begin = Instant::now();
    let guarded = guard(target).await;
    tokio::time::sleep(sample.saturating_sub(begin.elapsed())).await;
    let mut lines = match target.status().await {
        Ok(second) => judge(&first, &second, begin.elapsed(), planned),
        Err(failure) => vec![line("endpoint", Verdict::Fault, failure.text)],
    };
    lines.push(guarded);
    lines
}

/// What the lines are about.
struct Place {
    name: String,
    /// The endpoint, the app, and the name of the host in its fleet, if there is one.
    host: Option<String>,
    app: Option<String>,
    id: Option<String>,
}

impl Place {
    fn of(target: &Target, id: Option<&HostId>) -> Self {
        let (name, app) = (target.name(), target.app.clone());
        Self { name, host: Some(target.address.name.clone()), app, id: id.map(|id| id.0.clone()) }
    }
}

/// What etcd says of a fleet, and the hosts that cannot be asked.
fn of_fleet(fleet: &Named) -> Vec<(Place, Vec<Line>)> {
    let mut all = Vec::new();
    for (app, pause) in fleet.pauses() {
        let of_app = app.as_ref().map(|app| format!(" app \"{app}\"")).unwrap_or_default();
        let name = format!("fleet \"{}\"{of_app}", fleet.name());
        let said = match (fleet.nobody(), pause) {
            (Some(why), _) => line("fleet", Verdict::Fault, why),
            (None, Some(pause)) => line("fleet", Verdict::Fault, printable(&standing(pause))),
            (None, None) => line("fleet", Verdict::Good, "no pause of it is active"),
        };
        all.push((Place { name, host: None, app: app.clone(), id: None }, vec![said]));
    }
    for (id, one) in fleet.unknown() {
        let lines = vec![agent(id, one), line("endpoint", Verdict::Unknown, NO_ENDPOINT)];
        let (name, id) = (format!("host {}", id.0), Some(id.0.clone()));
        all.push((Place { name, host: None, app: None, id }, lines));
    }
    all
}

fn agent(HostId(id): &HostId, one: &HostEntry) -> Line {
    match one.is_alive {
        true => line("agent", Verdict::Good, format!("host {id}: it lives")),
        false => line("agent", Verdict::Fault, not_alive(id)),
    }
}

fn told(place: &Place, lines: &[Line], is_json: bool) -> String {
    let one = |line: &Line| match is_json {
        true => {
            let mut value = json!({
                "host": place.host,
                "app": place.app,
                "check": line.about,
                "verdict": line.verdict.word(),
                "text": line.text,
            });
            if let (Some(id), Some(fields)) = (&place.id, value.as_object_mut()) {
                fields.insert("id".to_owned(), json!(id));
            }
            format!("{value}\n")
        }
        false => format!("  {:<5}  {:<10}  {}\n", line.verdict.word(), line.about, line.text),
    };
    let lines: String = lines.iter().map(one).collect();
    match is_json {
        true => lines,
        false => format!("{}\n{lines}", place.name),
    }
}
