//! What happens, as JSON: one object a line. docs/cli.md lists them.
#![forbid(unsafe_code)]

use std::time::SystemTime;

use serde_json::{json, Value};

use super::lines::{lost, word};
use super::Host;
use crate::client::answer::{Failure, Said, Status};
use crate::exit;
use crate::plan::action::{Closed, Notice, Outcome};
use crate::plan::event::{Exit, HostId};
use crate::plan::terms::Terms;

pub fn pausing(names: &[&str], terms: &Terms) -> Value {
    event(
        "pausing",
        json!({
            "hosts": names,
            "by": terms.by,
            "lease_seconds": terms.lease.as_secs_f64(),
            "wait_seconds": terms.wait.as_secs_f64(),
        }),
    )
}

pub fn started(command: &[String]) -> Value {
    event("started", json!({ "command": command }))
}

pub fn ended(exit: Exit) -> Value {
    event("ended", exit_of(exit))
}

pub fn outcome(outcome: &Outcome, exit::Exit(status): exit::Exit, text: &str) -> Value {
    let word = match outcome {
        Outcome::Ran(_) => "ran",
        Outcome::RanUnpaused(_) => "pause lost",
        Outcome::RanUnsure(_) => "end unconfirmed",
        Outcome::NotStarted(_) => "not started",
        Outcome::NotPaused(..) => "not paused",
        Outcome::LostBefore(_) => "pause lost before the command",
        Outcome::Interrupted(_) => "interrupted",
        Outcome::Held => "paused",
        Outcome::Resumed => "resumed",
        Outcome::ResumedLate => "pause was over",
        Outcome::ResumedUnsure => "end unconfirmed",
    };
    let text = (!text.is_empty()).then_some(text);
    event("finished", json!({ "outcome": word, "exit": status, "text": text }))
}

pub fn nothing_to_resume() -> Value {
    event("finished", json!({ "outcome": "nothing to resume", "exit": 0 }))
}

pub fn verb(host: &Host, verb: &str, said: Option<&Said>) -> Value {
    let mut value = match said {
        None => json!({ "error": "the call was not carried out" }),
        Some(Ok(status)) => about(status),
        Some(Err(failure)) => failed(failure),
    };
    add(&mut value, "host", json!(host.name));
    event(verb, value)
}

pub fn notice(notice: &Notice, hosts: &[Host]) -> Value {
    let name = |id: &HostId| hosts.get(id.0).map(|host| host.name.as_str());
    let of = |id: &HostId, mut value: Value| {
        add(&mut value, "host", json!(name(id)));
        value
    };
    match notice {
        Notice::Paused(id, status) => event("paused", of(id, about(status))),
        Notice::Joined(id, status) => event("joined", of(id, about(status))),
        Notice::Waits(id, failure) => event("waits", of(id, failed(failure))),
        Notice::Failed(id, failure) => event("failed", of(id, failed(failure))),
        Notice::Lost(id, loss) => event("lost", of(id, json!({ "error": lost(loss) }))),
        Notice::Ending(signal) => event("ending", json!({ "signal": word(*signal) })),
        Notice::Aborted(signal) => event("aborted", json!({ "signal": word(*signal) })),
        Notice::StillEnding(signal, open) => {
            let open: Vec<_> = open.iter().map(name).collect();
            event("still ending", json!({ "signal": word(*signal), "hosts": open }))
        }
        Notice::Delayed(id, failure) => event("delayed", of(id, failed(failure))),
        Notice::Closed(id, Closed::Ended(status)) => event("resumed", of(id, about(status))),
        Notice::Closed(id, Closed::Nothing) => event("not paused", of(id, json!({}))),
        Notice::Closed(id, Closed::Lost) => event("was over", of(id, json!({}))),
        Notice::Closed(id, Closed::Left) => event("left", of(id, json!({}))),
        Notice::Closed(id, Closed::LeaseOver(failure)) => {
            event("unconfirmed", of(id, failure.as_ref().map_or_else(|| json!({}), failed)))
        }
    }
}

fn exit_of(exit: Exit) -> Value {
    match exit {
        Exit::Status(status) => json!({ "status": status }),
        Exit::Killed(signal) => json!({ "signal": word(signal) }),
    }
}

fn about(status: &Status) -> Value {
    json!({
        "app": status.app,
        "state": status.state.word(),
        "pause": status.pause,
        "until": status.until,
        "by": status.by,
        "held": status.held,
        "in_flight": status.in_flight,
        "changed": status.changed,
    })
}

fn failed(failure: &Failure) -> Value {
    json!({ "error": failure.text })
}

fn event(name: &str, mut value: Value) -> Value {
    let now = SystemTime::now();
    add(&mut value, "event", json!(name));
    add(&mut value, "time", json!(humantime::format_rfc3339_millis(now).to_string()));
    value
}

fn add(value: &mut Value, name: &str, what: Value) {
    if let Some(object) = value.as_object_mut() {
        object.insert(name.to_owned(), what);
    }
}
