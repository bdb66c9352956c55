//! `run`: pause, wait until quiet, run a command, resume.
#![forbid(unsafe_code)]

use std::time::Duration;

use signal_hook::consts::SIGTSTP;

use crate::args::{OnLost, Run};
use crate::child;
use crate::client::Target;
use crate::config::fleets::choose_fleet;
use crate::config::{choose, Wrong};
use crate::driver::{Driver, Speech};
use crate::exit::Exit;
use crate::fleets;
use crate::plan::action::Outcome;
use crate::plan::terms::{self, Goal, Join, Terms};
use crate::plan::Plan;
use crate::show::Show;
use crate::signals;
use crate::words::{caller, seconds};

const LEASE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(10);
/// A shorter lease cannot be renewed in time.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

pub async fn run(args: &Run) -> Result<Exit, Wrong> {
    if let Some(fleet) = choose_fleet(&args.hosts.in_fleet, args.hosts.config.as_deref())? {
        return fleets::run(&fleet, args).await;
    }
    let chosen = choose(&args.hosts)?;
    if let Err(why) = child::find(&args.command) {
        return Err(Wrong {
            exit: Exit(why.exit),
            text: format!("{}: nothing was paused", why.text),
        });
    }
    let wait = args.wait.or(chosen.settings.wait).unwrap_or(WAIT);
    let lease = lease(args.terms.lease.or(chosen.settings.lease), wait)?;
    let terms = Terms {
        goal: Goal::Run,
        by: caller(args.terms.by.as_deref()),
        lease,
        wait,
        patience: wait,
        join: if args.terms.join { Join::Yes } else { Join::Never },
        on_lost: match args.on_lost {
            OnLost::Finish => terms::OnLost::Finish,
            OnLost::Kill => terms::OnLost::Kill(args.grace),
        },
    };
    let speech = Speech {
        by: terms.by.clone(),
        reason: args.terms.reason.clone(),
        lease,
        wait: Some(wait),
        spread: args.pace.spread.or(chosen.settings.spread),
        concurrency: args.pace.concurrency.or(chosen.settings.concurrency),
    };
    let targets: Vec<Target> =
        chosen.targets.iter().map(|target| target.patient(lease / 3)).collect();
    let mut show = Show::new(args.output, &targets);
    show.pausing(&terms);
    let mut plan = Plan::to_pause(terms, targets.len());
    let outcome = drive(&mut plan, &mut show, &targets, speech, &args.command).await?;
    Ok(show.outcome(&outcome, &plan))
}

/// Carries a plan out while signals are listened to.
pub async fn drive(
    plan: &mut Plan,
    show: &mut Show,
    targets: &[Target],
    speech: Speech,
    command: &[std::ffi::OsString],
) -> Result<Outcome, Wrong> {
    let more: &[i32] = if show.is_live() { &[SIGTSTP] } else { &[] };
    let signals = signals::listen(more, "; nothing was paused")?;
    Ok(Driver { targets, speech, command, signals }.drive(plan, show).await)
}

/// The lease: it must leave time for its renewal after the wait.
fn lease(asked: Option<Duration>, wait: Duration) -> Result<Duration, Wrong> {
    let least = (wait * 3 / 2).max(SHORTEST_LEASE);
    match asked {
        None => Ok(LEASE.max(wait * 2)),
        Some(lease) if lease >= least => Ok(lease),
        Some(lease) => Err(Wrong::usage(format!(
            "the lease of {} is too short for a wait of {}: it must be at least {}, so that it can \
             be renewed",
            seconds(lease),
            seconds(wait),
            seconds(least)
        ))),
    }
}
