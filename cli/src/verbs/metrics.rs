//! `metrics`: what each endpoint has for Prometheus.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use super::together::each;
use crate::args::Metrics;
use crate::config::{choose, Wrong};
use crate::exit::Exit;
use crate::fleets::named;
use crate::show;
use crate::words::printable;

pub async fn run(args: &Metrics) -> Result<Exit, Wrong> {
    let mut targets = choose(&named(&args.hosts).await?)?.targets;
    // The metrics have all apps of an endpoint.
    targets.dedup_by(|a, b| a.address == b.address);
    let all = each(&targets, |target| async move { target.read("metrics", &[]).await });
    let mut exit = Exit::OK;
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
