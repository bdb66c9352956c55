//! The agent of a host: carries out what its rules ask for.
#![forbid(unsafe_code)]

mod endpoint;
mod serve;
mod state_file;
mod wait_ready;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet::agent::call::{Call, Said, What};
use fleet::agent::{Action, Agent, Change, Event, Reply, Terms};
use fleet::keys::{App, HostId, Key, LeaseId, Token};
use fleet::snapshot::PauseEntry;
use fleet::values::{Host, VERSION};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout, Instant};

use crate::args;
use crate::awaited::reached;
use crate::client::answer::Kind;
use crate::client::Target;
use crate::config::fleets::choose_agent;
use crate::config::{choose, Wrong};
use crate::etcd::fleets::{Keys, Own};
use crate::etcd::Failure;
use crate::exit::Exit;
use crate::fleets::failure as etcd_failed;
use crate::plan::event::{Sender, Signal};
use crate::{show, signals};
use serve::{Seen, Serves};
pub use wait_ready::wait_ready;

/// How often etcd is asked, at least. The agent's lease there is five times that.
const POLL: Duration = Duration::from_secs(2);
/// How often a paused app is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// After so many polls nginx is asked again what it is: it may be replaced by a newer one.
const POLLS: u32 = 5;
/// A call reaches the endpoint within this time, or not at all.
pub const SLACK: Duration = Duration::from_secs(1);

/// What an agent is made of.
struct Parts {
    keys: Keys,
    own: Own,
    terms: Terms,
    /// The endpoint. Its app is chosen for each call.
    target: Target,
    listen: Option<String>,
}

pub async fn run(args: &args::fleet::Agent) -> Result<Exit, Wrong> {
    let mut signals = signals::listen(&[], "")?;
    let mut parts = parts(args)?;
    let seen = Seen::default();
    let (ask, mut asked) = unbounded_channel();
    let mut server = serve(&parts, &seen, &ask)?;
    loop {
        let name = &parts.own.id.0;
        show::say(&format!("agent {name} of fleet \"{}\"", parts.keys.fleet.name()));
        match live(&parts, &seen, &mut signals, &mut asked).await {
            After::Ends => break,
            After::Leaves(lease) => match leave(&parts, lease).await {
                Ok(()) => break,
                // It goes on as before.
                Err(why) => show::complain(&format!("not left: {why}")),
            },
            After::Reloads => match self::parts(args) {
                Ok(new) => {
                    if new.listen != parts.listen {
                        if let Some(old) = server.take() {
                            old.abort();
                        }
                        server = serve(&new, &seen, &ask)?;
                    }
                    parts = new;
                }
                // It goes on as before.
                Err(wrong) => show::complain(&format!("not reloaded: {}", wrong.text)),
            },
        }
    }
    Ok(Exit::OK)
}

fn serve(
    parts: &Parts,
    seen: &Seen,
    ask: &UnboundedSender<Serves>,
) -> Result<Option<JoinHandle<()>>, Wrong> {
    let Some(address) = &parts.listen else { return Ok(None) };
    let listener = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    });
    let listener = listener.map_err(|error| Wrong {
        exit: Exit(71),
        text: format!("cannot listen on {address}: {error}"),
    })?;
    Ok(Some(tokio::spawn(serve::serve(listener, seen.clone(), ask.clone()))))
}

fn parts(args: &args::fleet::Agent) -> Result<Parts, Wrong> {
    let config = args.hosts.config.as_deref();
    let (settings, fleet) = choose_agent(&args.hosts.in_fleet, config)?;
    let mut hosts = args.hosts.clone();
    hosts.in_fleet = args::fleet::InFleet::default();
    if hosts.host.is_empty() {
        hosts.host.extend(settings.host.clone());
    }
    if hosts.host.is_empty() {
        hosts.host.push("http://127.0.0.1".to_owned());
    }
    let apps = match hosts.app.is_empty() {
        true => settings.apps.clone().unwrap_or_default(),
        false => std::mem::take(&mut hosts.app),
    };
    let chosen = choose(&hosts)?;
    let target = chosen.targets.into_iter().next().map(|one| one.patient(SLACK * 2));
    let target = target.ok_or_else(|| Wrong::usage("an agent needs its --host"))?;
    let machine = || {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    };
    let id = args.id.clone().or(settings.id).unwrap_or_else(machine);
    let wrong = || {
        Wrong::usage(format!("\"{id}\" is not a host's name: letters, digits, . _ or -; give --id"))
    };
    let id = HostId::parse(&id).ok_or_else(wrong)?;
    let poll = args.poll.or(settings.poll).unwrap_or(POLL);
    let host = Host {
        v: VERSION,
        endpoint: args.endpoint.clone().or(settings.endpoint),
        apps,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        versions: None,
    };
    let own = Own { id, lease: poll * 5 };
    let terms = Terms { fleet: fleet.keys.fleet.clone(), host, poll, look: LOOK, slack: SLACK };
    let listen = args.listen.clone().or(settings.listen);
    Ok(Parts { keys: fleet.keys, own, terms, target, listen })
}

/// Why an agent has ended.
enum After {
    Ends,
    Reloads,
    Leaves(Option<LeaseId>),
}

/// The host is not of the fleet any more. Its nginx must have quit. Its lease ends first: then nothing that
/// it has asked of etcd makes it one again.
async fn leave(parts: &Parts, lease: Option<LeaseId>) -> Result<(), String> {
    match endpoint::call(&parts.target, &Call::Look).await {
        Said::Down(_) => {}
        _ => return Err("nginx still runs, or does not answer: end it first".to_owned()),
    }
    let forget = || parts.keys.forget(&parts.own.id);
    let failed = |failure| etcd_failed(&failure);
    // A host that is registered and does not live keeps a pause from beginning: so it goes as a whole.
    forget().await.map_err(failed)?;
    if let Some(lease) = lease {
        match parts.keys.revoke(lease).await {
            Ok(()) | Err(Failure::NoLease) => {}
            Err(why) => return Err(failed(why)),
        }
        // A question that was still on its way may have made it again. None does so after its lease.
        forget().await.map_err(failed)?;
    }
    show::say(&format!("host {} has left the fleet", parts.own.id.0));
    Ok(())
}

/// The newest of each kind: what is older is not heard any more.
#[derive(Default)]
struct Numbers {
    question: u64,
    watch: u64,
}

enum Happened {
    Told(u64, Reply, Option<Failure>),
    Changed(u64, Box<Change>),
    WatchEnded(u64),
    Event(Event),
}

async fn live(
    parts: &Parts,
    seen: &Seen,
    signals: &mut UnboundedReceiver<(Signal, Sender)>,
    asked: &mut UnboundedReceiver<Serves>,
) -> After {
    let start = Instant::now();
    let (to, mut happened) = unbounded_channel();
    let mut numbers = Numbers::default();
    let mut watch: Option<JoinHandle<()>> = None;
    let mut lease: Option<LeaseId> = None;
    let mut waiting: Vec<(Duration, Serves)> = Vec::new();
    let mut tell = Tell::default();
    // The endpoint may be away. Its own pauses of the fleet end by their leases then.
    let (apps, versions) = tokio::join!(
        timeout(SLACK * 2, endpoint::apps(&parts.target, &parts.terms)),
        timeout(SLACK * 2, endpoint::versions(&parts.target)),
    );
    let mut terms = parts.terms.clone();
    terms.host.versions = versions.ok().and_then(Result::ok).flatten();
    let mut agent = Agent::new(start.elapsed(), terms);
    let often = parts.terms.poll * POLLS;
    let looks = tokio::spawn(ask_versions(parts.target.clone(), often, to.clone()));
    let mut event = Event::Apps(apps.unwrap_or_default());
    let after = loop {
        let now = start.elapsed();
        let mut actions = Vec::new();
        if let Event::Told(Reply::Granted(granted)) = &event {
            lease = Some(*granted);
        }
        agent.handle(now, event, &mut actions);
        for action in actions {
            act(parts, action, &mut numbers, &mut watch, &to);
        }
        tell.say(&agent);
        publish(seen, &agent);
        // A call that waits for a look is answered when that is done.
        waiting.retain_mut(|(since, one)| !one.answer(&mut agent, now, *since));
        let tick = agent.next().map(|time| start + time);
        event = tokio::select! {
            Some((Signal(number), _)) = signals.recv() => match number {
                1 => break After::Reloads,
                2 | 15 => break After::Ends,
                3 => break After::Leaves(lease),
                _ => Event::Tick,
            },
            Some(one) = asked.recv() => {
                let event = one.event();
                waiting.push((start.elapsed(), one));
                event
            }
            Some(one) = happened.recv() => match one {
                Happened::Event(event) => event,
                Happened::Told(number, reply, failure) if number == numbers.question => {
                    tell.failed(failure.as_ref());
                    Event::Told(reply)
                }
                Happened::Changed(number, change) if number == numbers.watch => {
                    Event::Changed(*change)
                }
                Happened::WatchEnded(number) if number == numbers.watch => Event::WatchEnded,
                _ => Event::Tick,
            },
            () = reached(tick) => Event::Tick,
        };
    };
    watch.into_iter().chain([looks]).for_each(|task| task.abort());
    // A new agent of the same host takes over: only one that ends says so.
    if let (After::Ends, Some(lease)) = (&after, lease) {
        let _ = timeout(Duration::from_secs(1), parts.keys.revoke(lease)).await;
    }
    after
}

/// Asks nginx what it is, again and again.
async fn ask_versions(target: Target, often: Duration, to: UnboundedSender<Happened>) {
    loop {
        let wait = match endpoint::versions(&target).await {
            // The agent may have ended.
            Ok(versions) => to.send(Happened::Event(Event::Runs(versions))).map(|()| often),
            // It is about to start.
            Err(failure) if failure.kind == Kind::Unreachable => Ok(LOOK),
            Err(_) => Ok(often),
        };
        match wait {
            Ok(wait) => sleep(wait).await,
            Err(_) => return,
        }
    }
}

fn act(
    parts: &Parts,
    action: Action,
    numbers: &mut Numbers,
    watch: &mut Option<JoinHandle<()>>,
    to: &UnboundedSender<Happened>,
) {
    let (keys, to) = (parts.keys.clone(), to.clone());
    match action {
        Action::Ask(ask) => {
            numbers.question += 1;
            let (own, number) = (parts.own.clone(), numbers.question);
            tokio::spawn(async move {
                let (reply, failure) = keys.agent(&own, &ask).await;
                // The agent may have ended.
                let _ = to.send(Happened::Told(number, reply, failure));
            });
        }
        Action::Watch(after) => {
            numbers.watch += 1;
            let number = numbers.watch;
            if let Some(old) = watch.take() {
                old.abort();
            }
            *watch = Some(tokio::spawn(async move {
                let prefix = keys.fleet.pauses();
                keys.watch(&prefix, after, |written, entry| {
                    if let Some(Key::Pause(app)) = keys.fleet.read(&entry.key) {
                        let pause = written.as_ref().map(PauseEntry::of);
                        let change = Change { revision: entry.modified, app, pause };
                        let _ = to.send(Happened::Changed(number, Box::new(change)));
                    }
                })
                .await;
                let _ = to.send(Happened::WatchEnded(number));
            }));
        }
        Action::Call(app, call) => {
            let App(name) = &app;
            let mut target = parts.target.clone();
            target.app = Some(name.clone()).filter(|name| !name.is_empty());
            tokio::spawn(async move {
                let said = endpoint::call(&target, &call).await;
                let _ = to.send(Happened::Event(Event::Answered(app, said)));
            });
        }
    }
}

fn publish(seen: &Seen, agent: &Agent) {
    let mut seen = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
    seen.is_clear = agent.is_clear();
    seen.is_connected = agent.is_connected();
    seen.revision = agent.revision().0;
    seen.holds = agent.holds();
}

/// Says what changes.
#[derive(Default)]
struct Tell {
    was_connected: bool,
    /// Why etcd does not answer, as it was said last.
    why: Option<String>,
    holds: Vec<(App, Token, What)>,
}

impl Tell {
    fn failed(&mut self, failure: Option<&Failure>) {
        let why = failure.map(etcd_failed);
        if why != self.why {
            why.iter().for_each(|why| show::say(why));
            self.why = why;
        }
    }

    fn say(&mut self, agent: &Agent) {
        let is_connected = agent.is_connected();
        if is_connected && !self.was_connected {
            show::say("etcd answers");
        }
        self.was_connected = is_connected;
        let holds = agent.holds();
        if holds != self.holds {
            let word = |what: &What| if *what == What::Pause { "pause" } else { "stop" };
            for (App(app), Token(token), what) in
                self.holds.iter().filter(|one| !holds.contains(one))
            {
                let text = format!("{} {token} of the fleet is over here", word(what));
                show::say(&format!("app \"{app}\": {text}"));
            }
            for (App(app), Token(token), what) in
                holds.iter().filter(|one| !self.holds.contains(one))
            {
                let does = if *what == What::Pause { "held for" } else { "stopped by" };
                let text = format!("{does} {} {token} of the fleet", word(what));
                show::say(&format!("app \"{app}\": {text}"));
            }
            self.holds = holds;
        }
    }
}

/// What is shared with those who answer questions about the agent.
pub type Shared<T> = Arc<Mutex<T>>;
