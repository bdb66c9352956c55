//! What an endpoint answers: an app's state, or why it did not do what was asked.
#![forbid(unsafe_code)]

pub use fleet::agent::call::State;
use fleet::values::Versions;
use serde::Deserialize;

/// An app's state, as far as this command reads it. Fields that a later module adds are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    pub app: String,
    pub state: State,
    /// The number of the newest pause; 0 before the first.
    pub pause: u64,
    pub since: Option<String>,
    pub until: Option<String>,
    pub waiting_until: Option<String>,
    pub reason: Option<String>,
    pub by: Option<String>,
    pub drained_by: Option<String>,
    #[serde(default)]
    pub held: u64,
    #[serde(default)]
    pub in_flight: u64,
    #[serde(default)]
    pub oldest_in_flight: Vec<InFlight>,
    #[serde(default)]
    pub abandoned: u64,
    #[serde(default)]
    pub expired_to_app: u64,
    #[serde(default)]
    pub room: u64,
    #[serde(default)]
    pub state_file: String,
    #[serde(default)]
    pub totals: Totals,
    /// In the answer to `status` only.
    pub settings: Option<Settings>,
    /// The same. None: the module is too old to say it.
    pub versions: Option<Versions>,
    /// Whether the verb changed anything; None after `status`.
    pub changed: Option<bool>,
}

/// How many requests there were, by what happened to them.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Totals {
    pub passed: u64,
    pub held: u64,
    pub rejected: u64,
}

/// What the configuration says at the endpoint.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// In seconds. None: a pause without a lease of its own never ends.
    pub lease: Option<f64>,
    pub log_level: String,
    /// The upstreams of which nginx avoids servers that failed.
    pub max_fails: Vec<String>,
}

/// A request that is in flight.
#[derive(Clone, Debug, Deserialize)]
pub struct InFlight {
    pub method: String,
    pub uri: String,
    pub client: String,
    pub seconds: f64,
    pub waits_for: String,
}

impl Status {
    /// Whether it is paused by the pause with this number. A stopped app is not paused, though the
    /// stop keeps the pause's number.
    pub fn is_paused_by(&self, pause: u64) -> bool {
        self.state == State::Paused && self.pause == pause
    }

    /// Whose pause the app has, since when, until when and why; or what state it is in.
    pub fn standing(&self) -> String {
        let closed = matches!(self.state, State::Paused | State::Stopped);
        let mut text = match (closed, self.pause) {
            (true, pause) => format!("{} (pause {pause})", self.state.word()),
            (false, _) => self.state.word().to_owned(),
        };
        if closed {
            let mut add = |word: &str, value: &Option<String>| {
                if let Some(value) = value {
                    text.push_str(word);
                    text.push_str(value);
                }
            };
            add(" by ", &self.by);
            add(" since ", &self.since);
            match self.until {
                Some(_) => add(" until ", &self.until),
                None => text.push_str(", without end"),
            }
            if let Some(reason) = &self.reason {
                text.push_str(&format!(", reason \"{reason}\""));
            }
        }
        text
    }
}

/// What came of a call.
pub type Said = Result<Box<Status>, Failure>;

/// Why a call did not do what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    /// What was got, for people. May have several lines.
    pub text: String,
    pub effect: Effect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No connection, or no answer.
    Unreachable,
    /// Something else answered.
    NotOurs,
    /// 401 or 403: the configuration keeps this caller out.
    Denied,
    /// The endpoint says that the call is wrong: 400, 404, 405 and the like.
    Refused,
    /// `new=1`: the app is paused, stopped or draining.
    NotOpen,
    /// `id=`: another pause, or a pause that is over.
    NotThatPause,
    /// While the call waited, the pause was changed or ended.
    Superseded,
    /// The app was not quiet in time: the pause is rolled back.
    NotQuiet,
    /// The endpoint cannot do it now, and did nothing.
    Later,
}

/// Whether a call that failed may have changed something all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    Unknown,
}
