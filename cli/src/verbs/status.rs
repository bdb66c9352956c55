//! `status`: the state of each app at each host.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::{json, Value};

use super::together::each;
use crate::args::Status;
use crate::client::answer::{Failure, Status as Seen};
use crate::client::Target;
use crate::config::{choose, Wrong};
use crate::exit::Exit;
use crate::fleets::named;
use crate::show::table;

/// An app at a host, as people read it, and as the endpoint said it.
pub type Row = Result<(Box<Seen>, Value), Failure>;

pub async fn run(args: &Status) -> Result<Exit, Wrong> {
    let chosen = choose(&named(&args.hosts).await?)?;
    let is_one_app = !args.hosts.app.is_empty() || chosen.settings.apps.is_some();
    loop {
        let rows = look(&chosen.targets, is_one_app).await;
        let text = if args.json { lines(&rows) } else { table::status(&rows) };
        let clear = if args.watch && !args.json { "\x1b[H\x1b[2J" } else { "" };
        let mut out = io::stdout().lock();
        if write!(out, "{clear}{text}").and_then(|()| out.flush()).is_err() {
            return Ok(Exit::OK);
        }
        drop(out);
        if !args.watch {
            let failure = rows.iter().find_map(|(_, row)| row.as_ref().err());
            return Ok(failure.map_or(Exit::OK, Exit::failure));
        }
        tokio::time::sleep(args.interval).await;
    }
}

/// Each app of each host: those that the endpoint controls, or the named ones.
async fn look(targets: &[Target], is_one_app: bool) -> Vec<(String, Row)> {
    let all = each(targets, move |target| async move {
        let rows = if is_one_app { one(&target).await } else { apps(&target).await };
        match rows {
            Ok(rows) => {
                rows.into_iter().map(|row| (target.address.name.clone(), Ok(row))).collect()
            }
            Err(failure) => vec![(target.name(), Err(failure))],
        }
    });
    all.await.into_iter().flatten().flatten().collect()
}

async fn one(target: &Target) -> Result<Vec<(Box<Seen>, Value)>, Failure> {
    let raw = target.read("status", &[]).await?;
    Ok(vec![(Box::new(raw.json()?), raw.json()?)])
}

async fn apps(target: &Target) -> Result<Vec<(Box<Seen>, Value)>, Failure> {
    let raw = target.read("apps", &[]).await?;
    let (seen, values): (Apps<Seen>, Apps<Value>) = (raw.json()?, raw.json()?);
    Ok(seen.apps.into_iter().map(Box::new).zip(values.apps).collect())
}

#[derive(Deserialize)]
struct Apps<T> {
    apps: Vec<T>,
}

/// JSON: an object a line.
fn lines(rows: &[(String, Row)]) -> String {
    let line = |(host, row): &(String, Row)| {
        let value = match row {
            Ok((_, value)) => json!({ "host": host, "status": value }),
            Err(failure) => json!({ "host": host, "error": failure.text }),
        };
        format!("{value}\n")
    };
    rows.iter().map(line).collect()
}
