//! `run`, `pause` and `resume` over a fleet: carries out what its caller asks for.
#![forbid(unsafe_code)]

pub mod named;
mod stop;
mod tell;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use fleet::caller::talk::{self, Action, Ask, Direct, Event, Goal, Kill, Outcome, Reply, Terms};
use fleet::caller::Caller;
use fleet::keys::{App, HostId};
use tokio::process::Child;
use tokio::sync::mpsc::{unbounded_channel, UnboundedSender};
use tokio::time::Instant;

use crate::args::{self, Output};
use crate::awaited::{ended, reached};
use crate::child;
use crate::client::url::Address;
use crate::client::{given, Access, Target};
use crate::config::fleets::ChosenFleet;
use crate::config::Wrong;
use crate::etcd::fleets::Keys;
use crate::exit::Exit;
use crate::plan::event::{self, Signal};
use crate::signals;
use crate::words::{caller, parameter, seconds};
pub use stop::stop;
use tell::Tell;
pub use tell::{away, failure, names, not_alive, standing};

const LEASE: Duration = Duration::from_secs(60);
const HELD_LEASE: Duration = Duration::from_secs(300);
const WAIT: Duration = Duration::from_secs(10);
/// A shorter lease is not held in time by all hosts.
const SHORTEST_LEASE: Duration = Duration::from_secs(10);

pub async fn run(chosen: &ChosenFleet, args: &args::Run) -> Result<Exit, Wrong> {
    if let Err(why) = child::find(&args.command) {
        let text = format!("{}: nothing was paused", why.text);
        return Err(Wrong { exit: Exit(why.exit), text });
    }
    let (settings, wait) = (&chosen.settings, args.wait.or(chosen.settings.wait).unwrap_or(WAIT));
    let lease = args.terms.lease.or(settings.lease).unwrap_or(LEASE.max(wait * 2));
    let kill = (args.on_lost == args::OnLost::Kill).then_some(args.grace);
    let terms = Terms {
        goal: Goal::Run,
        spread: args.pace.spread.or(settings.spread),
        concurrency: args.pace.concurrency.or(settings.concurrency),
        kill,
        ..terms(&args.terms, &args.hosts, lease, wait)?
    };
    drive(&chosen.keys, terms, args.output, &args.command, None).await
}

pub async fn pause(chosen: &ChosenFleet, args: &args::Pause) -> Result<Exit, Wrong> {
    let wait = args.wait.or(chosen.settings.wait).unwrap_or(WAIT);
    let lease = args.terms.lease.or(chosen.settings.lease).unwrap_or(HELD_LEASE);
    let terms = terms(&args.terms, &args.hosts, lease, wait)?;
    drive(&chosen.keys, terms, args.output, &[], None).await
}

/// Ends the pause of the app, whoever began it.
pub async fn resume(chosen: &ChosenFleet, args: &args::Resume) -> Result<Exit, Wrong> {
    let app = app(&args.hosts)?;
    let away = |error| tell::away(&error);
    let snapshot = chosen.keys.snapshot().await.map_err(away)?;
    let entry = snapshot.pauses.get(&app);
    let entry = entry.filter(|one| args.id.is_none_or(|id| id == one.token.0));
    let Some(entry) = entry else {
        let text = "the fleet is not paused, or not by that pause: nothing was changed".to_owned();
        return Err(Wrong { exit: Exit::LOST, text });
    };
    let by = entry.pause.as_ref().map(|pause| pause.by.clone()).unwrap_or_default();
    let hold = entry.pause.as_ref().map_or(LEASE, |pause| pause.hold.time());
    let terms = Terms {
        app,
        by,
        reason: entry.pause.as_ref().and_then(|pause| pause.reason.clone()),
        goal: Goal::Hold,
        hold,
        wait: args.wait.unwrap_or(WAIT),
        spread: args.pace.spread.or(chosen.settings.spread),
        concurrency: args.pace.concurrency.or(chosen.settings.concurrency),
        without: without(&args.hosts)?,
        kill: None,
    };
    drive(&chosen.keys, terms, args.output, &[], Some(entry)).await
}

fn terms(
    terms: &args::Terms,
    hosts: &args::Hosts,
    lease: Duration,
    wait: Duration,
) -> Result<Terms, Wrong> {
    let least = SHORTEST_LEASE.max(wait * 3 / 2);
    if lease < least {
        let text = format!(
            "the lease of {} is too short: with this wait it must be at least {}, so that each \
             host can hold in time",
            seconds(lease),
            seconds(least)
        );
        return Err(Wrong::usage(text));
    }
    Ok(Terms {
        app: app(hosts)?,
        by: caller(terms.by.as_deref()),
        reason: terms.reason.clone(),
        goal: Goal::Hold,
        hold: lease,
        wait,
        spread: None,
        concurrency: None,
        without: without(hosts)?,
        kill: None,
    })
}

/// A pause of a fleet is about one app.
fn app(hosts: &args::Hosts) -> Result<App, Wrong> {
    match hosts.app.as_slice() {
        [] => Ok(App(String::new())),
        [app] => Ok(App(app.clone())),
        _ => Err(Wrong::usage("a pause of a fleet is about one --app")),
    }
}

fn without(hosts: &args::Hosts) -> Result<BTreeSet<HostId>, Wrong> {
    let one = |id: &String| {
        let wrong = || Wrong::usage(format!("\"{id}\" is not the name of a host"));
        HostId::parse(id).ok_or_else(wrong)
    };
    hosts.in_fleet.without.iter().map(one).collect()
}

/// What happens while it is carried out.
enum Happened {
    Event(Event),
    /// The answer to the question with this number.
    Told(u64, Reply),
}

async fn drive(
    keys: &Keys,
    terms: Terms,
    output: Output,
    command: &[OsString],
    resumed: Option<&fleet::snapshot::PauseEntry>,
) -> Result<Exit, Wrong> {
    let mut signals = signals::listen(&[], "; nothing was paused")?;
    let start = Instant::now();
    let tell = Tell::new(output, keys.fleet.name(), &terms);
    let app = terms.app.clone();
    let by = terms.by.clone();
    let mut caller = match resumed {
        Some(entry) => Caller::to_resume(start.elapsed(), terms, entry),
        None => Caller::new(start.elapsed(), terms),
    };
    let (to, mut happened) = unbounded_channel();
    let bell = tokio::spawn(ring(keys.clone(), to.clone()));
    let mut asked: u64 = 0;
    let mut running: Option<Child> = None;
    let mut exit: Option<event::Exit> = None;
    let mut event = Event::Begin;
    let outcome = loop {
        let mut actions = Vec::new();
        caller.handle(start.elapsed(), event, &mut actions);
        let mut outcome: Option<Outcome> = None;
        let mut failed = None;
        for action in actions {
            match action {
                Action::Ask(ask) => {
                    asked += 1;
                    let one = question(keys.clone(), app.clone(), ask, asked, to.clone());
                    tokio::spawn(one);
                }
                Action::Start => match child::start(command, &variables(&caller)) {
                    Ok(child) => {
                        tell.started(command);
                        running = Some(child);
                    }
                    Err(why) => failed = Some(why),
                },
                Action::Kill(kill) => {
                    let number = if kill == Kill::Term { 15 } else { 9 };
                    running.iter().for_each(|child| child::signal(child, Signal(number)));
                }
                Action::Direct(one) => {
                    tokio::spawn(direct(app.clone(), by.clone(), one, to.clone()));
                }
                Action::Tell(notice) => tell.notice(&notice),
                Action::Finish(one) => outcome = Some(one),
            }
        }
        if let Some(outcome) = outcome {
            break outcome;
        }
        if let Some(why) = failed {
            tell.not_started(&why.text);
            exit = Some(event::Exit::Status(why.exit));
            event = Event::NotStarted;
            continue;
        }
        let tick = caller.next().map(|time| start + time);
        event = tokio::select! {
            Some((signal, sender)) = signals.recv() => {
                let is_passed = sender == event::Sender::Process || !matches!(signal.0, 2 | 3);
                match &running {
                    Some(child) if is_passed => child::signal(child, signal),
                    _ => {}
                }
                let ends = matches!(signal.0, 1 | 2 | 3 | 15);
                if ends && running.is_none() {
                    tell.interrupted(signal);
                    exit.get_or_insert(event::Exit::Killed(signal));
                }
                if ends { Event::Interrupt } else { Event::Tick }
            }
            Some(one) = happened.recv() => match one {
                Happened::Event(event) => event,
                Happened::Told(number, reply) if number == asked => Event::Told(reply),
                Happened::Told(..) => Event::Tick,
            },
            status = ended(&mut running) => {
                running = None;
                exit = Some(child::exit(status));
                Event::Ended
            }
            () = reached(tick) => Event::Tick,
        };
    };
    bell.abort();
    Ok(tell.outcome(&outcome, exit))
}

fn variables(caller: &Caller) -> Vec<(&'static str, String)> {
    let token = caller.token().map(|token| token.0.to_string());
    token.map(|token| ("INTERMISSION_TOKEN", token)).into_iter().collect()
}

async fn question(keys: Keys, app: App, ask: Ask, number: u64, to: UnboundedSender<Happened>) {
    let reply = keys.caller(&app, &ask).await;
    // The caller may have finished.
    let _ = to.send(Happened::Told(number, reply));
}

/// Tells each change in the fleet.
async fn ring(keys: Keys, to: UnboundedSender<Happened>) {
    const AGAIN: Duration = Duration::from_secs(1);
    loop {
        if let Ok(at) = keys.snapshot().await {
            let prefix = keys.fleet.prefix();
            keys.watch(&prefix, at.revision, |_, _| {
                let _ = to.send(Happened::Event(Event::Bell));
            })
            .await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Tells a host to end its pause, without etcd.
async fn direct(app: App, by: String, one: Direct, to: UnboundedSender<Happened>) {
    let said = end(app, by, &one).await;
    let _ = to.send(Happened::Event(Event::Direct(one.host, said)));
}

async fn end(App(app): App, by: String, one: &Direct) -> Result<(), String> {
    let access = Access {
        connect_timeout: Duration::from_secs(1),
        answer_timeout: Duration::from_secs(2),
        ..Access::default()
    };
    let address = Address::parse(&one.endpoint)?;
    let target = Target::new(address, Some(app).filter(|app| !app.is_empty()), &access)?;
    let parameters = given([
        ("id", Some(one.pause.to_string())),
        ("paused", Some("1".to_owned())),
        ("token", Some(one.token.0.to_string())),
        ("by", Some(by)),
        ("spread", one.spread.map(parameter)),
        ("concurrency", one.concurrency.map(|count| count.to_string())),
    ]);
    use crate::client::answer::Kind;
    match target.change("disable", &parameters, Duration::ZERO).await {
        Ok(_) => Ok(()),
        // It is over already.
        Err(failure) if failure.kind == Kind::NotThatPause => Ok(()),
        Err(failure) => Err(failure.text),
    }
}

impl From<talk::NotPaused> for Exit {
    fn from(why: talk::NotPaused) -> Self {
        use talk::NotPaused;
        match why {
            NotPaused::NoEtcd(_) | NotPaused::Nobody => Self::UNREACHABLE,
            NotPaused::Taken(_) => Self::NOT_OURS,
            NotPaused::Refused(_) | NotPaused::Late(_) => Self::NOT_QUIET,
            NotPaused::Gone | NotPaused::Stopped(_) => Self::LOST,
        }
    }
}
