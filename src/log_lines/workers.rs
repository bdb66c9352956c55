//! Lines about nginx's processes: what a worker lacks, and why a configuration is refused.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;

use super::{Level, Line};

/// What happened to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerLine {
    /// A worker died while it held the lock, and the tables were repaired.
    Repaired,
    /// This worker has found no entry in the zone.
    NoEntry,
    /// This worker has found no connection, and cannot start.
    NoDoorbell,
}

impl Line for WorkerLine {
    fn level(&self) -> Level {
        match self {
            Self::Repaired => Level::Warn,
            Self::NoEntry => Level::Error,
            Self::NoDoorbell => Level::Emerg,
        }
    }
}

impl fmt::Display for WorkerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("intermission: ")?;
        f.write_str(match self {
            Self::Repaired => "a worker died while it held the lock: the tables were repaired",
            Self::NoEntry => {
                "the worker table is full: until another worker frees its entry, this worker \
                 rejects requests instead of holding them, and no \"enable\" with \"wait=\" can \
                 succeed; increase \"intermission_zone\""
            }
            Self::NoDoorbell => {
                "no free connection for the doorbell: increase \"worker_connections\""
            }
        })
    }
}

/// Why nginx cannot start, or reload, with a configuration.
#[derive(Debug)]
pub enum ConfRefused<'a> {
    /// Another event method is configured.
    NotEpoll(&'a [u8]),
    /// The zone that is to be replaced has pauses, or held requests.
    Occupied,
    TooSmall,
    NoBells(io::Error),
    NoRoll(io::Error),
}

impl Line for ConfRefused<'_> {
    fn level(&self) -> Level {
        Level::Emerg
    }
}

impl fmt::Display for ConfRefused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEpoll(name) => write!(
                f,
                "intermission needs the event method \"epoll\", but \"use {}\" is configured: \
                 remove it",
                name.escape_ascii()
            ),
            Self::Occupied => f.write_str(
                "intermission: cannot change the size of \"intermission_zone\", or load another \
                 build of the module, while an app is paused or requests are held: end the pauses \
                 first, or keep \"intermission_zone\" as it was",
            ),
            Self::TooSmall => f.write_str("\"intermission_zone\" is too small: increase it"),
            Self::NoBells(error) => write!(f, "intermission: eventfd() failed: {error}"),
            Self::NoRoll(error) => write!(f, "intermission: memfd_create() failed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_line_says_what_to_do() {
        let lines = [
            (
                WorkerLine::Repaired,
                Level::Warn,
                "intermission: a worker died while it held the lock: the tables were repaired",
            ),
            (
                WorkerLine::NoEntry,
                Level::Error,
                "intermission: the worker table is full: until another worker frees its entry, \
                 this worker rejects requests instead of holding them, and no \"enable\" with \
                 \"wait=\" can succeed; increase \"intermission_zone\"",
            ),
            (
                WorkerLine::NoDoorbell,
                Level::Emerg,
                "intermission: no free connection for the doorbell: increase \
                 \"worker_connections\"",
            ),
        ];
        for (line, level, text) in lines {
            assert_eq!((line.level(), line.to_string().as_str()), (level, text));
        }
    }

    #[test]
    fn a_configuration_is_refused_at_emerg() {
        let lines = [
            (
                ConfRefused::NotEpoll(b"poll"),
                "intermission needs the event method \"epoll\", but \"use poll\" is configured: \
                 remove it",
            ),
            (
                ConfRefused::Occupied,
                "intermission: cannot change the size of \"intermission_zone\", or load another \
                 build of the module, while an app is paused or requests are held: end the pauses \
                 first, or keep \"intermission_zone\" as it was",
            ),
            (ConfRefused::TooSmall, "\"intermission_zone\" is too small: increase it"),
            (
                ConfRefused::NoBells(io::Error::from_raw_os_error(24)),
                "intermission: eventfd() failed: Too many open files (os error 24)",
            ),
            (
                ConfRefused::NoRoll(io::Error::from_raw_os_error(12)),
                "intermission: memfd_create() failed: Cannot allocate memory (os error 12)",
            ),
        ];
        for (line, text) in lines {
            assert_eq!((line.level(), line.to_string().as_str()), (Level::Emerg, text));
        }
    }
}
