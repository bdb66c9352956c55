//! `stop` over a fleet: the key says it, and each host follows, also one that boots later.
#![forbid(unsafe_code)]

use std::time::Duration;

use fleet::keys::{App, HostId, Token};
use fleet::snapshot::Snapshot;
use fleet::values::{AckState, Millis, Pause, Stage, VERSION};
use tokio::time::{sleep, Instant};

use super::{app, tell};
use crate::args;
use crate::client::url::Address;
use crate::client::{given, Access, Target};
use crate::config::fleets::ChosenFleet;
use crate::config::Wrong;
use crate::exit::Exit;
use crate::show;
use crate::words::{caller, parameter};

/// How long the agents are waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(100);

pub async fn stop(chosen: &ChosenFleet, args: &args::Stop) -> Result<Exit, Wrong> {
    let keys = &chosen.keys;
    let app = app(&args.hosts)?;
    let pause = Pause {
        v: VERSION,
        by: caller(args.by.as_deref()),
        reason: args.reason.clone(),
        beat: 0,
        hold: Millis::of(args.lease.unwrap_or_default()),
        wait: Millis(0),
        stage: Stage::Stop,
        spread: None,
        concurrency: None,
    };
    let away = |error| tell::away(&error);
    let before = keys.snapshot().await.map_err(away)?;
    let only = args.id.map(Token);
    let stopped = keys.stop(&app, &pause, args.lease, only).await.map_err(away)?;
    let Some(token) = stopped else {
        let text = "the fleet is not paused by that pause: nothing was changed".to_owned();
        return Err(Wrong { exit: Exit::LOST, text });
    };
    let say = |text: &str| {
        if !args.output.quiet {
            show::say(text);
        }
    };
    if let Some(ended) = before.pauses.get(&app).filter(|one| one.token == token && !one.is_stop())
    {
        let by = ended.pause.as_ref().map_or("", |pause| &pause.by);
        say(&format!("the pause {} by {by} has become a stop", token.0));
    }
    let mut at = before;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && !silent(&at, &app, token).is_empty() {
        sleep(AGAIN).await;
        at = keys.snapshot().await.unwrap_or(at);
    }
    let mut exit = Exit::OK;
    for id in silent(&at, &app, token) {
        let endpoint = at.hosts.get(&id).and_then(|one| one.host.endpoint.clone());
        let said = match endpoint {
            Some(endpoint) => directly(&endpoint, &app, token, &pause).await,
            None => Err("no endpoint of it is known".to_owned()),
        };
        match said {
            Ok(()) => say(&format!("host {}: stopped directly: its agent is silent", id.0)),
            Err(why) => {
                exit = Exit::UNREACHABLE;
                let text = format!("host {}: it stops when its agent reaches etcd; {why}", id.0);
                show::complain(&text);
            }
        }
    }
    let fleet = keys.fleet.name();
    let end = tell::resume(fleet, &app, token);
    say(&format!("fleet \"{fleet}\" is stopped; to end it: {end}"));
    Ok(exit)
}

/// The hosts that have not said that they are stopped.
fn silent(at: &Snapshot, app: &App, token: Token) -> Vec<HostId> {
    let is_stopped =
        |id: &HostId| at.ack(app, token, id).is_some_and(|ack| ack.state == AckState::Stopped);
    at.serving(app).map(|(id, _)| id.clone()).filter(|id| !is_stopped(id)).collect()
}

async fn directly(
    endpoint: &str,
    App(app): &App,
    token: Token,
    pause: &Pause,
) -> Result<(), String> {
    let access = Access {
        connect_timeout: Duration::from_secs(1),
        answer_timeout: Duration::from_secs(2),
        ..Access::default()
    };
    let app = Some(app.clone()).filter(|app| !app.is_empty());
    let target = Target::new(Address::parse(endpoint)?, app, &access)?;
    let lease = Some(pause.hold.time()).filter(|lease| !lease.is_zero());
    let parameters = given([
        ("token", Some(token.0.to_string())),
        ("by", Some(pause.by.clone())),
        ("reason", pause.reason.clone()),
        ("for", lease.map(parameter)),
    ]);
    let said = target.change("stop", &parameters, Duration::ZERO).await;
    said.map(|_| ()).map_err(|failure| failure.text)
}
