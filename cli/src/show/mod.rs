//! What people, and programs, are told while a plan is carried out. All of it goes to stderr: stdout
//! is the command's own. A write that fails, as on a closed terminal, is no reason to stop.
#![forbid(unsafe_code)]

mod hosts;
mod json;
mod lines;
mod live;
mod report;
pub mod fleet;
pub mod screen;
pub mod table;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::args::Output;
use crate::client::answer::{Said, Status};
use crate::client::Target;
use crate::exit::Exit;
use crate::plan::action::{Notice, Outcome};
use crate::plan::event::{self, HostId};
use crate::plan::terms::Terms;
use crate::plan::Plan;
use crate::words::printable;
use hosts::Seens;
use live::Live;

/// Who is told, and how.
#[derive(Debug)]
pub struct Show {
    hosts: Vec<Host>,
    manner: Manner,
    has_colours: bool,
    seens: Seens,
    /// None if there is no terminal, or no plan.
    live: Option<Live>,
}

/// A host, as it is shown.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: String,
    /// The options that name it and its app.
    pub options: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Lines,
    /// Only what went wrong.
    Quiet,
    Json,
}

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Progress,
    /// Something went wrong.
    Wrong,
}

/// Prints what went wrong.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "intermission: {text}");
}

/// Prints what happened.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "intermission: {}", printable(text));
}

impl Show {
    pub fn new(output: Output, targets: &[Target]) -> Self {
        let manner = match (output.quiet, output.json) {
            (_, true) => Manner::Json,
            (true, _) => Manner::Quiet,
            _ => Manner::Lines,
        };
        let host = |target: &Target| {
            let app = target.app.iter().map(|app| format!(" --app {}", quoted(app)));
            let options = format!("--host {}", quoted(&target.address.name));
            Host { name: printable(&target.name()), options: options + &app.collect::<String>() }
        };
        let hosts: Vec<Host> = targets.iter().map(host).collect();
        let seens = Seens::new(hosts.len());
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var("TERM").is_ok_and(|name| name == "dumb");
        let has_colours = io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb;
        let live = (manner == Manner::Lines && !output.plain).then(Live::new).flatten();
        Self { hosts, manner, has_colours, seens, live }
    }

    /// Whether it keeps lines of the terminal: then these must be given back before a stop.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Whether people want to know what the hosts are at.
    pub fn wants_to_see(&self) -> bool {
        self.manner == Manner::Lines
    }

    /// A host was seen.
    pub fn seen(&mut self, id: HostId, status: &Status) {
        self.seens.seen(id.0, status);
    }

    /// Some time has passed.
    pub fn beat(&mut self) {
        if let Some(live) = &mut self.live {
            live.draw(&self.seens.lines(&self.hosts));
        } else if self.manner == Manner::Lines {
            for line in self.seens.waiting(&self.hosts) {
                self.print(Weight::Progress, &line);
            }
        }
    }

    /// This process stops for a while, as by Ctrl-Z.
    pub fn suspend(&mut self) {
        self.live.iter_mut().for_each(Live::close);
        let text = "stopped: nothing is renewed meanwhile, so the pauses end by their leases";
        self.print(Weight::Wrong, text);
    }

    /// A plan begins.
    pub fn pausing(&mut self, terms: &Terms) {
        let names: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        self.say(Weight::Progress, &lines::pausing(&names, terms), || json::pausing(&names, terms));
    }

    pub fn notice(&mut self, notice: &Notice, plan: &Plan) {
        let said = lines::notice(notice, &self.hosts, plan);
        let (weight, text) = said.unwrap_or_else(|| (Weight::Progress, String::new()));
        self.say(weight, &text, || json::notice(notice, &self.hosts));
        self.seens.note(notice);
        self.beat();
    }

    /// The command was started.
    pub fn started(&mut self, command: &[OsString]) {
        let words: Vec<_> =
            command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let text = format!("all quiet; running {}", printable(&words.join(" ")));
        self.say(Weight::Progress, &text, || json::started(&words));
        self.seens.phase("running");
    }

    /// The command has ended.
    pub fn ended(&mut self, exit: event::Exit) {
        self.say(Weight::Progress, &lines::ended(exit), || json::ended(exit));
        self.seens.phase("resuming");
    }

    /// The end of a plan. Returns the exit status of this process.
    pub fn outcome(&mut self, outcome: &Outcome, plan: &Plan) -> Exit {
        let exit = report::exit(outcome);
        self.live = None;
        if let Some((weight, text)) = report::text(outcome, &self.hosts, plan) {
            self.say(weight, &text, || json::outcome(outcome, exit, &text));
        } else {
            self.say(Weight::Progress, "", || json::outcome(outcome, exit, ""));
        }
        exit
    }

    /// A key remembers no pause.
    pub fn nothing_to_resume(&self) {
        let text = "nothing to resume";
        self.say(Weight::Progress, text, json::nothing_to_resume);
    }

    /// What a verb did at each host. Returns the exit status of this process.
    pub fn each(&mut self, verb: &str, all: &[Option<Said>]) -> Exit {
        let mut exit = Exit::OK;
        for (host, said) in self.hosts.clone().iter().zip(all) {
            let (weight, text) = report::verb(host, verb, said.as_ref());
            if let (Exit::OK, Some(failed)) = (exit, report::verb_exit(said.as_ref())) {
                exit = failed;
            }
            self.say(weight, &text, || json::verb(host, verb, said.as_ref()));
        }
        exit
    }

    fn say(&self, weight: Weight, text: &str, json: impl FnOnce() -> Value) {
        match self.manner {
            Manner::Json => {
                // Nothing can be done about a reader that is gone.
                let _ = writeln!(io::stderr().lock(), "{}", json());
            }
            Manner::Quiet | Manner::Lines => self.print(weight, text),
        }
    }

    fn print(&self, weight: Weight, text: &str) {
        let is_wanted = self.manner == Manner::Lines || weight == Weight::Wrong;
        if text.is_empty() || !is_wanted {
            return;
        }
        let (on, off) = match (self.has_colours, weight) {
            (false, _) => ("", ""),
            (true, Weight::Progress) => ("\x1b[2m", "\x1b[0m"),
            (true, Weight::Wrong) => ("\x1b[1;31m", "\x1b[0m"),
        };
        let text = text.replace('\n', "\n    ");
        // Nothing can be done about a terminal that is gone.
        let _ = writeln!(io::stderr().lock(), "{on}intermission:{off} {text}");
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", printable(word).replace('\'', "'\\''")),
    }
}
