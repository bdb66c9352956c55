//! A request's parameters become a command, or the first wrong one is named.
#![forbid(unsafe_code)]

use core::fmt;

use super::verb::Verb;
use super::{Asked, Change, Command, DisableArgs, PaceChange, Patience, PauseArgs};
use crate::control::form::{Malformed, Said, Value};
use crate::ids::{PauseId, Token};
use crate::text::{Address, AppName, Reason, Text, TooLong};
use crate::time::{MaxTime, Msec};
use crate::zone::Expected;

/// The first wrong parameter, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadParameter<'a> {
    name: &'a [u8],
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Unknown,
    Repeated,
    NotANumber,
    NotAToken,
    NotATime,
    NotAboveZero,
    NotACount,
    NotOne,
    NoFormat,
    NotPercentEncoded,
    AlsoId,
    OnlyWithId,
    OnlyWithWait,
    NotBelowFor,
    TooLong(TooLong),
}

impl fmt::Display for BadParameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of an unknown parameter may have any bytes and any length.
        let name = self.name.get(..64).unwrap_or(self.name).escape_ascii();
        write!(f, "parameter \"{name}\" ")?;
        match self.fault {
            Fault::Unknown => f.write_str("is unknown"),
            Fault::Repeated => f.write_str("is given twice"),
            Fault::NotANumber => f.write_str("is not the number of a pause"),
            Fault::NotAToken => {
                write!(f, "is not a number from 1 to {}", Token::GREATEST.0)
            }
            Fault::NotATime => f.write_str("is not a time"),
            Fault::NotAboveZero => f.write_str("is not a time above 0"),
            Fault::NotACount => f.write_str("is not a number"),
            Fault::NotOne => f.write_str("must be 1"),
            Fault::NoFormat => f.write_str("must be \"json\" or \"text\""),
            Fault::NotPercentEncoded => f.write_str("is not correctly percent-encoded"),
            Fault::AlsoId => f.write_str("cannot be given with \"id\""),
            Fault::OnlyWithId => f.write_str("needs \"id\""),
            Fault::OnlyWithWait => f.write_str("needs \"wait\""),
            Fault::NotBelowFor => f.write_str("must be shorter than the pause's lease"),
            Fault::TooLong(long) => long.fmt(f),
        }
    }
}

impl Verb {
    /// The command with these parameters. `lease` is the lease of an `enable` without `for`.
    pub fn command<'a>(
        self,
        said: Said<'a>,
        lease: Option<Msec>,
    ) -> Result<Asked, BadParameter<'a>> {
        let mut parameters = Parameters::default();
        for (name, value) in said.parameters() {
            parameters.take(self, name, value).map_err(|fault| BadParameter { name, fault })?;
        }
        let Parameters { app, id, paused, new, reason, spread, concurrency, wait, keep, .. } =
            parameters;
        let by = parameters.by.filter(|by| !by.is_empty());
        let which = match (id, new) {
            (Some(_), Some(())) => {
                return Err(BadParameter { name: b"new", fault: Fault::AlsoId });
            }
            (Some(id), None) if paused.is_some() => Expected::Paused(id),
            (Some(id), None) => Expected::This(id),
            (None, _) if paused.is_some() => {
                return Err(BadParameter { name: b"paused", fault: Fault::OnlyWithId });
            }
            (None, Some(())) => Expected::New,
            (None, None) => Expected::Any,
        };
        let args = PauseArgs { which, by, reason, lease: parameters.lease };
        let pace = PaceChange { spread, concurrency };
        let command = match self {
            Self::Status => Command::Status,
            Self::Enable => {
                let patience = patience(wait, keep, args.lease.or(lease))?;
                Command::Change(Change::Enable(args, patience))
            }
            Self::Disable => {
                Command::Change(Change::Disable(DisableArgs { which, by, pace, wait }))
            }
            Self::Stop => Command::Change(Change::Stop(args)),
            Self::Apps => Command::Apps,
            Self::Metrics => Command::Metrics,
            Self::Dashboard => Command::Dashboard,
            Self::Script => Command::Script,
            Self::Style => Command::Style,
        };
        Ok(Asked { app, token: parameters.token, command })
    }
}

fn patience(
    wait: Option<Msec>,
    keep: Option<()>,
    lease: Option<Msec>,
) -> Result<Option<Patience>, BadParameter<'static>> {
    match (wait, keep) {
        (None, Some(())) => Err(BadParameter { name: b"keep", fault: Fault::OnlyWithWait }),
        (None, None) => Ok(None),
        (Some(wait), _) if lease.is_some_and(|lease| wait >= lease) => {
            Err(BadParameter { name: b"wait", fault: Fault::NotBelowFor })
        }
        (Some(wait), keep) => Ok(Some(Patience { wait, keep: keep.is_some() })),
    }
}

#[derive(Default)]
struct Parameters {
    format: Option<()>,
    app: Option<AppName>,
    id: Option<PauseId>,
    paused: Option<()>,
    new: Option<()>,
    token: Option<Token>,
    by: Option<Address>,
    reason: Option<Reason>,
    lease: Option<Msec>,
    spread: Option<Msec>,
    concurrency: Option<u32>,
    wait: Option<Msec>,
    keep: Option<()>,
}

impl Parameters {
    fn take(&mut self, verb: Verb, name: &[u8], value: Value<'_>) -> Result<(), Fault> {
        match (name, verb) {
            (b"format", _) if value.is(b"json") || value.is(b"text") => once(&mut self.format, ()),
            (b"format", _) => Err(Fault::NoFormat),
            (b"app", Verb::Status | Verb::Enable | Verb::Disable | Verb::Stop) => {
                once(&mut self.app, value.decode()?)
            }
            (b"id", Verb::Enable | Verb::Disable | Verb::Stop) => {
                once(&mut self.id, PauseId(number(value, Fault::NotANumber)?))
            }
            (b"token", Verb::Enable | Verb::Disable | Verb::Stop) => {
                once(&mut self.token, token(value)?)
            }
            (b"new", Verb::Enable) if value.is(b"1") => once(&mut self.new, ()),
            (b"new", Verb::Enable) => Err(Fault::NotOne),
            (b"paused", Verb::Enable | Verb::Disable) if value.is(b"1") => {
                once(&mut self.paused, ())
            }
            (b"paused", Verb::Enable | Verb::Disable) => Err(Fault::NotOne),
            (b"by", Verb::Enable | Verb::Disable | Verb::Stop) => {
                once(&mut self.by, value.decode()?)
            }
            (b"reason", Verb::Enable | Verb::Stop) => once(&mut self.reason, value.decode()?),
            (b"for", Verb::Enable | Verb::Stop) => once(&mut self.lease, above_zero(value)?),
            (b"wait", Verb::Enable | Verb::Disable) => once(&mut self.wait, above_zero(value)?),
            (b"keep", Verb::Enable) if value.is(b"1") => once(&mut self.keep, ()),
            (b"keep", Verb::Enable) => Err(Fault::NotOne),
            (b"spread", Verb::Disable) => once(&mut self.spread, time(value, Fault::NotATime)?),
            (b"concurrency", Verb::Disable) => {
                once(&mut self.concurrency, number(value, Fault::NotACount)?)
            }
            _ => Err(Fault::Unknown),
        }
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::NotPercentEncoded => Self::NotPercentEncoded,
            Malformed::TooLong(long) => Self::TooLong(long),
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::Repeated),
    }
}

fn number<N: core::str::FromStr>(value: Value<'_>, fault: Fault) -> Result<N, Fault> {
    let text = short(value, fault)?;
    let digits = core::str::from_utf8(text.as_bytes()).ok();
    let digits = digits.filter(|digits| !digits.starts_with('+'));
    digits.and_then(|digits| digits.parse().ok()).ok_or(fault)
}

fn token(value: Value<'_>) -> Result<Token, Fault> {
    let token = Token(number(value, Fault::NotAToken)?);
    let is_one = token > Token(0) && token <= Token::GREATEST;
    Some(token).filter(|_| is_one).ok_or(Fault::NotAToken)
}

fn time(value: Value<'_>, fault: Fault) -> Result<Msec, Fault> {
    let text = short(value, fault)?;
    MaxTime::parse(text.as_bytes()).map(MaxTime::msec).map_err(|_| fault)
}

fn above_zero(value: Value<'_>) -> Result<Msec, Fault> {
    let time = time(value, Fault::NotAboveZero)?;
    Some(time).filter(|time| *time > Msec(0)).ok_or(Fault::NotAboveZero)
}

/// Decodes a value that is short if it is valid: a longer one has this fault.
fn short(value: Value<'_>, fault: Fault) -> Result<Text<64>, Fault> {
    value.decode().map_err(|malformed| match malformed {
        Malformed::NotPercentEncoded => Fault::NotPercentEncoded,
        Malformed::TooLong(_) => fault,
    })
}
