//! What people, and programs, are told while a plan is carried out. All of it goes to stderr: stdout
//! is the command's own. A write that fails, as on a closed terminal, is no reason to stop.
#![forbid(unsafe_code)]

mod json;
mod lines;
mod report;
pub mod table;

use std::ffi::OsString;
use std::io::{self, Write};

use serde_json::Value;

use crate::args::Output;
use crate::client::answer::Said;
use crate::client::Target;
use crate::exit::Exit;
use crate::plan::action::{Notice, Outcome};
use crate::plan::event;
use crate::plan::terms::Terms;
use crate::plan::Plan;
use crate::words::printable;

/// Who is told, and how.
#[derive(Debug)]
pub struct Show {
    hosts: Vec<Host>,
    manner: Manner,
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
        Self { hosts: targets.iter().map(host).collect(), manner }
    }

    /// A plan begins.
    pub fn pausing(&mut self, terms: &Terms) {
        let names: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        self.say(Weight::Progress, &lines::pausing(&names, terms), || json::pausing(&names, terms));
    }

    pub fn notice(&mut self, notice: &Notice, plan: &Plan) {
        let Some((weight, text)) = lines::notice(notice, &self.hosts, plan) else { return };
        self.say(weight, &text, || json::notice(notice, &self.hosts));
    }

    /// The command was started.
    pub fn started(&mut self, command: &[OsString]) {
        let words: Vec<_> =
            command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let text = format!("all quiet; running {}", printable(&words.join(" ")));
        self.say(Weight::Progress, &text, || json::started(&words));
    }

    /// The command has ended.
    pub fn ended(&mut self, exit: event::Exit) {
        self.say(Weight::Progress, &lines::ended(exit), || json::ended(exit));
    }

    /// The end of a plan. Returns the exit status of this process.
    pub fn outcome(&mut self, outcome: &Outcome, plan: &Plan) -> Exit {
        let exit = report::exit(outcome);
        if let Some((weight, text)) = report::text(outcome, &self.hosts, plan) {
            self.say(weight, &text, || json::outcome(outcome, exit, &text));
        } else {
            self.say(Weight::Progress, "", || json::outcome(outcome, exit, ""));
        }
        exit
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
        let mut err = io::stderr().lock();
        // Nothing can be done about a terminal that is gone.
        let _ = match self.manner {
            Manner::Json => writeln!(err, "{}", json()),
            Manner::Quiet if weight == Weight::Progress => Ok(()),
            Manner::Quiet | Manner::Lines if text.is_empty() => Ok(()),
            Manner::Quiet | Manner::Lines => {
                let text = text.replace('\n', "\n    ");
                writeln!(err, "intermission: {text}")
            }
        };
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
