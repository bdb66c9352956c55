//! `metrics`: what each endpoint has for Prometheus.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use super::together::each;
use crate::args::Metrics;
use crate::config::{choose, Wrong};
use crate::exit::Exit;
use crate::fleets::away;
use crate::fleets::named::{Named, NO_ENDPOINT};
use crate::show;
use crate::words::printable;

pub async fn run(args: &Metrics) -> Result<Exit, Wrong> {
    let mut exit = Exit::OK;
    let mut targets = match Named::find(&args.hosts)? {
        None => choose(&args.hosts)?.targets,
        Some(mut fleet) => {
            fleet.look().await.map_err(|error| away(&error))?;
            let unknown = fleet.unknown().map(|(id, _)| format!("host {}: {NO_ENDPOINT}", id.0));
            for why in unknown.chain(fleet.nobody()) {
                exit = Exit::UNREACHABLE;
                show::complain(&printable(&why));
            }
            fleet.targets()?
        }
    };
    // The metrics have all apps of an endpoint.
    targets.dedup_by(|a, b| a.address == b.address);
    let all = each(&targets, |target| async move { target.read("metrics", &[]).await });
    for (target, one) in targets.iter().zip(all.await) {
        match one {
            Some(Ok(raw)) => {
                let mut out = io::stdout().lock();
                let heading = format!("# host {}\n", target.address.name);
                let heading = if targets.len() > 1 { heading } else { String::new() };
                if out
                    .write_all(heading.as_bytes())
                    .and_then(|()| out.write_all(&raw.body))
                    .is_err()
                {
                    return Ok(exit);
                }
            }
            Some(Err(failure)) => {
                exit = Exit::failure(&failure);
                show::complain(&format!("{}: {}", target.address.name, printable(&failure.text)));
            }
            None => exit = Exit::UNREACHABLE,
        }
    }
    Ok(exit)
}
