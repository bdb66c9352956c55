//! `man`: the manual page of this command, or of one of its verbs.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::{Cli, Manual};
use crate::config::Wrong;
use crate::exit::Exit;

pub fn run(args: &Manual) -> Result<Exit, Wrong> {
    let page = page(args.verb.as_deref()).ok_or_else(|| Wrong::usage("there is no such verb"))?;
    let mut text = Vec::new();
    // Writing to memory does not fail, and a reader that is gone does not want it.
    let _ = Man::new(page).render(&mut text).and_then(|()| io::stdout().lock().write_all(&text));
    Ok(Exit::OK)
}

/// Returns None if there is no such verb.
fn page(verb: Option<&str>) -> Option<Command> {
    let mut all = Cli::command();
    all.build();
    match verb {
        None => Some(all),
        // The whole has named it "intermission-verb".
        Some(verb) => all.find_subcommand(verb).cloned(),
    }
}
