//! From a control request's bytes to a command.
#![forbid(unsafe_code)]

use core::fmt;

use crate::control::accept::likes_json;
use crate::control::form::{Malformed, Said, Value};
use crate::ids::PauseId;
use crate::shared::pace::Pace;
use crate::text::{Address, AppName, Reason, Text, TooLong};
use crate::time::{MaxTime, Msec};
use crate::zone::{Expected, Intent};

/// Where the control endpoint is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The location's name.
    pub location: &'a [u8],
    /// Whether it is a `=` location.
    pub exact: bool,
}

/// What can be asked of the control endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Status,
    Enable,
    Disable,
    Stop,
    Apps,
    Metrics,
    Dashboard,
    /// The dashboard's own script.
    Script,
    /// And its style sheet.
    Style,
}

/// A request's method, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Other,
}

/// The methods by which an endpoint lets callers change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    ByGetOrPost,
    ByPost,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// A command with its parameters.
// One is made per control request.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Status,
    Enable(PauseArgs, Option<Patience>),
    Disable { which: Expected, by: Option<Address>, pace: PaceChange, wait: Option<Msec> },
    Stop(PauseArgs),
    Apps,
    Metrics,
    Dashboard,
    Script,
    Style,
}

impl Command {
    /// Who asks, in their own words.
    pub fn by(&self) -> Option<Address> {
        match self {
            Self::Enable(args, _) | Self::Stop(args) => args.by,
            Self::Disable { by, .. } => *by,
            _ => None,
        }
    }
}

/// For how long the caller of `enable` waits for the app to be quiet, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub wait: Msec,
    /// Whether the pause stays where it is not.
    pub keep: bool,
}

/// What is asked, and of which app; of the place's own where none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub app: Option<AppName>,
    pub command: Command,
}

/// What `enable` and `stop` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseArgs {
    pub which: Expected,
    /// Who asks, in their own words.
    pub by: Option<Address>,
    pub reason: Option<Reason>,
    /// The pause ends by itself after so long.
    pub lease: Option<Msec>,
}

impl PauseArgs {
    /// Whether a pause that is under way is to be changed.
    pub fn intent(&self) -> Intent {
        match (self.reason, self.lease) {
            (None, None) => Intent::State,
            _ => Intent::Change,
        }
    }
}

/// What `disable` changes of the pace; nothing where neither is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceChange {
    pub spread: Option<Msec>,
    pub concurrency: Option<u32>,
}

impl PaceChange {
    /// A pace with this change.
    pub fn apply(self, pace: Pace) -> Pace {
        Pace {
            spread: self.spread.unwrap_or(pace.spread),
            concurrency: self.concurrency.unwrap_or(pace.concurrency),
        }
    }
}

/// What is wrong with a parameter, the first that is.
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
    NotATime,
    NotAboveZero,
    NotACount,
    NotOne,
    NoFormat,
    NotPercentEncoded,
    AlsoId,
    OnlyWithWait,
    NotBelowFor,
    TooLong(TooLong),
}

impl fmt::Display for BadParameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name that nobody knows may be anything, of any length.
        let name = self.name.get(..64).unwrap_or(self.name).escape_ascii();
        write!(f, "parameter \"{name}\" ")?;
        match self.fault {
            Fault::Unknown => f.write_str("is unknown"),
            Fault::Repeated => f.write_str("is given twice"),
            Fault::NotANumber => f.write_str("is not a pause's number"),
            Fault::NotATime => f.write_str("is not a time"),
            Fault::NotAboveZero => f.write_str("is not a time, or not above 0"),
            Fault::NotACount => f.write_str("is not a number"),
            Fault::NotOne => f.write_str("must be 1"),
            Fault::NoFormat => f.write_str("must be json or text"),
            Fault::NotPercentEncoded => f.write_str("is not percent-encoded"),
            Fault::AlsoId => f.write_str("contradicts \"id\""),
            Fault::OnlyWithWait => f.write_str("means nothing without \"wait\""),
            Fault::NotBelowFor => f.write_str("is not below the pause's lease"),
            Fault::TooLong(long) => long.fmt(f),
        }
    }
}

impl Verb {
    /// The verb that a request for `uri` names: what follows a prefix location's name, or the last
    /// segment in a `=` location.
    pub fn at(place: Place<'_>, uri: &[u8]) -> Option<Self> {
        let name = if place.exact {
            uri.rsplit(|byte| *byte == b'/').next().filter(|name| !name.is_empty())?
        } else {
            let rest = uri.strip_prefix(place.location)?;
            match rest {
                b"" => rest,
                rest if place.location.ends_with(b"/") => rest,
                rest => rest.strip_prefix(b"/")?,
            }
        };
        match name {
            b"" => Some(Self::Dashboard),
            b"dashboard.js" if !place.exact => Some(Self::Script),
            b"dashboard.css" if !place.exact => Some(Self::Style),
            b"apps" => Some(Self::Apps),
            b"metrics" => Some(Self::Metrics),
            b"status" => Some(Self::Status),
            b"enable" => Some(Self::Enable),
            b"disable" => Some(Self::Disable),
            b"stop" => Some(Self::Stop),
            _ => None,
        }
    }

    /// Whether it changes anything.
    pub fn changes(self) -> bool {
        matches!(self, Self::Enable | Self::Disable | Self::Stop)
    }

    /// The methods that are allowed for it, as the header Allow says them.
    pub fn methods(self, changes: Changes) -> &'static str {
        match (self.changes(), changes) {
            (false, _) => "GET, HEAD",
            (true, Changes::ByGetOrPost) => "GET, POST",
            (true, Changes::ByPost) => "POST",
        }
    }

    /// Whether this method is allowed for it.
    pub fn allows(self, method: Method, changes: Changes) -> bool {
        match method {
            Method::Get => !self.changes() || changes == Changes::ByGetOrPost,
            Method::Head => !self.changes(),
            Method::Post => self.changes(),
            Method::Other => false,
        }
    }

    /// The command, with these parameters. `lease` is that of an `enable` that names none.
    pub fn command<'a>(
        self,
        said: Said<'a>,
        lease: Option<Msec>,
    ) -> Result<Asked, BadParameter<'a>> {
        let mut parameters = Parameters::default();
        for (name, value) in said.parameters() {
            parameters.take(self, name, value).map_err(|fault| BadParameter { name, fault })?;
        }
        let Parameters { app, id, new, reason, spread, concurrency, wait, keep, .. } = parameters;
        let by = parameters.by.filter(|by| !by.is_empty());
        let which = match (id, new) {
            (Some(_), Some(())) => {
                return Err(BadParameter { name: b"new", fault: Fault::AlsoId });
            }
            (Some(id), None) => Expected::This(id),
            (None, Some(())) => Expected::New,
            (None, None) => Expected::Any,
        };
        let args = PauseArgs { which, by, reason, lease: parameters.lease };
        let command = match self {
            Self::Status => Command::Status,
            Self::Enable => Command::Enable(args, patience(wait, keep, args.lease.or(lease))?),
            Self::Disable => {
                Command::Disable { which, by, pace: PaceChange { spread, concurrency }, wait }
            }
            Self::Stop => Command::Stop(args),
            Self::Apps => Command::Apps,
            Self::Metrics => Command::Metrics,
            Self::Dashboard => Command::Dashboard,
            Self::Script => Command::Script,
            Self::Style => Command::Style,
        };
        Ok(Asked { app, command })
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

/// How the answer to a request is to be written: what `format` says, else what the lines of the
/// header Accept like better. Those who read the metrics or the dashboard do not mean that by it.
pub fn format<'a>(
    verb: Option<Verb>,
    said: Said<'_>,
    accept: impl Iterator<Item = &'a [u8]>,
) -> Format {
    let asked =
        |word: &[u8]| said.parameters().any(|(name, value)| name == b"format" && value.is(word));
    let looks = !matches!(verb, Some(Verb::Metrics | Verb::Dashboard | Verb::Script | Verb::Style));
    if asked(b"json") || (!asked(b"text") && looks && likes_json(accept)) {
        Format::Json
    } else {
        Format::Text
    }
}

/// Whether more is said than how the answer is to be written: then it says more, too.
pub fn says_more(said: Said<'_>) -> bool {
    said.parameters().any(|(name, _)| name != b"format")
}

#[derive(Default)]
struct Parameters {
    format: Option<()>,
    app: Option<AppName>,
    id: Option<PauseId>,
    new: Option<()>,
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
            (b"new", Verb::Enable) if value.is(b"1") => once(&mut self.new, ()),
            (b"new", Verb::Enable) => Err(Fault::NotOne),
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

fn time(value: Value<'_>, fault: Fault) -> Result<Msec, Fault> {
    let text = short(value, fault)?;
    MaxTime::parse(text.as_bytes()).map(MaxTime::msec).map_err(|_| fault)
}

fn above_zero(value: Value<'_>) -> Result<Msec, Fault> {
    let time = time(value, Fault::NotAboveZero)?;
    Some(time).filter(|time| *time > Msec(0)).ok_or(Fault::NotAboveZero)
}

/// What is longer has this fault.
fn short(value: Value<'_>, fault: Fault) -> Result<Text<64>, Fault> {
    value.decode().map_err(|malformed| match malformed {
        Malformed::NotPercentEncoded => Fault::NotPercentEncoded,
        Malformed::TooLong(_) => fault,
    })
}

#[cfg(test)]
mod tests;
