//! What the control endpoint answers.
#![forbid(unsafe_code)]

use core::fmt;

use serde::{Serialize, Serializer};

use crate::ids::{AppId, NameHash, PauseId};
use crate::shared::app::{App, Ender, State};
use crate::shared::health::Health;
use crate::shared::oldest::{self, WaitsFor};
use crate::shared::room::Rejected;
use crate::shared::totals::{Holds, Totals};
use crate::shared::word::Word;
use crate::text::{header_value, Address, AppName, Reason, Text};
use crate::time::{rfc3339, Msec, Now};
use crate::zone::{Refusal, Remaining, Zone};

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
    /// Until when the pause, or what was asked of it, may be taken back.
    pub waiting_until: Option<Time>,
    pub reason: Option<Reason>,
    pub by: Option<Address>,
    /// How those held go on, or will; none where that is at once.
    pub pace: Option<Pace>,
    /// Who ended the newest pause.
    pub drained_by: DrainedBy,
    pub held: u32,
    pub oldest_held_seconds: Seconds,
    /// Passed on and unfinished.
    pub in_flight: u32,
    /// The oldest of these, the oldest of all first.
    pub oldest_in_flight: Oldest,
    /// Connections that became tunnels, which are not waited for.
    pub upgraded: u32,
    /// Of how many nginx was done within the last minute while the app may still be at them.
    pub abandoned: u32,
    pub last_drain: Option<Drain>,
    /// How many expired ones went on to the app although it was paused, since the newest pause
    /// began.
    pub expired_to_app: u64,
    pub totals: Totals,
    /// How many more can be held.
    pub room: u32,
    pub slots: Slots,
    /// Of the rejected, how many for lack of what.
    #[serde(skip)]
    pub rejected: Rejected,
    /// The same, since the app is known.
    #[serde(skip)]
    pub all_expired_to_app: u64,
    #[serde(skip)]
    pub all_abandoned: u32,
    #[serde(serialize_with = "as_text")]
    pub state_file: Health,
    /// When the newest pause was ended.
    #[serde(skip)]
    pub ended: Option<Time>,
    /// Whether a request of the app ever came to its gate.
    #[serde(skip)]
    pub heard_of: bool,
    /// How long its requests are held before they go on to the app, as far as that is known.
    #[serde(skip)]
    pub expire_after: Option<Msec>,
    #[serde(skip)]
    pub pauses: u64,
    #[serde(skip)]
    pub holds: Holds,
}

/// An app's state behind a verb that may have changed it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Changed<'a> {
    #[serde(flatten)]
    pub status: &'a Status,
    /// None where the verb only says what is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
}

/// How a drain went.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Drain {
    /// The pause that it was the end of.
    #[serde(skip)]
    pub pause: PauseId,
    pub released: u64,
    /// Of these, how many nginx itself has answered 502, 503 or 504 up to now.
    pub failed: u64,
    pub seconds: Seconds,
    pub ended: Time,
}

/// Up to so many requests in flight.
#[derive(Clone, Copy, Debug)]
pub struct Oldest([Option<OneInFlight>; oldest::MAX_TOLD]);

/// A request in flight.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OneInFlight {
    pub method: Text<16>,
    pub uri: Text<128>,
    pub client: Address,
    /// Since it was passed on.
    pub seconds: Seconds,
    #[serde(serialize_with = "as_word")]
    pub waits_for: WaitsFor,
}

impl Oldest {
    /// None.
    pub const NONE: Self = Self([None; oldest::MAX_TOLD]);

    fn of(zone: &Zone<'_>, id: AppId) -> Self {
        let mut oldest = Self::NONE;
        for (place, told) in oldest.0.iter_mut().zip(zone.oldest(id)) {
            *place = Some(OneInFlight {
                method: told.method,
                uri: told.uri,
                client: told.client,
                seconds: Seconds(zone.now.monotonic.since(told.since)),
                waits_for: told.waits_for,
            });
        }
        oldest
    }

    /// These.
    pub fn iter(&self) -> impl Iterator<Item = &OneInFlight> {
        self.0.iter().flatten()
    }
}

impl Serialize for Oldest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

fn as_text<S: Serializer>(health: &Health, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(health)
}

fn as_word<S: Serializer>(waits_for: &WaitsFor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(waits_for.word())
}

/// A line about it.
impl fmt::Display for OneInFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, uri, client, seconds, waits_for } = self;
        write!(f, "{method} {uri} of {client}, for {seconds} s, waits for {waits_for}")
    }
}

/// How those held go on.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pace {
    /// Evenly over so long; 0 where it is not spread.
    pub spread: Seconds,
    /// At most so many unfinished at a time; 0 where there is no such limit.
    pub concurrency: u32,
    /// When the last of them goes on, if it is spread and has begun.
    pub ends: Option<Time>,
}

impl Pace {
    fn of(zone: &Zone<'_>, app: &App) -> Self {
        let (pace, now) = (app.pace(), zone.now);
        let ends = app.drain_ends().map(|end| now.wall.after(end.since(now.monotonic)));
        Self { spread: Seconds(pace.spread), concurrency: pace.concurrency, ends: ends.map(Time) }
    }

    fn is_one(&self) -> bool {
        self.spread.0 > Msec(0) || self.concurrency > 0
    }
}

/// The rest of a line.
impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.spread.0 > Msec(0) {
            write!(f, " over {} s", self.spread)?;
        }
        self.ends.iter().try_for_each(|ends| write!(f, ", until {ends}"))?;
        match self.concurrency {
            0 => Ok(()),
            most => write!(f, ", at most {most} at a time"),
        }
    }
}

/// Who ended a pause.
#[derive(Clone, Copy, Debug)]
pub struct DrainedBy(pub Ender);

impl Serialize for DrainedBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Ender::Nobody => serializer.serialize_none(),
            Ender::Caller(by) | Ender::Holder(by) => by.serialize(serializer),
            Ender::Lease => serializer.serialize_str("lease"),
            Ender::Rollback => serializer.serialize_str("rollback"),
        }
    }
}

/// What a control endpoint's place may see.
#[derive(Clone, Debug, Serialize)]
pub struct Apps {
    pub now: Time,
    pub apps: Vec<Listed>,
}

/// An app among others.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    #[serde(flatten)]
    status: Status,
    /// What names it as the parameter `app`, byte by byte.
    app_encoded: String,
}

impl Apps {
    /// These, at this time.
    pub fn new(apps: Vec<Status>, now: Now) -> Self {
        let list = |status: Status| Listed {
            app_encoded: header_value(status.app.as_bytes()).to_string(),
            status,
        };
        Self { now: Time(now.wall), apps: apps.into_iter().map(list).collect() }
    }
}

/// How full the zone is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Slots {
    pub used: u32,
    pub total: u32,
}

impl Slots {
    /// A zone's.
    pub fn of(zone: &Zone<'_>) -> Self {
        let total = u32::try_from(zone.slots.len()).unwrap_or(u32::MAX);
        Self { used: zone.slots_used(), total }
    }
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

impl Time {
    /// In seconds since 1970.
    pub fn as_f64(self) -> f64 {
        Seconds(self.0).as_f64()
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

impl Seconds {
    /// The number.
    pub fn as_f64(self) -> f64 {
        self.0 .0 as f64 / 1000.0
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_f64().fmt(f)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl Status {
    /// Of the app `name`: open and never paused where the zone does not know it.
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
        let closed = app.state() != State::Open;
        Some(Self {
            app: name,
            state: Word::of(app.state()),
            pause: PauseNumber(app.pause()),
            since: (app.pause() > PauseId(0)).then_some(Time(app.since().wall)),
            until: app.until().map(|until| Time(until.wall)),
            waiting_until: zone.waiting_until(id).map(|until| Time(until.wall)),
            reason: closed.then_some(*reason).filter(|reason| !reason.is_empty()),
            by: closed.then_some(*by),
            pace: Some(Pace::of(zone, app)).filter(|pace| closed && pace.is_one()),
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
            last_drain: app.last_drain().map(|(drained, ended)| Drain {
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
            since: None,
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

    /// When whoever got no good answer may ask again: at the lease's end, in whole seconds from 1;
    /// 10 where there is none.
    pub fn retry_after(&self, now: Now) -> u64 {
        self.until.map_or(10, |until| until.0.since(now.wall).0.div_ceil(1000).max(1))
    }

    /// Whether it is paused or stopped.
    pub fn is_paused_or_stopped(&self) -> bool {
        matches!(self.state, Word::Paused | Word::Stopped)
    }

    /// Whether the terms of its pause are others than these.
    pub fn differs(&self, other: &Self) -> bool {
        let terms = |status: &Self| {
            let [until, waiting] =
                [status.until, status.waiting_until].map(|time| time.map(|t| t.0));
            (status.state, status.reason, until, waiting)
        };
        terms(self) != terms(other)
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
            Self::Over => "that pause is over",
            Self::NotOpen => "the app is not open",
            Self::Full => "the table of apps is full",
            Self::TooManyWait => "too many callers wait",
            Self::Retired => "nginx is being reconfigured: ask again",
        })
    }
}

/// The beginning of a sentence: why the caller waited in vain.
impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight(1) => f.write_str("1 request is still in flight"),
            Self::InFlight(count) => write!(f, "{count} requests are still in flight"),
            Self::Silent(1) => f.write_str("1 worker has not said what is in flight"),
            Self::Silent(count) => write!(f, "{count} workers have not said what is in flight"),
            Self::Held(0) => f.write_str(
                "nobody is held any more, but the last request is delayed on its way to the app",
            ),
            Self::Held(1) => f.write_str("1 request is still held"),
            Self::Held(count) => write!(f, "{count} requests are still held"),
        }
    }
}

/// An error, as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Error<'a> {
    pub error: &'a str,
}
