//! What is shown again and again: on a terminal in its place, elsewhere below what was there.
#![forbid(unsafe_code)]

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use tokio::time::sleep;

use crate::config::Wrong;
use crate::exit::Exit;
use crate::signals;

/// A text, and what it says: it is a change if that is another.
#[derive(Clone, Debug, Default)]
pub struct Text {
    pub text: String,
    pub says: String,
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { says: text.clone(), text }
    }
}

/// How a text follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A table: in the place of the one before, or, where no terminal can do that, below it if it differs.
    Table,
    /// JSON: below it.
    Lines,
    /// JSON: below it, if it differs.
    Changes,
}

/// Shows what `look` finds, again after each interval: until a signal ends it, or until nobody reads any
/// more.
pub async fn watch(
    manner: Manner,
    interval: Duration,
    mut look: impl AsyncFnMut() -> Text,
) -> Result<Exit, Wrong> {
    let mut signals = signals::listen(&[], "")?;
    let is_redrawn = manner == Manner::Table && can_redraw();
    let mut last: Option<String> = None;
    loop {
        let text = tokio::select! {
            text = look() => text,
            Some((signal, _)) = signals.recv() => return Ok(Exit::signal(signal)),
        };
        let is_new = manner == Manner::Lines || last.as_ref() != Some(&text.says);
        let before = match (is_redrawn, manner, &last) {
            (true, ..) => "\x1b[H\x1b[2J",
            (false, Manner::Table, Some(_)) => "\n",
            _ => "",
        };
        let is_read = match is_redrawn || is_new {
            true => print(&format!("{before}{}", text.text)),
            false => is_read(),
        };
        if !is_read {
            return Ok(Exit::OK);
        }
        last = Some(text.says);
        tokio::select! {
            () = sleep(interval) => {}
            Some((signal, _)) = signals.recv() => return Ok(Exit::signal(signal)),
        }
    }
}

/// Returns whether somebody reads it.
pub fn print(text: &str) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

fn can_redraw() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether the reader of stdout is still there: a pipe's end is told without a write.
fn is_read() -> bool {
    let out = io::stdout();
    let mut all = [PollFd::new(&out, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let is_gone = PollFlags::ERR | PollFlags::HUP;
    match poll(&mut all, Some(&now)) {
        Ok(_) => all.iter().all(|one| !one.revents().intersects(is_gone)),
        Err(_) => true,
    }
}
