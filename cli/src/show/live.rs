//! The last lines of the terminal, kept for the state of the hosts: the rest scrolls above them, so
//! what the command prints stays whole. Done as apt does it, by a scroll region.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcgetwinsize};

/// At least this many lines are left to the command.
const LEFT: u16 = 8;

/// The lines.
#[derive(Debug, Default)]
pub struct Live {
    /// The rows of the terminal, and how many of them are kept. None: the region is not set.
    region: Option<(u16, u16)>,
}

impl Live {
    /// Returns None if stderr is no terminal that can do it.
    pub fn new() -> Option<Self> {
        let can = std::env::var("TERM").is_ok_and(|name| !name.is_empty() && name != "dumb");
        (can && io::stderr().is_terminal() && size().is_some()).then(Self::default)
    }

    /// Shows these lines, each cut off at the terminal's width.
    pub fn draw(&mut self, lines: &[String]) {
        let Some((rows, columns)) = size() else { return };
        let kept = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(rows.saturating_sub(LEFT));
        let mut text = String::new();
        if self.region != Some((rows, kept)) {
            text.push_str(&self.release());
            if kept > 0 {
                text.push_str(&reserve(rows, kept));
                self.region = Some((rows, kept));
            }
        }
        text.push_str("\x1b7");
        for (line, row) in lines.iter().zip(rows.saturating_sub(kept)..rows) {
            let width = usize::from(columns).saturating_sub(1);
            let cut: String = line.chars().take(width).collect();
            // Writing to a String does not fail.
            let _ = write!(text, "\x1b[{};1H\x1b[2K{cut}", row + 1);
        }
        text.push_str("\x1b8");
        send(&text);
    }

    /// Gives the lines back to the terminal.
    pub fn close(&mut self) {
        let text = self.release();
        if !text.is_empty() {
            send(&text);
        }
    }

    fn release(&mut self) -> String {
        match self.region.take() {
            // The whole terminal scrolls again, and what stood in the lines is gone.
            Some(_) => "\x1b7\x1b[r\x1b8\x1b[J".to_owned(),
            None => String::new(),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.close();
    }
}

/// Scrolls up, so that the lines below are free, and lets only the rest scroll from now on.
fn reserve(rows: u16, kept: u16) -> String {
    let scroll = "\n".repeat(usize::from(kept));
    format!("{scroll}\x1b[{kept}A\x1b7\x1b[1;{}r\x1b8", rows.saturating_sub(kept))
}

/// The terminal's rows and columns. Returns None while this process is in the background: then the
/// terminal is not its own.
fn size() -> Option<(u16, u16)> {
    tcgetpgrp(io::stderr()).ok().filter(|group| *group == getpgrp())?;
    let size = tcgetwinsize(io::stderr()).ok()?;
    (size.ws_row > LEFT && size.ws_col > 20).then_some((size.ws_row, size.ws_col))
}

/// In one write, so that nothing comes between.
fn send(text: &str) {
    let mut err = io::stderr().lock();
    // Nothing can be done about a terminal that is gone.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
