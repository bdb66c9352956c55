//! `pause`: all hosts are paused, or none.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime};

use super::run::drive;
use crate::args::Pause;
use crate::client::Target;
use crate::config::fleets::choose_fleet;
use crate::config::{choose, Wrong};
use crate::driver::Speech;
use crate::exit::Exit;
use crate::fleets;
use crate::key::{Entry, Key, Record};
use crate::plan::action::Outcome;
use crate::plan::terms::{Goal, Join, OnLost, Terms};
use crate::plan::Plan;
use crate::show::Show;
use crate::words::{caller, seconds};

/// A pause that is forgotten ends.
const LEASE: Duration = Duration::from_secs(300);
/// How long an app is waited for that still drains.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn run(args: &Pause) -> Result<Exit, Wrong> {
    if let Some(fleet) = choose_fleet(&args.hosts.in_fleet, args.hosts.config.as_deref())? {
        return fleets::pause(&fleet, args).await;
    }
    let chosen = choose(&args.hosts)?;
    let wait = args.wait.or(chosen.settings.wait);
    let lease = args.terms.lease.or(chosen.settings.lease).unwrap_or(LEASE);
    if wait.is_some_and(|wait| wait >= lease) {
        let text = format!("the wait must be shorter than the lease, {}", seconds(lease));
        return Err(Wrong::usage(text));
    }
    let terms = Terms {
        goal: Goal::Hold,
        by: caller(args.terms.by.as_deref()),
        lease,
        wait: wait.unwrap_or_default(),
        patience: wait.unwrap_or(PATIENCE),
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
    match &args.key {
        Some(key) => keyed(&Key::open(key).await?, terms, speech, &chosen.targets, &mut show).await,
        None => {
            show.pausing(&terms);
            let mut plan = Plan::to_pause(terms, chosen.targets.len());
            let outcome = drive(&mut plan, &mut show, &chosen.targets, speech, &[]).await?;
            Ok(show.outcome(&outcome, &plan))
        }
    }
}

/// The same, with what an earlier call remembered. What is to begin is written down before it
/// begins: if this process dies, `resume` finds it by its name.
async fn keyed(
    key: &Key,
    terms: Terms,
    speech: Speech,
    targets: &[Target],
    show: &mut Show,
) -> Result<Exit, Wrong> {
    let old = key.read()?;
    let by = old.as_ref().map_or_else(|| terms.by.clone(), |old| old.by.clone());
    let old = old.unwrap_or_default().pauses;
    let known = |target: &Target| old.iter().find(|entry| is_at(entry, target));
    let pauses: Vec<Option<u64>> =
        targets.iter().map(|target| known(target).and_then(|entry| entry.pause)).collect();
    let (terms, speech) = (Terms { by: by.clone(), ..terms }, Speech { by: by.clone(), ..speech });
    let lasts = terms.lease.saturating_add(terms.wait).saturating_add(Duration::from_secs(10));
    let others = old.iter().filter(|entry| !targets.iter().any(|target| is_at(entry, target)));
    let record = |pauses: &[Option<u64>]| {
        let entries = targets.iter().zip(pauses).map(|(target, pause)| Entry {
            host: target.address.name.clone(),
            app: target.app.clone(),
            pause: *pause,
        });
        let until = SystemTime::now().checked_add(lasts).unwrap_or(SystemTime::UNIX_EPOCH);
        let until = humantime::format_rfc3339_millis(until).to_string();
        Record { by: by.clone(), until, pauses: others.clone().cloned().chain(entries).collect() }
    };
    key.write(&record(&pauses))?;
    show.pausing(&terms);
    let mut plan = Plan::to_keep(terms, &pauses);
    let outcome = drive(&mut plan, show, targets, speech, &[]).await?;
    let exit = show.outcome(&outcome, &plan);
    match outcome {
        Outcome::Held => {
            let mut pauses = pauses;
            for (id, pause) in plan.pauses() {
                if let Some(place) = pauses.get_mut(id.0) {
                    *place = Some(pause);
                }
            }
            key.write(&record(&pauses))?;
        }
        // All that was paused at these hosts is resumed.
        _ => match others.clone().next() {
            None => key.forget()?,
            Some(_) => {
                key.write(&Record { pauses: others.clone().cloned().collect(), ..record(&[]) })?
            }
        },
    }
    Ok(exit)
}

fn is_at(entry: &Entry, target: &Target) -> bool {
    entry.host == target.address.name && entry.app == target.app
}
