//! `completions`: what a shell needs to complete this command's words.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::exit::Exit;

pub fn run(args: &Completions) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "intermission", &mut text);
    // A reader that is gone does not want it.
    let _ = io::stdout().lock().write_all(&text);
    Exit::OK
}
