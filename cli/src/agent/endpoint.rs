//! The calls of the host's own endpoint.
#![forbid(unsafe_code)]

use std::time::Duration;

use fleet::agent::call::{Call, Refusal, Said, Status, What};
use fleet::agent::Terms;
use fleet::keys::{App, Token};
use fleet::values::Versions;
use serde::Deserialize;

use crate::client::answer::{self, Effect, Failure, Kind};
use crate::client::{Parameter, Target};
use crate::words::parameter;

/// The apps that the endpoint has, and the ones that the agent is told to serve.
pub async fn apps(target: &Target, terms: &Terms) -> Vec<App> {
    #[derive(Deserialize)]
    struct One {
        app: String,
    }
    #[derive(Deserialize)]
    struct All {
        apps: Vec<One>,
    }
    let mut apps: Vec<App> = terms.host.apps.iter().cloned().map(App).collect();
    if apps.is_empty() {
        let said = target.read("apps", &[]).await;
        let all = said.ok().and_then(|raw| raw.json::<All>().ok());
        apps.push(App(String::new()));
        apps.extend(all.into_iter().flat_map(|all| all.apps).map(|one| App(one.app)));
    }
    apps
}

/// What nginx says that it is; None if it does not say it. The failure: it does not answer.
pub async fn versions(target: &Target) -> Result<Option<Versions>, Failure> {
    target.status().await.map(|status| status.versions)
}

pub async fn call(target: &Target, call: &Call) -> Said {
    let said = match call {
        Call::Look => target.status().await,
        _ => {
            let (verb, parameters, wait) = words(call);
            target.change(verb, &parameters, wait).await
        }
    };
    match said {
        Ok(status) => Said::Is(seen(*status)),
        Err(failure) => refused(failure),
    }
}

fn words(call: &Call) -> (&'static str, Vec<Parameter>, Duration) {
    let mut all: Vec<Parameter> = Vec::new();
    let mut add = |name, value: Option<String>| all.extend(value.map(|value| (name, value)));
    let number = |Token(token): &Token| Some(token.to_string());
    let mut waits = Duration::ZERO;
    let verb = match call {
        Call::Look => "status",
        Call::Enable { token, by, reason, lease } => {
            add("new", Some("1".to_owned()));
            add("token", number(token));
            add("for", Some(parameter(*lease)));
            add("by", Some(by.clone()));
            add("reason", reason.clone());
            "enable"
        }
        Call::Renew { token, pause, lease } => {
            add("id", Some(pause.to_string()));
            add("paused", Some("1".to_owned()));
            add("token", number(token));
            add("for", Some(parameter(*lease)));
            "enable"
        }
        Call::Wait { token, pause, lease, wait } => {
            add("id", Some(pause.to_string()));
            add("paused", Some("1".to_owned()));
            add("token", number(token));
            add("for", Some(parameter(*lease)));
            add("wait", Some(parameter(*wait)));
            add("keep", Some("1".to_owned()));
            waits = *wait;
            "enable"
        }
        Call::Stop { token, by, reason, lease } => {
            add("token", number(token));
            add("by", Some(by.clone()));
            add("reason", reason.clone());
            add("for", lease.map(parameter));
            "stop"
        }
        Call::Disable { token, pause, what, by, spread, concurrency } => {
            add("id", Some(pause.to_string()));
            add("paused", (*what == What::Pause).then(|| "1".to_owned()));
            add("token", number(token));
            add("by", Some(by.clone()));
            add("spread", spread.map(parameter));
            add("concurrency", concurrency.map(|count| count.to_string()));
            "disable"
        }
    };
    (verb, all, waits)
}

fn seen(status: answer::Status) -> Status {
    let answer::Status { state, pause, by, drained_by, held, in_flight, .. } = status;
    Status { state, pause, by, drained_by, held, in_flight }
}

fn refused(failure: Failure) -> Said {
    let Failure { kind, text, effect } = failure;
    Said::Refused(match kind {
        Kind::Unreachable if effect == Effect::Nothing => return Said::Down(text),
        Kind::Unreachable => return Said::Unreachable(text),
        _ if effect == Effect::Unknown => return Said::Unreachable(text),
        Kind::NotOpen => Refusal::NotOpen,
        Kind::NotThatPause if text.starts_with("an earlier call had a greater token") => {
            Refusal::OldToken
        }
        Kind::NotThatPause | Kind::Superseded => Refusal::NotThatPause,
        Kind::NotQuiet => Refusal::NotQuiet(text),
        Kind::Later => Refusal::Later(text),
        Kind::NotOurs | Kind::Denied | Kind::Refused => Refusal::Never(text),
    })
}
