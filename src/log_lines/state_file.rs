//! Lines about the state file, and about the pauses that it restores.
#![forbid(unsafe_code)]

use core::fmt;

use super::{Event, Level, Line};
use crate::ids::PauseId;
use crate::shared::health::Problem;

/// A line about the state file.
#[derive(Clone, Copy, Debug)]
pub struct StateFile<'a> {
    pub path: &'a [u8],
    pub is: FileIs,
}

/// How a state file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileIs {
    Wrong(Problem),
    /// It is a state file, and neither record is whole.
    Broken,
    /// It was wrong before, and works again.
    GoodAgain,
}

impl Line for StateFile<'_> {
    fn level(&self) -> Level {
        match self.is {
            FileIs::GoodAgain => Level::Notice,
            FileIs::Wrong(_) | FileIs::Broken => Level::Error,
        }
    }
}

impl fmt::Display for StateFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.escape_ascii();
        write!(f, "intermission: \"intermission_state_file\" \"{path}\" ")?;
        match self.is {
            FileIs::Wrong(problem) => problem.fmt(f),
            FileIs::Broken => f.write_str("is broken: no pause is restored"),
            FileIs::GoodAgain => f.write_str("works again"),
        }
    }
}

/// What became of an app's pause when nginx started.
#[derive(Clone, Copy, Debug)]
pub enum RestoreEvent<'a> {
    Paused {
        pause: PauseId,
        path: &'a [u8],
    },
    Stopped {
        pause: PauseId,
        path: &'a [u8],
    },
    LeaseOver,
    /// The table of apps is full.
    NoRoom,
}

impl Event for RestoreEvent<'_> {
    fn level(&self) -> Level {
        match self {
            Self::NoRoom => Level::Error,
            _ => Level::Notice,
        }
    }
}

impl fmt::Display for RestoreEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, pause, path) = match self {
            Self::Paused { pause, path } => ("still paused", pause, path),
            Self::Stopped { pause, path } => ("still stopped", pause, path),
            Self::LeaseOver => {
                return f.write_str("its lease ended before nginx started: the app is open")
            }
            Self::NoRoom => {
                return f.write_str(
                    "not restored: the table of apps is full; increase \"intermission_zone\"",
                )
            }
        };
        write!(f, "{what}, pause {}, restored from \"{}\"", pause.0, path.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &[u8] = b"/var/lib/nginx/inter\"mission";

    #[test]
    fn a_state_file_that_is_wrong_is_an_error_with_its_path() {
        let line = |is| StateFile { path: PATH, is };
        let start = "intermission: \"intermission_state_file\" \"/var/lib/nginx/inter\\\"mission\"";
        let lines = [
            (FileIs::Broken, Level::Error, "is broken: no pause is restored"),
            (
                FileIs::Wrong(Problem::Foreign),
                Level::Error,
                "is not a state file: it is not changed, and a restart forgets the pauses; \
                 choose another path",
            ),
            (FileIs::GoodAgain, Level::Notice, "works again"),
        ];
        for (is, level, text) in lines {
            assert_eq!(line(is).to_string(), format!("{start} {text}"));
            assert_eq!(line(is).level(), level);
        }
    }

    #[test]
    fn a_restored_pause_is_told_with_the_file() {
        let (pause, path) = (PauseId(7), &b"/tmp/x"[..]);
        assert_eq!(
            RestoreEvent::Paused { pause, path }.to_string(),
            "still paused, pause 7, restored from \"/tmp/x\""
        );
        assert_eq!(
            RestoreEvent::Stopped { pause, path }.to_string(),
            "still stopped, pause 7, restored from \"/tmp/x\""
        );
        let over = RestoreEvent::LeaseOver;
        assert_eq!(over.to_string(), "its lease ended before nginx started: the app is open");
        assert_eq!(over.level(), Level::Notice);
    }

    #[test]
    fn a_pause_that_cannot_be_restored_is_an_error() {
        let line = RestoreEvent::NoRoom;
        assert_eq!(
            line.to_string(),
            "not restored: the table of apps is full; increase \"intermission_zone\""
        );
        assert_eq!(line.level(), Level::Error);
    }
}
