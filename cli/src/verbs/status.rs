//! `status`: the state of each app at each host.
#![forbid(unsafe_code)]

use serde::Deserialize;
use serde_json::{json, Value};

use super::together::each;
use crate::args::Status;
use crate::client::answer::{Effect, Failure, Kind, Status as Seen};
use crate::client::Target;
use crate::config::{choose, Wrong};
use crate::exit::Exit;
use crate::fleets::away;
use crate::fleets::named::{Named, NO_ENDPOINT};
use crate::show::screen::{print, watch, Manner};
use crate::show::table;

/// An app at a host, as people read it, and as the endpoint said it.
pub type Row = Result<(Box<Seen>, Value), Failure>;

pub async fn run(args: &Status) -> Result<Exit, Wrong> {
    let mut places = Places::find(args)?;
    if !args.watch {
        let rows = places.rows().await?;
        print(&shown(&rows, args.json));
        let failure = rows.iter().find_map(|(_, row)| row.as_ref().err());
        return Ok(failure.map_or(Exit::OK, Exit::failure));
    }
    let manner = if args.json { Manner::Lines } else { Manner::Table };
    watch(manner, args.interval, async || {
        let rows = places.rows().await.unwrap_or_else(|wrong| vec![failed("etcd", &wrong.text)]);
        shown(&rows, args.json).into()
    })
    .await
}

/// Where it is looked.
struct Places {
    targets: Vec<Target>,
    /// The fleet whose hosts these are.
    fleet: Option<Named>,
    is_one_app: bool,
    is_watched: bool,
}

impl Places {
    fn find(args: &Status) -> Result<Self, Wrong> {
        let fleet = Named::find(&args.hosts)?;
        let is_watched = args.watch;
        Ok(match &fleet {
            Some(named) => {
                let is_one_app = named.has_named_app();
                Self { targets: Vec::new(), fleet, is_one_app, is_watched }
            }
            None => {
                let chosen = choose(&args.hosts)?;
                let is_one_app = !args.hosts.app.is_empty() || chosen.settings.apps.is_some();
                Self { targets: chosen.targets, fleet, is_one_app, is_watched }
            }
        })
    }

    /// Each app of each host. The hosts of a fleet are those that etcd names now; while it is watched, and
    /// etcd does not answer, those that it named last.
    async fn rows(&mut self) -> Result<Vec<(String, Row)>, Wrong> {
        let mut more = Vec::new();
        if let Some(fleet) = &mut self.fleet {
            match fleet.look().await {
                Err(error) if self.is_watched => more.push(failed("etcd", &away(&error).text)),
                looked => looked.map_err(|error| away(&error))?,
            }
            more.extend(fleet.unknown().map(|(id, _)| failed(&id.0, NO_ENDPOINT)));
            let nobody = fleet.nobody().filter(|_| more.is_empty());
            more.extend(nobody.map(|why| failed(fleet.name(), &why)));
            self.targets = fleet.targets()?;
        }
        let mut rows = look(&self.targets, self.is_one_app).await;
        rows.extend(more);
        Ok(rows)
    }
}

fn failed(what: &str, text: &str) -> (String, Row) {
    let failure =
        Failure { kind: Kind::Unreachable, text: text.to_owned(), effect: Effect::Nothing };
    (what.to_owned(), Err(failure))
}

fn shown(rows: &[(String, Row)], is_json: bool) -> String {
    if is_json {
        lines(rows)
    } else {
        table::status(rows)
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
