//! Every line that the module writes to nginx's error log: values with a level and a text.
//!
//! A line is formatted only if the log wants its level.
#![forbid(unsafe_code)]

pub mod absences;
pub mod pauses;
pub mod requests;
pub mod state_file;
pub mod variables;
pub mod workers;

use core::fmt;

use crate::text::{AppName, Named};

/// nginx's levels, as far as they are used here, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Emerg,
    Error,
    Warn,
    Notice,
    Info,
}

/// A line of the error log. Its Display is the whole text.
pub trait Line: fmt::Display {
    /// The level at which it is written.
    fn level(&self) -> Level;
}

/// What happened to an app: the end of a line that begins with the app's name.
pub trait Event: fmt::Display {
    /// The level at which the line is written.
    fn level(&self) -> Level;
}

/// A line about an app.
#[derive(Clone, Copy, Debug)]
pub struct About<'a, E>(pub &'a AppName, pub E);

impl<E: Event> fmt::Display for About<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "intermission: {}: {}", Named(self.0), self.1)
    }
}

impl<E: Event> Line for About<'_, E> {
    fn level(&self) -> Level {
        self.1.level()
    }
}

#[cfg(test)]
mod tests {
    use super::requests::RequestEvent;
    use super::*;

    #[test]
    fn a_line_about_an_app_begins_with_its_name() {
        let event = RequestEvent::MoreRejected { count: 3 };
        let name = AppName::new(b"a\"b\n").unwrap();
        let line = About(&name, event);
        assert_eq!(line.to_string(), "intermission: app \"a\\\"b\\n\": 3 more requests rejected");
        assert_eq!(line.level(), Level::Warn);
        let line = About(&AppName::EMPTY, event);
        assert_eq!(line.to_string(), "intermission: the default app: 3 more requests rejected");
    }
}
