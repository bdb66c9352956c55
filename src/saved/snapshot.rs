//! What a record holds: the pauses, and when they were written.
#![forbid(unsafe_code)]

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use crate::ids::{PauseId, Token};
use crate::shared::app::{App, State};
use crate::shared::pace::Pace;
use crate::shared::terms::Terms;
use crate::text::{header_value, AppName, Text};
use crate::time::{Msec, Now};

/// The longest lease that is restored, in ms: 100 years.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// The two clocks may differ by this much because of rounding, in ms.
const ROUNDING: u64 = 1000;

/// A pause, as it is written. Names and reasons are percent-encoded; times are milliseconds since
/// 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    app: String,
    stopped: bool,
    pause: u64,
    began: u64,
    until: Option<u64>,
    /// How much was left of the lease when this was written, in ms.
    #[serde(default)]
    pub(super) left: Option<u64>,
    reason: String,
    by: String,
    spread: u64,
    concurrency: u32,
}

/// What one record holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The greatest number that a pause has had.
    pub pauses: u64,
    #[serde(default)]
    pub written: Written,
    pub saved: Vec<Saved>,
    /// Of open apps too.
    #[serde(default)]
    pub tokens: Vec<SavedToken>,
}

/// The greatest fencing token that a call named for an app. The name is percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedToken {
    app: String,
    token: u64,
}

impl SavedToken {
    /// Returns None if no call named one.
    pub fn of(app: &App) -> Option<Self> {
        let name = app.name()?;
        (app.token() > Token(0)).then(|| Self::new(name, app.token()))
    }

    pub(super) fn new(app: &AppName, Token(token): Token) -> Self {
        Self { app: header_value(app.as_bytes()).to_string(), token }
    }

    /// The app, and its token. Returns None if a value makes no sense.
    pub fn restore(&self) -> Option<(AppName, Token)> {
        let token = Token(self.token).min(Token::GREATEST);
        Some((decode(&self.app)?, token))
    }
}

/// When a snapshot was taken, in ms on both clocks, and the start of the machine from which the
/// monotonic clock counts. All zero and empty if the file does not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Written {
    boot: String,
    monotonic: u64,
    wall: u64,
}

impl Written {
    /// Now. `boot` is the kernel's name for the machine's start, or empty if that is not known.
    pub fn at(now: Now, boot: &str) -> Self {
        Self { boot: boot.into(), monotonic: now.monotonic.0, wall: now.wall.0 }
    }

    /// How long ago that is. Returns None if nothing is known. By the monotonic clock if the
    /// machine has not been restarted, else by the wall clock: 0 if that was set back.
    pub fn age(&self, now: Now, boot: &str) -> Option<Msec> {
        let (monotonic, wall) = (Msec(self.monotonic), Msec(self.wall));
        if !boot.is_empty() && self.boot == boot && monotonic <= now.monotonic {
            return Some(now.monotonic.since(monotonic));
        }
        (wall != Msec(0)).then(|| now.wall.since(wall))
    }
}

impl Saved {
    /// The pause of an app that is paused or stopped, without what may still be rolled back.
    pub fn of(app: &App, now: Now) -> Option<Self> {
        let app = app.without_provisional();
        if !app.is_paused_or_stopped() {
            return None;
        }
        let (reason, by) = app.reason_and_by();
        let saved = Self {
            app: header_value(app.name()?.as_bytes()).to_string(),
            stopped: app.state() == State::Stopped,
            pause: app.pause().0,
            began: app.began().wall.0,
            until: app.until().map(|until| until.wall.0),
            left: app.until().map(|until| until.monotonic.since(now.monotonic).0),
            reason: header_value(reason.as_bytes()).to_string(),
            by: header_value(by.as_bytes()).to_string(),
            spread: app.pace().spread.0,
            concurrency: app.pace().concurrency,
        };
        Some(saved)
    }

    /// The app, paused or stopped as it was. Returns None if a value makes no sense or the lease
    /// has ended. `age` is how long ago this was written.
    pub fn restore(&self, age: Option<Msec>, now: Now) -> Option<App> {
        let began = Msec(self.began);
        let began = Now {
            monotonic: if began >= now.wall {
                now.monotonic.after(began.since(now.wall))
            } else {
                now.monotonic.since(now.wall.since(began))
            },
            wall: began,
        };
        let until = match self.until {
            None => Now::NEVER,
            Some(wall) => self.end(Msec(wall), age, now)?,
        };
        Some(App::restored(
            decode(&self.app)?,
            if self.stopped { State::Stopped } else { State::Paused },
            PauseId(self.pause),
            began,
            Terms {
                reason: decode(&self.reason)?,
                by: decode(&self.by)?,
                until,
                pace: Pace { spread: Msec(self.spread), concurrency: self.concurrency },
            },
        ))
    }

    /// The end of the lease, which was planned for `wall`. Returns None if it is over. It is never
    /// further away than it was when this was written, whatever the wall clock says.
    fn end(&self, wall: Msec, age: Option<Msec>, now: Now) -> Option<Now> {
        let by_wall = wall.since(now.wall);
        let left = match (self.left, age) {
            (Some(left), Some(age)) => Msec(left).since(age),
            (Some(left), None) => by_wall.min(Msec(left)),
            (None, _) => by_wall.min(wall.since(Msec(self.began))),
        };
        let left = left.min(Msec(LONGEST));
        let agree = by_wall.0.abs_diff(left.0) <= ROUNDING && by_wall > Msec(0);
        let wall = if agree { wall } else { now.wall.after(left) };
        (left > Msec(0)).then(|| Now { monotonic: now.monotonic.after(left), wall })
    }

    /// The app's name. Returns the default app's if what is written makes no sense.
    pub fn name(&self) -> AppName {
        decode(&self.app).unwrap_or_default()
    }
}

fn decode<const N: usize>(value: &str) -> Option<Text<N>> {
    let mut text = Text::EMPTY;
    percent_decode_str(value).try_for_each(|byte| text.push(byte)).ok()?;
    Some(text)
}
