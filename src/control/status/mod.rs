//! An app's state in full, as JSON has it and other answers tell it.
#![forbid(unsafe_code)]

mod values;

mod details;

#[cfg(test)]
pub(crate) mod samples;

use serde::{Serialize, Serializer};

pub use details::{Away, DrainPace, LastDrain, Oldest, OneInFlight, Slots};
pub use values::{DrainedBy, PauseNumber, Seconds, Time};

use crate::ids::{AppId, NameHash, PauseId, Token};
use crate::shared::app::Ender;
use crate::shared::health::Health;
use crate::shared::room::Rejected;
use crate::shared::totals::{Holds, Totals};
use crate::shared::word::Word;
use crate::text::{Address, AppName, Reason};
use crate::time::{Msec, Now};
use crate::zone::Zone;

/// An app's state in full, as JSON has it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Status {
    pub app: AppName,
    pub state: Word,
    pub pause: PauseNumber,
    /// The greatest fencing token that a call named; 0 if none did.
    #[serde(serialize_with = "as_number")]
    pub token: Token,
    /// When the app entered its state; None if it was never paused.
    pub since: Option<Time>,
    /// Since when the app cannot be reached, and what nginx would have answered; None if it can be.
    pub away: Option<Away>,
    /// When the pause ends by itself.
    pub until: Option<Time>,
    /// Until when the pause, or a change of it, may be rolled back.
    pub waiting_until: Option<Time>,
    pub reason: Option<Reason>,
    pub by: Option<Address>,
    /// How held requests are released, or will be; None if all at once.
    pub pace: Option<DrainPace>,
    /// What ended the newest pause.
    pub drained_by: DrainedBy,
    pub held: u32,
    pub oldest_held_seconds: Seconds,
    /// How many requests were passed on and are unfinished.
    pub in_flight: u32,
    /// The oldest of these.
    pub oldest_in_flight: Oldest,
    /// How many connections became tunnels. Nothing waits for these.
    pub upgraded: u32,
    /// How many requests nginx gave up within the last minute, while the app may still work on
    /// them.
    pub abandoned: u32,
    pub last_drain: Option<LastDrain>,
    /// How many expired requests were passed on to the app although it was paused, since the newest
    /// pause began.
    pub expired_to_app: u64,
    pub totals: Totals,
    /// How many more requests can be held.
    pub room: u32,
    pub slots: Slots,
    /// How many requests were rejected, by what ran out.
    #[serde(skip)]
    pub rejected: Rejected,
    /// `expired_to_app` since the app is known.
    #[serde(skip)]
    pub all_expired_to_app: u64,
    #[serde(skip)]
    pub all_abandoned: u32,
    #[serde(serialize_with = "as_text")]
    pub state_file: Health,
    /// When the newest pause was ended.
    #[serde(skip)]
    pub ended: Option<Time>,
    /// Whether a request of the app ever met its gate.
    #[serde(skip)]
    pub heard_of: bool,
    /// How long requests are held before they expire and are passed on; None if that is not known.
    #[serde(skip)]
    pub expire_after: Option<Msec>,
    #[serde(skip)]
    pub pauses: u64,
    #[serde(skip)]
    pub holds: Holds,
}

impl Status {
    /// Of the app `name`. An app that has no entry is open and was never paused.
    pub fn of(zone: &Zone<'_>, name: AppName) -> Self {
        let (slots, state_file) = (Slots::of(zone), zone.signals.state_file());
        let hash = NameHash::of(name.as_bytes());
        let (heard_of, expire_after) =
            (zone.signals.has_heard(hash), zone.signals.expire_after(hash));
        let room = zone.room();
        let unknown =
            Self { room, slots, state_file, heard_of, expire_after, ..Self::unknown(name) };
        zone.find(&name).and_then(|id| Self::at(zone, id)).unwrap_or(unknown)
    }

    /// Of an app that has an entry.
    pub fn at(zone: &Zone<'_>, id: AppId) -> Option<Self> {
        let app = zone.app(id)?;
        let name = *app.name()?;
        let (head, flight) = (zone.head(id), zone.sum_counts(id));
        let (reason, by) = app.reason_and_by();
        let (all_expired_to_app, expired_to_app) = app.all_expired_to_app();
        let closed = app.is_closed_by_pause();
        Some(Self {
            app: name,
            state: Word::of_app(app),
            pause: PauseNumber(app.pause()),
            token: app.token(),
            since: (app.pause() > PauseId(0)).then_some(Time(app.since().wall)),
            away: app.away().map(|(since, status)| Away { since: Time(since.wall), status }),
            until: app.until().map(|until| Time(until.wall)),
            waiting_until: zone.waiting_until(id).map(|until| Time(until.wall)),
            reason: closed.then_some(*reason).filter(|reason| !reason.is_empty()),
            by: closed.then_some(*by),
            pace: Some(DrainPace::of(zone, app)).filter(|pace| closed && pace.is_one()),
            drained_by: DrainedBy(app.ended_by()),
            ended: app.ended_at().map(|ended| Time(ended.wall)),
            heard_of: zone.signals.has_heard(NameHash::of(name.as_bytes())),
            expire_after: zone.signals.expire_after(NameHash::of(name.as_bytes())),
            held: app.held(),
            oldest_held_seconds: Seconds(
                head.map_or(Msec(0), |head| zone.now.monotonic.since(head.since)),
            ),
            in_flight: flight.in_flight,
            oldest_in_flight: Oldest::of(zone, id),
            upgraded: flight.upgraded,
            abandoned: flight.given_up.lately(zone.now.monotonic),
            last_drain: app.last_drain().map(|(drained, ended)| LastDrain {
                pause: drained.pause,
                released: drained.released,
                failed: drained.failed,
                seconds: Seconds(drained.took),
                ended: Time(ended.wall),
            }),
            expired_to_app,
            totals: Totals { passed: flight.passed, ..app.totals },
            room: zone.room().min(app.left_of_max_held()),
            slots: Slots::of(zone),
            rejected: app.rejected,
            all_expired_to_app,
            all_abandoned: flight.given_up.total,
            state_file: zone.signals.state_file(),
            pauses: app.pauses(),
            holds: app.holds,
        })
    }

    /// Of an app that has no entry.
    pub fn unknown(app: AppName) -> Self {
        Self {
            app,
            state: Word::Open,
            pause: PauseNumber(PauseId(0)),
            token: Token(0),
            since: None,
            away: None,
            until: None,
            waiting_until: None,
            reason: None,
            by: None,
            pace: None,
            drained_by: DrainedBy(Ender::Nobody),
            ended: None,
            heard_of: false,
            expire_after: None,
            held: 0,
            oldest_held_seconds: Seconds(Msec(0)),
            in_flight: 0,
            oldest_in_flight: Oldest::NONE,
            upgraded: 0,
            abandoned: 0,
            all_abandoned: 0,
            last_drain: None,
            expired_to_app: 0,
            all_expired_to_app: 0,
            totals: Totals::NONE,
            room: 0,
            slots: Slots { used: 0, total: 0 },
            rejected: Rejected::NONE,
            state_file: Health::Off,
            pauses: 0,
            holds: Holds::NONE,
        }
    }

    /// The value of the header Retry-After: the seconds to the end of the lease, at least 1, or 10
    /// if there is no lease.
    pub fn retry_after(&self, now: Now) -> u64 {
        self.until.map_or(10, |until| until.0.since(now.wall).0.div_ceil(1000).max(1))
    }

    /// Whether it is paused or stopped.
    pub fn is_paused_or_stopped(&self) -> bool {
        matches!(self.state, Word::Paused | Word::Stopped)
    }

    /// Whether the terms of the pause differ.
    pub fn differs(&self, other: &Self) -> bool {
        let terms = |status: &Self| {
            let [until, waiting] =
                [status.until, status.waiting_until].map(|time| time.map(|t| t.0));
            (status.state, status.reason, until, waiting)
        };
        terms(self) != terms(other)
    }

    /// The original's words for the state.
    pub fn text(&self) -> &'static str {
        match self.state {
            Word::Paused => ENABLED,
            Word::Stopped => STOPPED,
            Word::Open | Word::Draining | Word::Away => DISABLED,
        }
    }
}

const ENABLED: &str = "Pause enabled.\n";
const DISABLED: &str = "Pause disabled.\n";
const STOPPED: &str = "Stopped.\n";

fn as_number<S: Serializer>(token: &Token, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(token.0)
}

fn as_text<S: Serializer>(health: &Health, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(health)
}
