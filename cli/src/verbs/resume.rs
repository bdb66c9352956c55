//! `resume`: ends the pause of each host.
#![forbid(unsafe_code)]

use super::together::each;
use crate::args::Resume;
use crate::client::Parameter;
use crate::config::{choose, Wrong};
use crate::exit::Exit;
use crate::show::Show;
use crate::words::{caller, parameter};

pub async fn run(args: &Resume) -> Result<Exit, Wrong> {
    let chosen = choose(&args.hosts)?;
    let wait = args.wait;
    let spread = args.pace.spread.or(chosen.settings.spread);
    let concurrency = args.pace.concurrency.or(chosen.settings.concurrency);
    let parameters: Vec<Parameter> = [
        ("id", args.id.map(|id| id.to_string())),
        ("spread", spread.map(parameter)),
        ("concurrency", concurrency.map(|count| count.to_string())),
        ("wait", wait.map(parameter)),
        ("by", Some(caller(args.by.as_deref()))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let all = each(&chosen.targets, |target| {
        let parameters = parameters.clone();
        async move { target.change("disable", &parameters, wait.unwrap_or_default()).await }
    });
    let all = all.await;
    Ok(Show::new(args.output, &chosen.targets).each("resume", &all))
}
