//! `fleet`: the hosts of a fleet, its pauses, and what hosts make of them.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use fleet::keys::HostId;

use crate::args::fleet::{FleetVerb, Fleets};
use crate::config::fleets::choose_fleet;
use crate::config::Wrong;
use crate::exit::Exit;
use crate::fleets::{away, failure};
use crate::show;
use crate::show::fleet::{in_json, table};

pub async fn run(args: &Fleets) -> Result<Exit, Wrong> {
    let chosen = choose_fleet(&args.fleet, args.config.as_deref())?;
    let chosen = chosen.ok_or_else(|| Wrong::usage("which fleet? Give --fleet NAME"))?;
    let away = |error| away(&error);
    if let Some(FleetVerb::Forget { id }) = &args.verb {
        let wrong = || Wrong::usage(format!("\"{id}\" is not a host's name"));
        chosen.keys.forget(&HostId::parse(id).ok_or_else(wrong)?).await.map_err(away)?;
        show::say(&format!("host {id} is forgotten"));
        return Ok(Exit::OK);
    }
    loop {
        let text = match chosen.keys.snapshot().await {
            Ok(at) if args.json => format!("{}\n", in_json(&at)),
            Ok(at) => table(&at),
            Err(error) if args.watch => format!("{}\n", failure(&error)),
            Err(error) => return Err(away(error)),
        };
        let clear = if args.watch && !args.json { "\x1b[H\x1b[2J" } else { "" };
        let mut out = io::stdout().lock();
        if write!(out, "{clear}{text}").and_then(|()| out.flush()).is_err() || !args.watch {
            return Ok(Exit::OK);
        }
        drop(out);
        tokio::time::sleep(args.interval).await;
    }
}
