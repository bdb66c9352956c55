//! `stop`: all requests are answered with 503.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::together::change;
use crate::args::Stop;
use crate::client::given;
use crate::config::fleets::choose_fleet;
use crate::config::{choose, Wrong};
use crate::exit::Exit;
use crate::fleets;
use crate::show::Show;
use crate::words::{caller, parameter};

pub async fn run(args: &Stop) -> Result<Exit, Wrong> {
    if let Some(fleet) = choose_fleet(&args.hosts.in_fleet, args.hosts.config.as_deref())? {
        return fleets::stop(&fleet, args).await;
    }
    let chosen = choose(&args.hosts)?;
    let parameters = given([
        ("id", args.id.map(|id| id.to_string())),
        ("for", args.lease.map(parameter)),
        ("reason", args.reason.clone()),
        ("by", Some(caller(args.by.as_deref()))),
    ]);
    let all = change(&chosen.targets, "stop", &parameters, Duration::ZERO).await;
    Ok(Show::new(args.output, &chosen.targets).each("stop", &all))
}
