//! The command `intermission`: pauses apps behind nginx around a maintenance.
//!
//! A pause has a lease. So if this process dies, by kill -9 or in any other way, the pause ends by
//! itself.
#![forbid(unsafe_code)]

mod words;

mod client;

mod plan;

mod exit;

mod etcd;

mod args;

mod config;

mod key;

mod signals;

mod awaited;

mod child;

mod show;

mod driver;

mod check;

mod fleets;

mod agent;

mod verbs;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};
use config::Wrong;
use exit::Exit;

fn main() -> ExitCode {
    let Exit(code) = match Cli::try_parse() {
        Ok(cli) => run(&cli),
        Err(error) => {
            // A closed terminal is no reason to fail in another way.
            let _ = error.print();
            if error.use_stderr() {
                Exit::USAGE
            } else {
                Exit::OK
            }
        }
    };
    ExitCode::from(code)
}

fn run(cli: &Cli) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(verb(&cli.verb));
            // A name that is still being looked up is not waited for.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(Wrong { exit: Exit(71), text: format!("no runtime: {error}") }),
    };
    done.unwrap_or_else(|Wrong { exit, text }| {
        show::complain(&text);
        exit
    })
}

async fn verb(verb: &Verb) -> Result<Exit, Wrong> {
    match verb {
        Verb::Run(args) => verbs::run::run(args).await,
        Verb::Pause(args) => verbs::pause::run(args).await,
        Verb::Resume(args) => verbs::resume::run(args).await,
        Verb::Stop(args) => verbs::stop::run(args).await,
        Verb::Status(args) => verbs::status::run(args).await,
        Verb::Metrics(args) => verbs::metrics::run(args).await,
        Verb::Check(args) => verbs::check::run(args).await,
        Verb::Fleet(args) => verbs::fleet::run(args).await,
        Verb::Agent(args) => verbs::agent::run(args).await,
        Verb::Completions(args) => Ok(verbs::completions::run(args)),
        Verb::Man(args) => verbs::man::run(args),
    }
}
