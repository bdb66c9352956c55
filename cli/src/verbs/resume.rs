//! `resume`: ends the pause of each host.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::run::drive;
use super::together::change;
use crate::args::Resume;
use crate::client::given;
use crate::config::fleets::choose_fleet;
use crate::config::{choose, these, Wrong};
use crate::driver::Speech;
use crate::exit::Exit;
use crate::fleets;
use crate::key::Key;
use crate::plan::action::Outcome;
use crate::plan::terms::{Goal, Join, OnLost, Terms};
use crate::plan::Plan;
use crate::show::Show;
use crate::words::{caller, parameter, until};

pub async fn run(args: &Resume) -> Result<Exit, Wrong> {
    if let Some(fleet) = choose_fleet(&args.hosts.in_fleet, args.hosts.config.as_deref())? {
        return fleets::resume(&fleet, args).await;
    }
    if let Some(key) = &args.key {
        return keyed(&Key::open(key).await?, args).await;
    }
    let chosen = choose(&args.hosts)?;
    let wait = args.wait;
    let spread = args.pace.spread.or(chosen.settings.spread);
    let concurrency = args.pace.concurrency.or(chosen.settings.concurrency);
    let parameters = given([
        ("id", args.id.map(|id| id.to_string())),
        ("spread", spread.map(parameter)),
        ("concurrency", concurrency.map(|count| count.to_string())),
        ("wait", wait.map(parameter)),
        ("by", Some(caller(args.by.as_deref()))),
    ]);
    let all = change(&chosen.targets, "disable", &parameters, wait.unwrap_or_default()).await;
    Ok(Show::new(args.output, &chosen.targets).each("resume", &all))
}

/// Ends the pauses of a key.
async fn keyed(key: &Key, args: &Resume) -> Result<Exit, Wrong> {
    let Some(record) = key.read()? else {
        Show::new(args.output, &[]).nothing_to_resume();
        return Ok(Exit::OK);
    };
    let pairs = record.pauses.iter().map(|entry| (entry.host.clone(), entry.app.clone()));
    let chosen = these(&args.hosts, pairs)?;
    let speech = Speech {
        by: record.by.clone(),
        reason: None,
        lease: Duration::ZERO,
        wait: None,
        spread: args.pace.spread.or(chosen.settings.spread),
        concurrency: args.pace.concurrency.or(chosen.settings.concurrency),
    };
    let terms = Terms {
        goal: Goal::Resume,
        by: record.by.clone(),
        lease: Duration::ZERO,
        wait: Duration::ZERO,
        patience: Duration::ZERO,
        join: Join::Never,
        on_lost: OnLost::Finish,
    };
    let pauses: Vec<Option<u64>> = record.pauses.iter().map(|entry| entry.pause).collect();
    let within = args.retry.min(until(&record.until).unwrap_or_default());
    let mut show = Show::new(args.output, &chosen.targets);
    let mut plan = Plan::to_resume(terms, &pauses, within);
    let outcome = drive(&mut plan, &mut show, &chosen.targets, speech, &[]).await?;
    let exit = show.outcome(&outcome, &plan);
    // What is not confirmed can be tried again.
    if !matches!(outcome, Outcome::ResumedUnsure) || until(&record.until).is_none() {
        key.forget()?;
    }
    Ok(exit)
}
