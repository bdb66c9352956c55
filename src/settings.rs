//! The values of directives.
#![forbid(unsafe_code)]

use core::fmt;

use crate::shared::pace::Pace;
use crate::text::AppName;
use crate::time::{MaxTime, Msec};

/// A status that a request may be answered with: 400 to 599, without those that have a meaning of
/// their own in nginx (401, 408, 444, 494 to 499).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorStatus(u16);

/// Whether a request is passed on or answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PassOr<T> {
    #[default]
    Pass,
    Answer(T),
}

/// The status with which a health check is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthCode {
    /// 200 or 204. The module itself sends the answer.
    Good(u16),
    Bad(ErrorStatus),
}

/// The value of `intermission`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
    /// A text that begins with a variable decides.
    Variable,
}

/// The end of a sentence: what a directive's value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed(&'static str);

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it must be {}", self.0)
    }
}

/// As [`Allowed`]: a size of at least so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeastSize(usize);

impl fmt::Display for LeastSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it must be a size of at least {}k", self.0 / 1024)
    }
}

/// `intermission`
pub fn intermission(value: &[u8]) -> Result<Switch, Allowed> {
    match value {
        b"on" => Ok(Switch::On),
        b"off" => Ok(Switch::Off),
        [b'$', _, ..] => Ok(Switch::Variable),
        _ => Err(Allowed("\"on\", \"off\" or a variable")),
    }
}

/// `intermission_zone`: its size in bytes, None if it is not a size. `least` is in bytes.
pub fn zone(size: Option<usize>, least: usize) -> Result<usize, LeastSize> {
    size.filter(|size| *size >= least).ok_or(LeastSize(least))
}

/// `intermission_state_file`: whether the value is a path. Returns false for `off`.
pub fn is_state_path(value: &[u8]) -> Result<bool, Allowed> {
    match value {
        b"off" => Ok(false),
        b"" => Err(Allowed("a path or \"off\"")),
        _ => Ok(true),
    }
}

impl ErrorStatus {
    pub const UNAVAILABLE: Self = Self(503);

    pub fn number(self) -> u16 {
        self.0
    }

    /// Whether the answer carries `Retry-After`.
    pub fn is_temporary(self) -> bool {
        matches!(self.0, 503 | 504)
    }

    /// `intermission_overflow`
    pub fn parse(value: &[u8]) -> Result<Self, Allowed> {
        code(value).ok_or(Allowed("a status from 400 to 599, but not 401, 408, 444 or 494 to 499"))
    }
}

impl PassOr<ErrorStatus> {
    /// `intermission_expired`
    pub fn parse(value: &[u8]) -> Result<Self, Allowed> {
        if value == b"pass" {
            return Ok(Self::Pass);
        }
        code(value).map(Self::Answer).ok_or(Allowed(
            "\"pass\" or a status from 400 to 599, but not 401, 408, 444 or 494 to 499",
        ))
    }
}

impl PassOr<HealthCode> {
    /// `intermission_health_check`
    pub fn parse(value: &[u8]) -> Result<Self, Allowed> {
        match value {
            b"pass" => return Ok(Self::Pass),
            b"200" => return Ok(Self::Answer(HealthCode::Good(200))),
            b"204" => return Ok(Self::Answer(HealthCode::Good(204))),
            _ => {}
        }
        code(value).map(HealthCode::Bad).map(Self::Answer).ok_or(Allowed(
            "\"pass\", 200, 204 or a status from 400 to 599, but not 401, 408, 444 or 494 to 499",
        ))
    }
}

/// `intermission_lease`. Returns None for `off`.
pub fn lease(value: &[u8]) -> Result<Option<Msec>, Allowed> {
    if value == b"off" {
        return Ok(None);
    }
    let time = MaxTime::parse(value).map(MaxTime::msec).ok().filter(|time| *time > Msec(0));
    time.map(Some).ok_or(Allowed("\"off\" or a time above 0"))
}

/// `intermission_away`. Returns None for `off`.
pub fn away(value: &[u8]) -> Result<Option<Msec>, Allowed> {
    if value == b"off" {
        return Ok(None);
    }
    let time = MaxTime::parse(value).map(MaxTime::msec).ok().filter(|time| *time >= Msec(1000));
    time.map(Some).ok_or(Allowed("\"off\" or a time of at least 1s"))
}

/// `intermission_max_held`. Returns [`u32::MAX`] for 0, which is no limit.
pub fn max_held(value: &[u8]) -> Result<u32, Allowed> {
    let max_held = number(value).ok_or(Allowed("a number; with 0 the room is the only limit"))?;
    Ok(if max_held == 0 { u32::MAX } else { max_held })
}

/// `intermission_read_body`
pub fn read_body(value: &[u8]) -> Result<bool, Allowed> {
    match value {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Allowed("\"on\" or \"off\"")),
    }
}

/// One argument of `intermission_release`; `pace` is what the arguments before it said.
pub fn release(pace: Pace, value: &[u8]) -> Result<Pace, Allowed> {
    const ALLOWED: Allowed = Allowed(
        "\"spread=\" with a time or \"concurrency=\" with a number, each above 0 and given once",
    );
    let unset = Pace::default();
    if let Some(time) = value.strip_prefix(b"spread=") {
        let spread = MaxTime::parse(time).map(MaxTime::msec).ok();
        let spread = spread.filter(|time| *time > Msec(0) && pace.spread == unset.spread);
        return Ok(Pace { spread: spread.ok_or(ALLOWED)?, ..pace });
    }
    let count = value.strip_prefix(b"concurrency=").and_then(number);
    let count = count.filter(|count| *count > 0 && pace.concurrency == unset.concurrency);
    Ok(Pace { concurrency: count.ok_or(ALLOWED)?, ..pace })
}

/// The apps that a control endpoint may touch, besides the one of its own location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Apps<'a> {
    #[default]
    None,
    /// Names with commas between them.
    These(&'a [u8]),
    Any,
}

/// One argument of `intermission_control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// Only a POST may change something.
    Post,
    /// The list that [`Apps::parse`] reads.
    Apps(&'a [u8]),
}

/// One argument of `intermission_control`.
pub fn control(value: &[u8]) -> Result<Control<'_>, Allowed> {
    if value == b"post" {
        return Ok(Control::Post);
    }
    let apps = value.strip_prefix(b"apps=").filter(|list| Apps::parse(list).is_some());
    apps.map(Control::Apps).ok_or(Allowed(
        "\"post\", \"apps=*\" or \"apps=\" with names of up to 128 bytes, separated by commas",
    ))
}

impl<'a> Apps<'a> {
    /// Reads what follows `apps=`. Returns None if it is neither `*` nor a list of names.
    pub fn parse(list: &'a [u8]) -> Option<Self> {
        if list == b"*" {
            return Some(Self::Any);
        }
        let mut names = Self::These(list).names();
        let good = names.all(|name| !matches!(name, b"" | b"*") && AppName::new(name).is_ok());
        good.then_some(Self::These(list))
    }

    /// The names; none for [`Self::Any`].
    pub fn names(self) -> impl Iterator<Item = &'a [u8]> {
        let list = match self {
            Self::These(list) => Some(list.split(|byte| *byte == b',')),
            Self::None | Self::Any => None,
        };
        list.into_iter().flatten()
    }

    /// Whether `name` is one of these apps.
    pub fn contain(self, name: &AppName) -> bool {
        self == Self::Any || self.names().any(|one| one == name.as_bytes())
    }
}

fn code(value: &[u8]) -> Option<ErrorStatus> {
    match number(value).filter(|_| value.len() == 3)? {
        401 | 408 | 444 | 494..=499 => None,
        code @ 400..=599 => u16::try_from(code).ok().map(ErrorStatus),
        _ => None,
    }
}

fn number(value: &[u8]) -> Option<u32> {
    let digits = core::str::from_utf8(value).ok().filter(|text| !text.starts_with('+'))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_with_a_meaning_of_their_own_in_nginx_are_refused() {
        for code in 0..1000_u32 {
            let ok = (400..600).contains(&code)
                && !matches!(code, 401 | 408 | 444)
                && !(494..500).contains(&code);
            assert_eq!(ErrorStatus::parse(code.to_string().as_bytes()).is_ok(), ok, "{code}");
        }
        for value in ["", "pass", "+503", "0503", "503x", " 503"] {
            assert!(ErrorStatus::parse(value.as_bytes()).is_err(), "{value}");
        }
        assert_eq!(PassOr::<ErrorStatus>::parse(b"pass"), Ok(PassOr::Pass));
        assert!(PassOr::<ErrorStatus>::parse(b"200").is_err());
        assert_eq!(PassOr::<HealthCode>::parse(b"204"), Ok(PassOr::Answer(HealthCode::Good(204))));
    }

    #[test]
    fn a_pace_has_a_spread_or_a_concurrency_or_both_and_each_once() {
        let both =
            release(Pace::default(), b"spread=5s").and_then(|p| release(p, b"concurrency=3"));
        assert_eq!(both, Ok(Pace { spread: Msec(5000), concurrency: 3 }));
        for value in ["", "spread=", "spread=0", "concurrency=0", "concurrency=x", "rate=1"] {
            assert!(release(Pace::default(), value.as_bytes()).is_err(), "{value}");
        }
        assert!(both.and_then(|pace| release(pace, b"spread=1s")).is_err());
    }

    #[test]
    fn an_endpoint_may_touch_the_apps_that_it_names_and_no_other() {
        let name = |name: &[u8]| AppName::new(name).unwrap();
        let two = Apps::parse(b"a,b c").unwrap();
        assert!(two.contain(&name(b"a")) && two.contain(&name(b"b c")));
        assert!(!two.contain(&name(b"")) && !two.contain(&name(b"a,b c")));
        assert!(Apps::parse(b"*").unwrap().contain(&name(b"\xff")));
        assert!(!Apps::None.contain(&AppName::EMPTY));
        assert_eq!(control(b"post"), Ok(Control::Post));
        assert_eq!(control(b"apps=a,b"), Ok(Control::Apps(b"a,b")));
        assert!(control(b"apps=").is_err() && control(b"app=a").is_err());
        for value in [&b""[..], b"a,", b",a", b"a,,b", b"*,a", &[b'x'; 129]] {
            assert_eq!(Apps::parse(value), None);
        }
    }

    #[test]
    fn the_time_away_is_at_least_a_second_or_off() {
        assert_eq!(away(b"off"), Ok(None));
        assert_eq!(away(b"1m"), Ok(Some(Msec(60_000))));
        assert_eq!(away(b"1"), Ok(Some(Msec(1000))));
        for value in ["", "0", "999ms", "0.9", "on", "-1s"] {
            assert!(away(value.as_bytes()).is_err(), "{value}");
        }
    }

    #[test]
    fn intermission_is_on_or_off_or_by_a_variable() {
        assert_eq!(intermission(b"on"), Ok(Switch::On));
        assert_eq!(intermission(b"off"), Ok(Switch::Off));
        assert_eq!(intermission(b"$held"), Ok(Switch::Variable));
        for value in ["", "$", "yes", "x$held"] {
            assert!(intermission(value.as_bytes()).is_err(), "{value}");
        }
    }

    #[test]
    fn a_zone_has_a_least_size() {
        assert_eq!(zone(Some(65_536), 65_536), Ok(65_536));
        let least = "it must be a size of at least 64k";
        for size in [Some(65_535), None] {
            assert_eq!(zone(size, 65_536).map_err(|least| least.to_string()), Err(least.into()));
        }
    }

    #[test]
    fn a_state_file_is_a_path_or_off() {
        assert_eq!(is_state_path(b"off"), Ok(false));
        assert_eq!(is_state_path(b"state"), Ok(true));
        assert!(is_state_path(b"").is_err());
    }

    #[test]
    fn a_lease_is_a_time_or_off() {
        assert_eq!(lease(b"off"), Ok(None));
        assert_eq!(lease(b"1m"), Ok(Some(Msec(60_000))));
        assert!(lease(b"0").is_err());
        assert_eq!((max_held(b"0"), max_held(b"7")), (Ok(u32::MAX), Ok(7)));
        assert_eq!((read_body(b"on"), read_body(b"off")), (Ok(true), Ok(false)));
    }
}
