//! `pause`: all hosts are paused, or none.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::run::drive;
use crate::args::Pause;
use crate::config::{choose, Wrong};
use crate::driver::Speech;
use crate::exit::Exit;
use crate::plan::terms::{Goal, Join, OnLost, Terms};
use crate::plan::Plan;
use crate::show::Show;
use crate::words::{caller, seconds};

/// A pause that is forgotten ends.
const LEASE: Duration = Duration::from_secs(300);

pub async fn run(args: &Pause) -> Result<Exit, Wrong> {
    let chosen = choose(&args.hosts)?;
    let wait = args.wait.or(chosen.settings.wait);
    let lease = args.terms.lease.or(chosen.settings.lease).unwrap_or(LEASE);
    if wait.is_some_and(|wait| wait >= lease) {
        let text = format!("the wait must be shorter than the lease, {}", seconds(lease));
        return Err(Wrong { exit: Exit::USAGE, text });
    }
    let terms = Terms {
        goal: Goal::Hold,
        by: caller(args.terms.by.as_deref()),
        lease,
        wait: wait.unwrap_or_default(),
        join: if args.terms.join { Join::Yes } else { Join::Never },
        on_lost: OnLost::Finish,
    };
    let speech = Speech {
        by: terms.by.clone(),
        reason: args.terms.reason.clone(),
        lease,
        wait,
        spread: None,
        concurrency: None,
    };
    let mut show = Show::new(args.output, &chosen.targets);
    show.pausing(&terms);
    let mut plan = Plan::to_pause(terms, chosen.targets.len());
    let outcome = drive(&mut plan, &mut show, &chosen.targets, speech, &[]).await?;
    Ok(show.outcome(&outcome, &plan))
}
