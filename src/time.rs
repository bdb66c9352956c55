//! Values of time, without a clock.

#![forbid(unsafe_code)]

use core::fmt;
use std::time::{Duration, SystemTime};

/// Milliseconds: a duration, or a point on a clock that the caller names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Msec(pub u64);

impl Msec {
    /// The sum. Stays at the largest value instead of overflowing.
    pub const fn after(self, duration: Msec) -> Msec {
        Msec(self.0.saturating_add(duration.0))
    }

    /// What has passed since an earlier point, or 0 if that is the later one.
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
    /// Since some start that all workers share; never goes back.
    pub monotonic: Msec,
    /// Since 1970, UTC.
    pub wall: Msec,
}

impl Now {
    /// No point in time.
    pub const NEVER: Self = Self { monotonic: Msec(0), wall: Msec(0) };

    /// So much later.
    pub const fn after(self, duration: Msec) -> Self {
        Self { monotonic: self.monotonic.after(duration), wall: self.wall.after(duration) }
    }
}

/// RFC 3339 in UTC with milliseconds, as in `2012-05-01T09:30:00.000Z`. The point is one on the Unix
/// clock; what lies beyond the year 9999 is shown as that year's last millisecond.
pub fn rfc3339(unix: Msec) -> impl fmt::Display {
    // humantime's Display fails beyond, and whoever called to_string() would panic.
    const LAST: Msec = Msec(253_402_300_799_999);
    let since_epoch = Duration::from_millis(unix.min(LAST).0);
    let time = SystemTime::UNIX_EPOCH.checked_add(since_epoch);
    humantime::format_rfc3339_millis(time.unwrap_or(SystemTime::UNIX_EPOCH))
}

/// How long a request may be held: 0 to 10 years of 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxTime(Msec);

/// Bytes that are no `MaxTime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATime;

impl MaxTime {
    /// What holds where nothing is said, as in the original: 300 s.
    pub const DEFAULT: MaxTime = MaxTime(Msec(300_000));

    const LONGEST: Msec = Msec(10 * 365 * DAY);

    /// Reads seconds with decimals (`300`, `0.5`, `.5`, `5.`: no sign, exponent or space), or an
    /// nginx time (`500ms`, `1m30s`). Decimals below a millisecond are cut off, but what is above 0
    /// stays above it.
    ///
    /// # Errors
    ///
    /// `NotATime` for anything else, and for more than 10 years.
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

/// Milliseconds of `whole.fraction`, either of which may be empty, but not both.
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

/// What a number in an nginx time was followed by, in the order that they must keep.
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

/// Milliseconds of an nginx time: `ngx_parse_time(line, 0)` of nginx's ngx_parse.c with all its
/// leniencies. Spaces may stand where it allows them, a number without a unit means seconds, a unit
/// without a number counts as 0 if there is a digit anywhere. It has no years and months for times
/// in milliseconds.
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<u64> {
        MaxTime::parse(text.as_bytes()).ok().map(|time| time.msec().0)
    }

    fn refused(texts: &[&str]) {
        for text in texts {
            assert_eq!(MaxTime::parse(text.as_bytes()), Err(NotATime), "{text:?}");
        }
    }

    #[test]
    fn plain_numbers_are_seconds() {
        assert_eq!(parse("300"), Some(300_000));
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("007"), Some(7_000));
        assert_eq!(parse(&"0".repeat(5000)), Some(0));
    }

    #[test]
    fn seconds_may_have_decimals() {
        assert_eq!(parse("0.5"), Some(500));
        assert_eq!(parse(".5"), Some(500));
        assert_eq!(parse("5."), Some(5_000));
        assert_eq!(parse("0."), Some(0));
        assert_eq!(parse(".0"), Some(0));
        assert_eq!(parse("12.345"), Some(12_345));
        assert_eq!(parse("1.05"), Some(1_050));
    }

    #[test]
    fn decimals_below_a_millisecond_are_cut_off_but_never_down_to_zero() {
        assert_eq!(parse("1.2349"), Some(1_234));
        assert_eq!(parse("1.0009"), Some(1_000));
        assert_eq!(parse("0.0009"), Some(1));
        assert_eq!(parse(&format!("0.{}1", "0".repeat(5000))), Some(1));
        assert_eq!(parse(&format!("0.{}", "9".repeat(5000))), Some(999));
    }

    #[test]
    fn a_decimal_number_is_digits_and_one_point_only() {
        refused(&[".", "..", "1..5", "1.5.", "1.5s", "1.5ms", "1m0.5", "-0.5", "+0.5", "1.5e3"]);
        refused(&[" 0.5", "0.5 ", "0. 5", "0x.8", "1,5", "1.-5", "1.+5", "\u{664}.5"]);
    }

    #[test]
    fn nginx_times_are_read_as_nginx_reads_them() {
        assert_eq!(parse("500ms"), Some(500));
        assert_eq!(parse("1m30s"), Some(90_000));
        assert_eq!(parse("1m 30s"), Some(90_000));
        assert_eq!(parse("1m30"), Some(90_000));
        assert_eq!(parse("1h"), Some(3_600_000));
        assert_eq!(parse("2d"), Some(172_800_000));
        assert_eq!(parse("1w2d3h4m5s6ms"), Some(788_645_006));
        assert_eq!(parse("1w  2d 3h   4m 5s 6ms"), Some(788_645_006));
        assert_eq!(parse("1s500ms"), Some(1_500));
        assert_eq!(parse("90m"), Some(5_400_000));
    }

    #[test]
    fn the_leniencies_of_nginx_are_kept() {
        assert_eq!(parse("5ms 5"), Some(5_005));
        assert_eq!(parse("5 5"), Some(10_000));
        assert_eq!(parse(" 5"), Some(5_000));
        assert_eq!(parse("5 "), Some(5_000));
        assert_eq!(parse("1m "), Some(60_000));
        assert_eq!(parse("1m s"), Some(60_000));
        refused(&["1 m", "1s 5 ", "1 1 1"]);
    }

    #[test]
    fn units_come_in_falling_order_each_at_most_once() {
        refused(&["1m1m", "1s1m", "1ms1s", "1ms1ms", "1s1s", "1d1w", "1h1d", "1m1h", "1h1h"]);
    }

    #[test]
    fn what_has_no_digit_or_an_unknown_byte_is_no_time() {
        refused(&["", " ", "ms", "s", "m s", "abc", "inf", "nan", "1e3", "0x10", "-1", "+1"]);
        refused(&["1S", "1H", "5\t", "5\0", "5\u{a0}", "\u{0665}"]);
        assert_eq!(MaxTime::parse(b"\xff"), Err(NotATime));
    }

    #[test]
    fn years_and_months_are_refused_as_nginx_refuses_them_in_milliseconds() {
        refused(&["1y", "1M", "1y1M", "0y5s"]);
    }

    #[test]
    fn more_than_ten_years_are_refused() {
        assert_eq!(parse("3650d"), Some(315_360_000_000));
        assert_eq!(parse("315360000"), Some(315_360_000_000));
        assert_eq!(parse("315360000.0009"), Some(315_360_000_000));
        refused(&["3650d1ms", "3651d", "315360001", "315360000.001"]);
    }

    #[test]
    fn numbers_too_large_for_any_integer_are_refused() {
        for digits in ["18446744073709551615", "18446744073709551616", "99999999999999999999999"] {
            for end in ["", ".", ".5", "ms", "s", "w", "w 1s", " "] {
                refused(&[&format!("{digits}{end}")]);
            }
        }
        refused(&["1s18446744073709551615ms", "18446744073709552s", "30500568904944w"]);
    }

    #[test]
    fn an_error_finishes_the_sentence() {
        assert_eq!(NotATime.to_string(), "is not a time");
    }

    #[test]
    fn the_default_is_what_the_original_had() {
        assert_eq!(MaxTime::default().msec(), Msec(300_000));
        assert_eq!(MaxTime::parse(b"300"), Ok(MaxTime::DEFAULT));
    }

    #[test]
    fn sums_and_differences_stop_at_the_ends() {
        assert_eq!(Msec(1).after(Msec(2)), Msec(3));
        assert_eq!(Msec(u64::MAX).after(Msec(1)), Msec(u64::MAX));
        assert_eq!(Msec(5).since(Msec(3)), Msec(2));
        assert_eq!(Msec(3).since(Msec(5)), Msec(0));
    }

    #[test]
    fn seconds_are_shown_with_three_decimals() {
        assert_eq!(Msec(12_345).seconds().to_string(), "12.345");
        assert_eq!(Msec(7).seconds().to_string(), "0.007");
        assert_eq!(Msec(0).seconds().to_string(), "0.000");
        assert_eq!(Msec(u64::MAX).seconds().to_string(), "18446744073709551.615");
    }

    #[test]
    fn a_point_in_time_is_shown_as_rfc_3339_with_milliseconds() {
        assert_eq!(rfc3339(Msec(0)).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Msec(1_335_864_600_007)).to_string(), "2012-05-01T09:30:00.007Z");
        assert_eq!(rfc3339(Msec(1_709_164_800_000)).to_string(), "2024-02-29T00:00:00.000Z");
    }

    #[test]
    fn a_point_beyond_the_year_9999_is_shown_as_its_end() {
        let end = "9999-12-31T23:59:59.999Z";
        for msec in [253_402_300_799_999, 253_402_300_800_000, u64::MAX] {
            assert_eq!(rfc3339(Msec(msec)).to_string(), end);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..<_>::default() })]

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40), msec: u64) {
            let _ = MaxTime::parse(&bytes);
            let _ = rfc3339(Msec(msec)).to_string();
        }

        #[test]
        fn what_is_shown_in_seconds_reads_back(msec in 0..=MaxTime::LONGEST.0) {
            prop_assert_eq!(parse(&Msec(msec).seconds().to_string()), Some(msec));
            prop_assert_eq!(parse(&format!("{msec}ms")), Some(msec));
        }
    }
}
