//! What the configuration says where a control endpoint is: what one wants to know before a pause.
#![forbid(unsafe_code)]

use serde::Serialize;

use crate::control::status::Seconds;
use crate::time::Msec;

/// As JSON has it.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// The lease of an `enable` without `for=`; None if such a pause has no end.
    pub lease: Option<Seconds>,
    /// From which level on the error log has lines.
    pub log_level: LogLevel,
    /// The `upstream` blocks of several servers of which nginx avoids those that failed
    /// (`max_fails`): while an app restarts it may avoid all of them.
    pub max_fails: Vec<String>,
}

impl Settings {
    pub fn new(lease: Option<Msec>, log_level: LogLevel, max_fails: Vec<String>) -> Self {
        Self { lease: lease.map(Seconds), log_level, max_fails }
    }
}

/// A level of nginx's `error_log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Emerg,
    Alert,
    Crit,
    Error,
    Warn,
    Notice,
    Info,
    Debug,
}

impl LogLevel {
    /// Of nginx's number, which has further bits for parts of the debug log.
    pub fn of(number: usize) -> Self {
        match number {
            0 | 1 => Self::Emerg,
            2 => Self::Alert,
            3 => Self::Crit,
            4 => Self::Error,
            5 => Self::Warn,
            6 => Self::Notice,
            7 => Self::Info,
            _ => Self::Debug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_said_in_the_words_of_the_configuration() {
        let settings = Settings::new(Some(Msec(90_500)), LogLevel::of(6), vec!["app".into()]);
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(json, r#"{"lease":90.5,"log_level":"notice","max_fails":["app"]}"#);
    }

    #[test]
    fn any_part_of_the_debug_log_is_debug() {
        assert_eq!([LogLevel::of(8), LogLevel::of(0x80)], [LogLevel::Debug; 2]);
    }
}
