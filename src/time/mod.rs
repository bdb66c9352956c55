//! Times and durations. None of this reads a clock.
#![forbid(unsafe_code)]

use core::fmt;
use std::time::{Duration, SystemTime};

/// Milliseconds: a duration, or a point on one of the clocks of [`Now`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Msec(pub u64);

impl Msec {
    /// The sum, at most [`u64::MAX`].
    pub const fn after(self, duration: Msec) -> Msec {
        Msec(self.0.saturating_add(duration.0))
    }

    /// How much later than `earlier` this is; 0 if it is not later.
    pub const fn since(self, earlier: Msec) -> Msec {
        Msec(self.0.saturating_sub(earlier.0))
    }

    /// Seconds with three decimals, as in `12.345`.
    pub fn seconds(self) -> impl fmt::Display {
        Seconds(self)
    }
}

struct Seconds(Msec);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seconds(Msec(msec)) = self;
        write!(f, "{}.{:03}", msec / 1000, msec % 1000)
    }
}

/// A point in time, in milliseconds on two clocks.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since a start that all workers share. Never goes back.
    pub monotonic: Msec,
    /// Since 1970, UTC.
    pub wall: Msec,
}

impl Now {
    /// No point in time at all.
    pub const NEVER: Self = Self { monotonic: Msec(0), wall: Msec(0) };

    pub const fn after(self, duration: Msec) -> Self {
        Self { monotonic: self.monotonic.after(duration), wall: self.wall.after(duration) }
    }
}

/// RFC 3339 in UTC with milliseconds, as in `2012-05-01T09:30:00.000Z`. `unix` is a time on the wall
/// clock; one after the year 9999 is shown as the last millisecond of that year.
pub fn rfc3339(unix: Msec) -> impl fmt::Display {
    // Beyond it humantime's Display fails, and to_string() panics.
    const LAST: Msec = Msec(253_402_300_799_999);
    let since_epoch = Duration::from_millis(unix.min(LAST).0);
    let time = SystemTime::UNIX_EPOCH.checked_add(since_epoch);
    humantime::format_rfc3339_millis(time.unwrap_or(SystemTime::UNIX_EPOCH))
}

/// A time that an operator gives, such as max_time: 0 to 10 years of 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxTime(Msec);

/// The bytes are not a `MaxTime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATime;

impl MaxTime {
    /// The default of max_time, as in the original: 300 s.
    pub const DEFAULT: MaxTime = MaxTime(Msec(300_000));

    const LONGEST: Msec = Msec(10 * 365 * DAY);

    /// Reads seconds with decimals (`300`, `0.5`, `.5`, `5.`: no sign, exponent or space), or an
    /// nginx time (`500ms`, `1m30s`). Fractions of a millisecond are cut off; but a time above 0
    /// never becomes 0.
    pub fn parse(bytes: &[u8]) -> Result<MaxTime, NotATime> {
        let point = bytes.iter().position(|c| *c == b'.');
        let msec = match point.and_then(|at| bytes.split_at_checked(at)) {
            Some((whole, [_, fraction @ ..])) => decimal_seconds(whole, fraction),
            _ => nginx_time(bytes),
        };
        match msec.map(Msec) {
            Some(msec) if msec <= Self::LONGEST => Ok(MaxTime(msec)),
            _ => Err(NotATime),
        }
    }

    pub const fn msec(self) -> Msec {
        self.0
    }
}

impl Default for MaxTime {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a time")
    }
}

impl core::error::Error for NotATime {}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// Milliseconds of `whole.fraction` seconds. One of both may be empty.
fn decimal_seconds(whole: &[u8], fraction: &[u8]) -> Option<u64> {
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = whole.iter().try_fold(0, |value, c| push_digit(value, *c))?;
    let mut msec = whole.checked_mul(SECOND)?;
    let mut worth = SECOND;
    let mut above_zero = whole > 0;
    for c in fraction {
        let digit = digit(*c)?;
        worth /= 10;
        above_zero |= digit > 0;
        msec = msec.checked_add(digit.checked_mul(worth)?)?;
    }
    Some(if above_zero { msec.max(1) } else { 0 })
}

/// What follows a number in an nginx time, in the order in which units must stand.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Unit {
    Nothing,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Space,
}

impl Unit {
    fn first(bytes: &[u8]) -> Option<(Unit, u64, &[u8])> {
        Some(match bytes {
            [b'w', rest @ ..] => (Unit::Week, WEEK, rest),
            [b'd', rest @ ..] => (Unit::Day, DAY, rest),
            [b'h', rest @ ..] => (Unit::Hour, HOUR, rest),
            [b'm', b's', rest @ ..] => (Unit::Millisecond, 1, rest),
            [b'm', rest @ ..] => (Unit::Minute, MINUTE, rest),
            [b's', rest @ ..] => (Unit::Second, SECOND, rest),
            [b' ', rest @ ..] => (Unit::Space, SECOND, rest),
            _ => return None,
        })
    }

    fn may_follow(self, last: Unit) -> bool {
        match self {
            Unit::Space => last < Unit::Second,
            unit => last < unit,
        }
    }
}

/// Milliseconds of an nginx time, as lenient as `ngx_parse_time(line, 0)` in nginx's ngx_parse.c:
/// spaces may stand where that allows them, a number without a unit is seconds, and a unit without a
/// number is 0 if there is a digit anywhere. Years and months are refused, as there.
fn nginx_time(bytes: &[u8]) -> Option<u64> {
    let mut rest = bytes;
    let mut last = Unit::Nothing;
    let mut seen_digit = false;
    let mut total = 0_u64;
    let mut value = 0_u64;
    while let [c, tail @ ..] = rest {
        if c.is_ascii_digit() {
            value = push_digit(value, *c)?;
            seen_digit = true;
            rest = tail;
            continue;
        }
        let (unit, scale, tail) = Unit::first(rest)?;
        if !unit.may_follow(last) {
            return None;
        }
        last = unit;
        total = total.checked_add(value.checked_mul(scale)?)?;
        value = 0;
        rest = tail;
        while let [b' ', tail @ ..] = rest {
            rest = tail;
        }
    }
    let total = total.checked_add(value.checked_mul(SECOND)?)?;
    seen_digit.then_some(total)
}

fn push_digit(value: u64, c: u8) -> Option<u64> {
    value.checked_mul(10)?.checked_add(digit(c)?)
}

fn digit(c: u8) -> Option<u64> {
    char::from(c).to_digit(10).map(u64::from)
}

#[cfg(test)]
mod tests;
