//! Awaits what may not be there: then it is awaited for ever, beside other things.
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitStatus;

use tokio::process::Child;
use tokio::time::{sleep_until, Instant};

/// The end of the command, if it runs.
pub async fn ended(running: &mut Option<Child>) -> io::Result<ExitStatus> {
    match running {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

/// This time, if there is one.
pub async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
