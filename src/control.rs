//! From a control request's bytes to a command.
#![forbid(unsafe_code)]

use core::fmt;

use crate::ids::PauseId;
use crate::pace::Pace;
use crate::text::{AppName, Reason, Text, TooLong};
use crate::time::{MaxTime, Msec};
use crate::zone::Which;

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
}

/// A request's method, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Other,
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
    Enable(Shut, Option<Patience>),
    Disable { which: Which, pace: PaceChange, wait: Option<Msec> },
    Stop(Shut),
    Apps,
    Metrics,
    Dashboard,
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
pub struct Shut {
    pub which: Which,
    pub reason: Option<Reason>,
    /// The pause ends by itself after so long.
    pub lease: Option<Msec>,
}

impl Shut {
    /// Whether a pause that is under way already is to be changed.
    pub fn asks_for_change(&self) -> bool {
        self.reason.is_some() || self.lease.is_some()
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
    NotACount,
    NotOne,
    NotJson,
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
            Fault::NotATime => f.write_str("is not a time, or not above 0"),
            Fault::NotACount => f.write_str("is not a number"),
            Fault::NotOne => f.write_str("must be 1"),
            Fault::NotJson => f.write_str("must be json"),
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

    /// The methods by which it may be asked for, as the header Allow says them; `post` says that
    /// changes are made by POST only.
    pub fn methods(self, post: bool) -> &'static str {
        match (self.changes(), post) {
            (false, _) => "GET, HEAD",
            (true, false) => "GET, POST",
            (true, true) => "POST",
        }
    }

    /// Whether it may be asked for with this method.
    pub fn allows(self, method: Method, post: bool) -> bool {
        match method {
            Method::Get => !(self.changes() && post),
            Method::Head => !self.changes(),
            Method::Post => self.changes(),
            Method::Other => false,
        }
    }

    /// The command, with the parameters in `query`: what follows the question mark. `lease` is
    /// that of an `enable` that names none.
    pub fn command(self, query: &[u8], lease: Option<Msec>) -> Result<Asked, BadParameter<'_>> {
        let mut parameters = Parameters::default();
        for (name, value) in pairs(query) {
            parameters.take(self, name, value).map_err(|fault| BadParameter { name, fault })?;
        }
        let Parameters { app, id, new, reason, spread, concurrency, wait, keep, .. } = parameters;
        let which = match (id, new) {
            (Some(_), Some(())) => {
                return Err(BadParameter { name: b"new", fault: Fault::AlsoId });
            }
            (Some(id), None) => Which::This(id),
            (None, Some(())) => Which::New,
            (None, None) => Which::Any,
        };
        let shut = Shut { which, reason, lease: parameters.lease };
        let command = match self {
            Self::Status => Command::Status,
            Self::Enable => Command::Enable(shut, patience(wait, keep, shut.lease.or(lease))?),
            Self::Disable => {
                Command::Disable { which, pace: PaceChange { spread, concurrency }, wait }
            }
            Self::Stop => Command::Stop(shut),
            Self::Apps => Command::Apps,
            Self::Metrics => Command::Metrics,
            Self::Dashboard => Command::Dashboard,
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

/// How the answer to a request is to be written; `accept` is its header, empty if it has none.
pub fn format(query: &[u8], accept: &[u8]) -> Format {
    let asked = pairs(query).any(|pair| pair == (b"format", b"json"));
    let json = b"application/json";
    if asked || accept.windows(json.len()).any(|part| part.eq_ignore_ascii_case(json)) {
        Format::Json
    } else {
        Format::Text
    }
}

#[derive(Default)]
struct Parameters {
    format: Option<()>,
    app: Option<AppName>,
    id: Option<PauseId>,
    new: Option<()>,
    reason: Option<Reason>,
    lease: Option<Msec>,
    spread: Option<Msec>,
    concurrency: Option<u32>,
    wait: Option<Msec>,
    keep: Option<()>,
}

impl Parameters {
    fn take(&mut self, verb: Verb, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        match (name, verb) {
            (b"format", _) if value == b"json" => once(&mut self.format, ()),
            (b"format", _) => Err(Fault::NotJson),
            (b"app", Verb::Status | Verb::Enable | Verb::Disable | Verb::Stop) => {
                once(&mut self.app, decode(value)?)
            }
            (b"id", Verb::Enable | Verb::Disable | Verb::Stop) => {
                once(&mut self.id, PauseId(number(value).ok_or(Fault::NotANumber)?))
            }
            (b"new", Verb::Enable) if value == b"1" => once(&mut self.new, ()),
            (b"new", Verb::Enable) => Err(Fault::NotOne),
            (b"reason", Verb::Enable | Verb::Stop) => once(&mut self.reason, decode(value)?),
            (b"for", Verb::Enable | Verb::Stop) => once(&mut self.lease, above_zero(value)?),
            (b"wait", Verb::Enable | Verb::Disable) => once(&mut self.wait, above_zero(value)?),
            (b"keep", Verb::Enable) if value == b"1" => once(&mut self.keep, ()),
            (b"keep", Verb::Enable) => Err(Fault::NotOne),
            (b"spread", Verb::Disable) => once(&mut self.spread, time(value)?),
            (b"concurrency", Verb::Disable) => {
                once(&mut self.concurrency, number(value).ok_or(Fault::NotACount)?)
            }
            _ => Err(Fault::Unknown),
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::Repeated),
    }
}

fn number<N: core::str::FromStr>(value: &[u8]) -> Option<N> {
    let digits = core::str::from_utf8(value).ok().filter(|text| !text.starts_with('+'));
    digits?.parse().ok()
}

fn time(value: &[u8]) -> Result<Msec, Fault> {
    MaxTime::parse(value).map(MaxTime::msec).map_err(|_| Fault::NotATime)
}

fn above_zero(value: &[u8]) -> Result<Msec, Fault> {
    Some(time(value)?).filter(|time| *time > Msec(0)).ok_or(Fault::NotATime)
}

fn decode<const N: usize>(value: &[u8]) -> Result<Text<N>, Fault> {
    let mut escapes = value.split(|byte| *byte == b'%').skip(1);
    let is_hex = |part: &[u8]| part.len() >= 2 && part.iter().take(2).all(u8::is_ascii_hexdigit);
    if !escapes.all(is_hex) {
        return Err(Fault::NotPercentEncoded);
    }
    let mut text = Text::EMPTY;
    let mut bytes = percent_encoding::percent_decode(value);
    bytes.try_for_each(|byte| text.push(byte)).map_err(Fault::TooLong)?;
    Ok(text)
}

/// The parameters of a query, as they stand there; one without `=` has an empty value.
fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(location: &str, exact: bool, uri: &str) -> Option<Verb> {
        Verb::at(Place { location: location.as_bytes(), exact }, uri.as_bytes())
    }

    fn fault(verb: Verb, query: &str) -> String {
        verb.command(query.as_bytes(), Some(Msec(60_000))).unwrap_err().to_string()
    }

    #[test]
    fn the_verb_is_what_follows_the_locations_name() {
        assert_eq!(verb("/_intermission", false, "/_intermission/status"), Some(Verb::Status));
        assert_eq!(verb("/_intermission/", false, "/_intermission/enable"), Some(Verb::Enable));
        assert_eq!(verb("/", false, "/disable"), Some(Verb::Disable));
        assert_eq!(verb("/pause/enable", true, "/pause/enable"), Some(Verb::Enable));
        for uri in ["/_intermission", "/_intermission/"] {
            assert_eq!(verb("/_intermission", false, uri), Some(Verb::Dashboard));
        }
        assert_eq!(verb("/", false, "/"), Some(Verb::Dashboard));
        assert_eq!(verb("/pause/", true, "/pause/"), None, "no dashboard");
        assert_eq!(verb("/pause", true, "/pause"), None, "no dashboard");
        for uri in ["/_intermissionstatus", "/_intermission/status/", "/_intermission//status"] {
            assert_eq!(verb("/_intermission", false, uri), None, "{uri}");
        }
        assert_eq!(verb("/_intermission", false, "/_intermission/Status"), None);
    }

    #[test]
    fn parameters_become_values() {
        let command =
            |verb: Verb, query: &'static str| verb.command(query.as_bytes(), None).unwrap().command;
        let reason = Reason::new(b"db switch").ok();
        let shut = Shut { which: Which::This(PauseId(7)), reason, lease: None };
        let enable = command(Verb::Enable, "id=7&reason=db%20switch&format=json");
        assert_eq!(enable, Command::Enable(shut, None));
        let shut = Shut { which: Which::New, reason: None, lease: None };
        let patience = Some(Patience { wait: Msec(10_000), keep: true });
        let enable = command(Verb::Enable, "new=1&wait=10s&keep=1&");
        assert_eq!(enable, Command::Enable(shut, patience));
        let (which, pace, wait) = (Which::Any, PaceChange::default(), None);
        assert_eq!(command(Verb::Disable, ""), Command::Disable { which, pace, wait });
        let stop = Shut { which, reason: None, lease: Some(Msec(90_000)) };
        assert_eq!(command(Verb::Stop, "for=1m30s"), Command::Stop(stop));
        let pace = PaceChange { spread: Some(Msec(500)), concurrency: Some(0) };
        let disable = command(Verb::Disable, "spread=0.5&concurrency=0&wait=2");
        assert_eq!(disable, Command::Disable { which, pace, wait: Some(Msec(2000)) });
        assert_eq!(command(Verb::Metrics, "format=json"), Command::Metrics);
    }

    #[test]
    fn an_app_is_named_by_its_bytes() {
        let asked = Verb::Status.command(b"app=a%20b%FF%00", None).unwrap();
        assert_eq!(asked.app, AppName::new(b"a b\xff\0").ok());
        assert_eq!(Verb::Status.command(b"app=", None).unwrap().app, Some(AppName::EMPTY));
        assert_eq!(Verb::Status.command(b"", None).unwrap().app, None);
    }

    #[test]
    fn what_only_reads_is_read_by_get_and_what_changes_is_posted() {
        for verb in [Verb::Status, Verb::Apps, Verb::Metrics, Verb::Dashboard] {
            assert!(verb.allows(Method::Get, true) && verb.allows(Method::Head, true));
            assert!(!verb.allows(Method::Post, false));
            assert_eq!(verb.methods(true), "GET, HEAD");
        }
        for verb in [Verb::Enable, Verb::Disable, Verb::Stop] {
            assert!(verb.allows(Method::Post, true) && !verb.allows(Method::Get, true));
            assert!(verb.allows(Method::Get, false) && !verb.allows(Method::Head, false));
            assert_eq!((verb.methods(false), verb.methods(true)), ("GET, POST", "POST"));
        }
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        let says = |verb, query, part: &str| {
            let text = fault(verb, query);
            assert!(text.contains(part), "{query}: {text}");
        };
        says(Verb::Enable, "wiat=3s", "\"wiat\" is unknown");
        says(Verb::Disable, "reason=x", "\"reason\" is unknown");
        says(Verb::Enable, "reason=a&reason=b", "\"reason\" is given twice");
        says(Verb::Enable, "id=+1", "\"id\" is not a pause's number");
        says(Verb::Enable, "id=", "\"id\" is not a pause's number");
        says(Verb::Enable, "id=99999999999999999999", "\"id\" is not");
        says(Verb::Enable, "for=soon", "\"for\" is not a time");
        says(Verb::Stop, "for=0", "\"for\" is not a time, or not above 0");
        says(Verb::Stop, "new=1", "\"new\" is unknown");
        says(Verb::Disable, "for=1s", "\"for\" is unknown");
        says(Verb::Disable, "concurrency=-1", "\"concurrency\" is not a number");
        says(Verb::Disable, "spread=x", "\"spread\" is not a time");
        says(Verb::Enable, "new=2", "\"new\" must be 1");
        says(Verb::Enable, "keep=1", "\"keep\" means nothing without \"wait\"");
        says(Verb::Enable, "wait=5&keep=yes", "\"keep\" must be 1");
        says(Verb::Enable, "wait=5&for=5", "\"wait\" is not below the pause's lease");
        says(Verb::Enable, "wait=60", "\"wait\" is not below the pause's lease");
        says(Verb::Enable, "wait=0", "\"wait\" is not a time, or not above 0");
        says(Verb::Disable, "wait=x", "\"wait\" is not a time");
        says(Verb::Disable, "keep=1", "\"keep\" is unknown");
        says(Verb::Stop, "wait=1", "\"wait\" is unknown");
        says(Verb::Metrics, "app=a", "\"app\" is unknown");
        let long = format!("app={}", "x".repeat(129));
        says(Verb::Enable, &long, "longer than 128 bytes");
        says(Verb::Enable, "id=1&new=1", "\"new\" contradicts \"id\"");
        says(Verb::Enable, "reason=%zz", "\"reason\" is not percent-encoded");
        says(Verb::Enable, "reason=100%", "\"reason\" is not percent-encoded");
        says(Verb::Status, "format=xml", "\"format\" must be json");
        says(Verb::Status, "%22%0a", "\"%22%0a\" is unknown");
        let long = format!("reason={}", "x".repeat(257));
        says(Verb::Enable, &long, "longer than 256 bytes");
        assert!(fault(Verb::Enable, &"y".repeat(8192)).len() < 200);
    }

    #[test]
    fn json_is_asked_for_by_parameter_or_header() {
        assert_eq!(format(b"a=b&format=json", b""), Format::Json);
        assert_eq!(format(b"", b"text/html, application/JSON;q=0.9"), Format::Json);
        assert_eq!(format(b"format=jsonx", b"*/*"), Format::Text);
    }

    proptest::proptest! {
        #[test]
        fn no_query_panics(query: Vec<u8>, uri: Vec<u8>) {
            let _ = Verb::Enable.command(&query, None).map_err(|bad| bad.to_string());
            let _ = Verb::at(Place { location: b"/", exact: false }, &uri);
        }
    }
}
