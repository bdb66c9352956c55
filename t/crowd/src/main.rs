//! The clients and the backend of intermission's tests, demo and benchmark.
#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "http2"), allow(dead_code))]

mod args;
mod backend;
mod client;
mod clients;
mod clock;
mod http;
#[cfg(feature = "http2")]
mod http2;
mod net;
mod peer;
mod report;
mod stdin;

use std::process::ExitCode;

use args::Command;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            print!("{}", args::USAGE);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Backend(options)) => backend::run(&options).map(|()| true),
        Ok(Command::Clients(options)) => clients::run(&options),
        #[cfg(feature = "http2")]
        Ok(Command::Http2(options)) => http2::run(&options),
        #[cfg(not(feature = "http2"))]
        Ok(Command::Http2(_)) => {
            Err(std::io::Error::other("it was built without the feature http2"))
        }
        Err(error) => {
            eprintln!("crowd: {error}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crowd: {error}");
            ExitCode::FAILURE
        }
    }
}
