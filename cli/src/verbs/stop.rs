//! `stop`: all requests are answered with 503.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::together::each;
use crate::args::Stop;
use crate::client::Parameter;
use crate::config::{choose, Wrong};
use crate::exit::Exit;
use crate::fleets::named;
use crate::show::Show;
use crate::words::{caller, parameter};

pub async fn run(args: &Stop) -> Result<Exit, Wrong> {
    let chosen = choose(&named(&args.hosts).await?)?;
    let parameters: Vec<Parameter> = [
        ("id", args.id.map(|id| id.to_string())),
        ("for", args.lease.map(parameter)),
        ("reason", args.reason.clone()),
        ("by", Some(caller(args.by.as_deref()))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let all = each(&chosen.targets, |target| {
        let parameters = parameters.clone();
        async move { target.change("stop", &parameters, Duration::ZERO).await }
    });
    let all = all.await;
    Ok(Show::new(args.output, &chosen.targets).each("stop", &all))
}
