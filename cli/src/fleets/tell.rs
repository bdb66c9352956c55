//! What people, and programs, are told of a pause of a fleet. All of it goes to stderr.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, Write};

use fleet::barrier::Why;
use fleet::caller::talk::{Goal, Loss, NotPaused, Notice, Outcome, Terms};
use fleet::keys::{App, HostId, Token};
use fleet::snapshot::PauseEntry;
use serde_json::json;

use crate::args::Output;
use crate::config::Wrong;
use crate::etcd::Failure;
use crate::exit::Exit;
use crate::plan::event::{self, Signal};
use crate::words::{printable, seconds};

#[derive(Debug)]
pub struct Tell {
    output: Output,
    fleet: String,
    app: App,
}

/// How a pause of this fleet is ended.
pub fn resume(fleet: &str, App(app): &App, Token(token): Token) -> String {
    let app = if app.is_empty() { String::new() } else { format!(" --app '{app}'") };
    format!("intermission resume --fleet {fleet}{app} --id {token}")
}

fn hosts(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} host{plural}")
}

pub fn failure(failure: &Failure) -> String {
    match failure {
        Failure::NoLease => "the lease is over".to_owned(),
        Failure::Denied(why) => format!("etcd denies access: {why}"),
        Failure::Other(why) => format!("etcd does not answer: {why}"),
    }
}

/// Without etcd nothing is done.
pub fn away(error: &Failure) -> Wrong {
    let exit = match error {
        Failure::Denied(_) => Exit::DENIED,
        _ => Exit::UNREACHABLE,
    };
    Wrong { exit, text: failure(error) }
}

impl Tell {
    pub fn new(output: Output, fleet: &str, terms: &Terms) -> Self {
        let one = Self { output, fleet: fleet.to_owned(), app: terms.app.clone() };
        let what = match (terms.goal, &terms.reason) {
            (Goal::Run, Some(reason)) => format!(", reason \"{reason}\""),
            _ => String::new(),
        };
        let app = if terms.app.0.is_empty() {
            String::new()
        } else {
            format!(" app \"{}\"", terms.app.0)
        };
        one.progress(
            "begins",
            &format!(
                "fleet \"{fleet}\"{app}, lease {}, by {}{what}",
                seconds(terms.hold),
                terms.by
            ),
        );
        one
    }

    pub fn started(&self, command: &[OsString]) {
        let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
        self.progress("started", &format!("all quiet; running {}", words.join(" ")));
    }

    pub fn not_started(&self, why: &str) {
        self.wrong("not_started", &format!("{why}: the command did not run"));
    }

    pub fn interrupted(&self, Signal(number): Signal) {
        self.wrong(
            "interrupted",
            &format!("signal {number}: the fleet goes on, the command does not run"),
        );
    }

    pub fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Paused(count) => {
                self.progress("paused", &format!("paused and quiet: {}", hosts(*count)));
            }
            Notice::EtcdAway(why, sure) => {
                let sure =
                    sure.map(|sure| format!("; the pause is sure for {} more", seconds(sure)));
                let sure = sure.unwrap_or_default();
                self.wrong("etcd_away", &format!("etcd does not answer: {why}{sure}"));
            }
            Notice::EtcdBack => self.progress("etcd_back", "etcd answers again"),
            Notice::NotAlive(HostId(id), sure) => self.wrong(
                "not_alive",
                &format!(
                    "host {id}: its agent does not live; its pause is sure for {} more",
                    seconds(*sure)
                ),
            ),
            Notice::Lost(Loss::Gone) => {
                self.wrong("lost", "the pause was ended, by another caller or by its lease: requests may reach the app");
            }
            Notice::Lost(Loss::Stopped(by)) => {
                self.wrong(
                    "lost",
                    &format!("{by} has stopped the fleet: requests are answered with 503"),
                );
            }
            Notice::Lost(Loss::Host(HostId(id))) => {
                self.wrong(
                    "lost",
                    &format!("host {id} is not in the pause any more: requests may reach the app"),
                );
            }
            Notice::Lost(Loss::Unheard) => self.wrong(
                "lost",
                "for too long no host, or no etcd, has answered: requests may reach the app",
            ),
            Notice::Sure => self.progress("sure", "all hosts have been in the pause all the time"),
        }
    }

    /// The end. Returns the exit status of this process.
    pub fn outcome(&self, outcome: &Outcome, exit: Option<event::Exit>) -> Exit {
        let own = exit.map_or(Exit::OK, Exit::of);
        let (closed, code) = match outcome {
            Outcome::Ran(closed) => (closed, own),
            Outcome::NotStarted(closed) | Outcome::Interrupted(closed) => (closed, own),
            Outcome::RanUnpaused(closed) => {
                self.wrong(
                    "ran_unpaused",
                    "the command ran to its end, but the pause was lost meanwhile: requests may have \
                     reached the app. Check what was written",
                );
                (closed, Exit::LOST)
            }
            Outcome::NotPaused(why, closed) => {
                self.wrong("not_paused", &format!("{}: the command did not run", not_paused(why)));
                (closed, Exit::from(why.clone()))
            }
            Outcome::Held(token) => {
                let end = resume(&self.fleet, &self.app, *token);
                let text = format!("paused; to end it: {end}");
                self.progress("held", &text);
                return Exit::OK;
            }
            Outcome::Resumed(closed) => (closed, Exit::OK),
        };
        if closed.is_empty() {
            self.progress("resumed", "all hosts go on");
            return code;
        }
        let names = names(closed.iter());
        self.wrong(
            "unsure",
            &format!("no answer says that the pause is over at {names}: it ends by its lease"),
        );
        if code == Exit::OK {
            Exit::UNSURE
        } else {
            code
        }
    }

    fn progress(&self, kind: &str, text: &str) {
        if !self.output.quiet {
            self.say(kind, text);
        }
    }

    fn wrong(&self, kind: &str, text: &str) {
        self.say(kind, text);
    }

    fn say(&self, kind: &str, text: &str) {
        let text = printable(text);
        let mut err = io::stderr().lock();
        // Nothing can be done about a terminal that is gone.
        let _ = match self.output.json {
            true => {
                writeln!(err, "{}", json!({ "event": kind, "fleet": self.fleet, "text": text }))
            }
            false => writeln!(err, "intermission: {text}"),
        };
    }
}

/// The first of them, and how many more there are.
pub fn names<'a>(all: impl Iterator<Item = &'a HostId>) -> String {
    const FIRST: usize = 10;
    let all: Vec<&str> = all.map(|HostId(id)| id.as_str()).collect();
    let first: Vec<&str> = all.iter().take(FIRST).copied().collect();
    match all.len().saturating_sub(FIRST) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn not_paused(why: &NotPaused) -> String {
    match why {
        NotPaused::NoEtcd(why) => format!("etcd does not answer: {why}"),
        NotPaused::Taken(entry) => standing(entry),
        NotPaused::Nobody => "no host of this fleet serves the app".to_owned(),
        NotPaused::Refused(hosts) => {
            let one = |(HostId(id), why): &(HostId, Why)| match why {
                Why::NotAlive => not_alive(id),
                Why::Failed(why) => format!("host {id}: {why}"),
            };
            hosts.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        NotPaused::Late(hosts) if hosts.is_empty() => "the hosts are not quiet in time".to_owned(),
        NotPaused::Late(hosts) => format!("not quiet in time: {}", names(hosts.iter())),
        NotPaused::Stopped(by) => format!("{by} has stopped the fleet"),
        NotPaused::Gone => "the pause was ended by another caller, or by its lease".to_owned(),
    }
}

/// A pause or a stop that is there.
pub fn standing(entry: &PauseEntry) -> String {
    let pause = entry.pause.as_ref();
    let by = pause.map(|one| one.by.clone()).unwrap_or_default();
    let reason = pause.and_then(|one| one.reason.clone());
    let reason = reason.map(|reason| format!(", reason \"{reason}\"")).unwrap_or_default();
    let what = if entry.is_stop() { "a stop" } else { "another pause" };
    format!("{what} is active (token {}), by {by}{reason}", entry.token.0)
}

pub fn not_alive(id: &str) -> String {
    format!(
        "host {id} is registered, but its agent does not live (--without {id} leaves it out; \
         intermission fleet forget {id} if it is gone)"
    )
}
