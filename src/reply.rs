//! What the control endpoint answers.
#![forbid(unsafe_code)]

use core::fmt;

use serde::{Serialize, Serializer};

use crate::app::{App, State, Totals};
use crate::ids::PauseId;
use crate::text::{Address, AppName, Reason};
use crate::time::{rfc3339, Msec};
use crate::zone::{Refusal, Zone};

/// An app's state in full, as JSON shows it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Status {
    pub app: AppName,
    pub state: Word,
    pub pause: PauseNumber,
    /// When it came into its state; none where it was never paused.
    pub since: Option<Time>,
    /// When the pause ends by itself.
    pub until: Option<Time>,
    pub reason: Option<Reason>,
    pub by: Option<Address>,
    pub held: u32,
    pub oldest_held_seconds: Seconds,
    pub totals: Totals,
    pub slots: Slots,
}

/// How full the zone is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Slots {
    pub used: u32,
    pub total: u32,
}

/// An app's state in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    Open,
    Paused,
    Draining,
    Stopped,
}

/// A pause's number.
#[derive(Clone, Copy, Debug)]
pub struct PauseNumber(pub PauseId);

impl Serialize for PauseNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0 .0)
    }
}

/// A point in time: RFC 3339, UTC, with milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub Msec);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        rfc3339(self.0).fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration: seconds, with milliseconds behind the point.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub Msec);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 .0 as f64 / 1000.0)
    }
}

impl Status {
    /// Of the app `name`: open and never paused where the zone does not know it.
    pub fn of(zone: &Zone<'_>, name: AppName) -> Self {
        let id = zone.find(&name);
        let head = id.and_then(|id| zone.head(id));
        let unused = App::UNUSED;
        let app = id.and_then(|id| zone.app(id)).unwrap_or(&unused);
        let (reason, by) = app.cause();
        let closed = app.state() != State::Open;
        Self {
            app: name,
            state: match app.state() {
                State::Open => Word::Open,
                State::Paused => Word::Paused,
                State::Draining { .. } => Word::Draining,
                State::Stopped => Word::Stopped,
            },
            pause: PauseNumber(app.pause()),
            since: (app.pause() > PauseId(0)).then_some(Time(app.since().wall)),
            until: app.until().map(|until| Time(until.wall)),
            reason: closed.then_some(*reason).filter(|reason| !reason.is_empty()),
            by: closed.then_some(*by),
            held: app.line.len,
            oldest_held_seconds: Seconds(
                head.map_or(Msec(0), |head| zone.now.monotonic.since(head.since)),
            ),
            totals: app.totals,
            slots: Slots {
                used: zone.slots_used(),
                total: u32::try_from(zone.slots.len()).unwrap_or(u32::MAX),
            },
        }
    }

    /// The state as the original says it.
    pub fn text(&self) -> &'static str {
        match self.state {
            Word::Paused => ENABLED,
            Word::Stopped => STOPPED,
            Word::Open | Word::Draining => DISABLED,
        }
    }
}

const ENABLED: &str = "Pause enabled.\n";
const DISABLED: &str = "Pause disabled.\n";
const STOPPED: &str = "Stopped.\n";

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherPause => "that pause is not the one under way",
            Self::NotOpen => "the app is not open",
            Self::Full => "the table of apps is full",
            Self::Retired => "nginx is being reconfigured: ask again",
        })
    }
}

/// An error, as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Error<'a> {
    pub error: &'a str,
}
