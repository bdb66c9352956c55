//! Why a control request did not succeed: the status and the text of each such answer.
#![forbid(unsafe_code)]

use core::fmt;

use crate::control::command::BadParameter;
use crate::control::form::BadBody;
use crate::control::origin;
use crate::control::standing::Standing;
use crate::control::status::Status;
use crate::shared::given_up::Abandoned;
use crate::shared::word::Word;
use crate::text::TooLong;
use crate::zone::{Refusal, Remaining};

/// Why a control request did not succeed. The Display is the answer's text without its last
/// newline.
#[derive(Clone, Copy, Debug)]
pub enum Error<'a> {
    /// The place is no control endpoint.
    NoEndpoint,
    NoVerb,
    /// The endpoint does not control this app.
    NoApp,
    /// The methods that are allowed, as the header Allow has them.
    Method(&'static str),
    Subrequest,
    Browser(origin::BrowserRefused),
    Parameter(BadParameter<'a>),
    /// The endpoint's own `$app_name` is too long.
    AppName(TooLong),
    Body(BadBody),
    /// With the app as it is.
    Refused(Refusal, &'a Status),
    /// The worker has no entry in the zone.
    CannotWait,
    /// With the app after the wait.
    TimedOut(Remaining, &'a Status),
    /// With the app after the rollback.
    RolledBack(Remaining, &'a Status),
    /// The pause or drain that the caller waited for changed or ended. With the app as it is.
    Superseded(&'a Status),
}

impl Error<'_> {
    /// The answer's status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Parameter(_) | Self::AppName(_) => 400,
            Self::Subrequest | Self::Browser(_) => 403,
            Self::NoEndpoint | Self::NoVerb | Self::NoApp => 404,
            Self::Method(_) => 405,
            Self::Body(bad) => bad.status(),
            Self::Superseded(_) => 409,
            Self::Refused(
                Refusal::OtherPause | Refusal::Stopped | Refusal::NotOpen | Refusal::Fenced,
                _,
            ) => 409,
            Self::Refused(Refusal::Over, _) => 410,
            Self::Refused(Refusal::Full | Refusal::TooManyWait | Refusal::Retired, _) => 503,
            Self::CannotWait => 503,
            Self::TimedOut(..) | Self::RolledBack(..) => 504,
        }
    }

    /// The value of the header Allow, if the answer has one.
    pub fn allow(&self) -> Option<&'static str> {
        match self {
            Self::Method(methods) => Some(methods),
            _ => None,
        }
    }
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str("this place is no control endpoint"),
            Self::NoVerb => {
                f.write_str("no such verb: use status, enable, disable, stop, apps or metrics")
            }
            Self::NoApp => f.write_str(
                "this endpoint does not control that app: add it to \"apps=\" of \
                 \"intermission_control\"",
            ),
            Self::Method(methods) if methods.contains(',') => {
                write!(f, "the method must be one of {methods}")
            }
            Self::Method(method) => write!(f, "the method must be {method}"),
            Self::Subrequest => {
                f.write_str("a subrequest changes nothing: send the request directly")
            }
            Self::Browser(refused) => refused.fmt(f),
            Self::Parameter(bad) => bad.fmt(f),
            Self::AppName(long) => write!(f, "\"$app_name\" {long}"),
            Self::Body(bad) => bad.fmt(f),
            Self::Refused(refusal, app) => self::refused(f, *refusal, app),
            Self::CannotWait => f.write_str(
                "this request cannot wait, because the worker table is full: repeat it without \
                 \"wait=\", or increase \"intermission_zone\"",
            ),
            Self::TimedOut(remaining, app) => {
                write!(f, "{remaining}")?;
                unfinished(f, *remaining, app)
            }
            Self::RolledBack(remaining, app) => {
                let state = app.state.after_rollback();
                write!(f, "{remaining}: this call was rolled back, the app is {state}")?;
                unfinished(f, *remaining, app)
            }
            Self::Superseded(app) => {
                let standing = Standing(app);
                write!(
                    f,
                    "another call, or the lease, changed or ended the pause or drain while this \
                     call waited: {standing}"
                )
            }
        }
    }
}

fn refused(f: &mut fmt::Formatter<'_>, refusal: Refusal, app: &Status) -> fmt::Result {
    let standing = Standing(app);
    match refusal {
        Refusal::OtherPause => write!(f, "the pause with this \"id\" is not active: {standing}"),
        Refusal::Stopped => write!(f, "the pause with this \"id\" is a stop now: {standing}"),
        Refusal::NotOpen if app.state == Word::Draining => {
            write!(f, "the app still drains: {standing}")
        }
        Refusal::NotOpen => write!(f, "the app is not open: {standing}"),
        Refusal::Fenced => write!(
            f,
            "an earlier call had a greater token: {}, so nothing was changed; {standing}",
            app.token.0
        ),
        Refusal::Over => write!(f, "{standing}; nothing was changed"),
        Refusal::Full => f.write_str(
            "the table of apps is full, and all its apps are in use: increase \
             \"intermission_zone\"",
        ),
        Refusal::TooManyWait => f.write_str(
            "too many callers wait already: repeat the request later, or without \"wait=\"",
        ),
        Refusal::Retired => f.write_str("nginx is being reloaded: repeat the request"),
    }
}

/// If requests are in flight: a line for each of the oldest, and one for those that were given up.
fn unfinished(f: &mut fmt::Formatter<'_>, remaining: Remaining, app: &Status) -> fmt::Result {
    if !matches!(remaining, Remaining::InFlight(_)) {
        return Ok(());
    }
    app.oldest_in_flight.iter().try_for_each(|one| write!(f, "\n{one}"))?;
    Abandoned::new(app.abandoned).iter().try_for_each(|some| write!(f, "\n{some}"))
}

/// What the caller waited for and did not get: the beginning of a sentence.
impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight(1) => f.write_str("1 request is still in flight"),
            Self::InFlight(count) => write!(f, "{count} requests are still in flight"),
            Self::Silent(1) => f.write_str("1 worker has not reported its requests in flight yet"),
            Self::Silent(count) => {
                write!(f, "{count} workers have not reported their requests in flight yet")
            }
            Self::Held(0) => f.write_str(
                "no request is held any more, but the last one is delayed on its way to the app",
            ),
            Self::Held(1) => f.write_str("1 request is still held"),
            Self::Held(count) => write!(f, "{count} requests are still held"),
        }
    }
}

#[cfg(test)]
mod tests;
