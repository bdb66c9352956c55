//! Lines about an app's requests.
#![forbid(unsafe_code)]

use core::fmt;

use super::{Event, Level};
use crate::ids::Ticket;
use crate::shared::app::Unreported;
use crate::shared::room::Lack;
use crate::text::Counted;

/// What happened to requests of an app. Each request is counted in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEvent {
    /// A request was held; `ahead` is how many requests are before it in line.
    Held {
        ticket: Ticket,
        ahead: u32,
    },
    /// `lack` is what the last of them found too little of.
    Rejected {
        count: u32,
        lack: Lack,
    },
    /// They were answered.
    Expired {
        count: u32,
    },
    /// They were passed on.
    ExpiredToApp {
        count: u32,
    },
    ReleasedFailed {
        count: u32,
    },
    BypassedFailed {
        count: u32,
    },
    MoreRejected {
        count: u32,
    },
    MoreExpired {
        count: u32,
    },
    MoreBypassedFailed {
        count: u32,
    },
}

impl RequestEvent {
    /// The lines about requests that no line has counted yet.
    pub fn rest(unreported: Unreported) -> impl Iterator<Item = Self> {
        let Unreported { rejected, expired, failed } = unreported;
        let lines = [
            (rejected, Self::MoreRejected { count: rejected }),
            (expired, Self::MoreExpired { count: expired }),
            (failed, Self::MoreBypassedFailed { count: failed }),
        ];
        lines.into_iter().filter(|(count, _)| *count > 0).map(|(_, line)| line)
    }
}

impl Event for RequestEvent {
    fn level(&self) -> Level {
        match self {
            Self::Held { .. } => Level::Info,
            _ => Level::Warn,
        }
    }
}

impl fmt::Display for RequestEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { ticket, ahead } => {
                write!(f, "held, ticket {}, {ahead} ahead", ticket.0)
            }
            Self::Rejected { count, lack } => {
                let rejected = Counted(*count, "request");
                write!(f, "no room: {rejected} rejected, the last one because of {lack}")
            }
            Self::Expired { count } => write!(f, "{} expired", Counted(*count, "request")),
            Self::ExpiredToApp { count } => {
                let expired = Counted(*count, "expired request");
                write!(f, "nginx passed {expired} on to the app, although it is paused")
            }
            Self::ReleasedFailed { count } => write!(
                f,
                "nginx answered {} with 502, 503 or 504: it did not reach the app, or the app did \
                 not answer in time",
                Counted(*count, "released request")
            ),
            Self::BypassedFailed { count } => write!(
                f,
                "nginx answered {} with 502, 503 or 504 while the app was not open: it may keep \
                 the app's servers out of service (\"max_fails\") for some time after they are \
                 back; see \"intermission_health_check\"",
                Counted(*count, "bypassed request")
            ),
            Self::MoreRejected { count } => {
                write!(f, "{} rejected", Counted(*count, "more request"))
            }
            Self::MoreExpired { count } => write!(f, "{} expired", Counted(*count, "more request")),
            Self::MoreBypassedFailed { count } => {
                let bypassed = Counted(*count, "more bypassed request");
                write!(f, "nginx answered {bypassed} with 502, 503 or 504")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_request_has_a_line_with_its_ticket_at_info() {
        let held = RequestEvent::Held { ticket: Ticket(7), ahead: 2 };
        assert_eq!(held.to_string(), "held, ticket 7, 2 ahead");
        assert_eq!(held.level(), Level::Info);
    }

    #[test]
    fn failed_requests_are_counted_at_warn() {
        let lines = [
            (
                RequestEvent::Rejected { count: 20, lack: Lack::Connections },
                "no room: 20 requests rejected, the last one because of worker_connections",
            ),
            (RequestEvent::Expired { count: 3 }, "3 requests expired"),
            (
                RequestEvent::ExpiredToApp { count: 3 },
                "nginx passed 3 expired requests on to the app, although it is paused",
            ),
            (
                RequestEvent::ReleasedFailed { count: 2 },
                "nginx answered 2 released requests with 502, 503 or 504: it did not reach the \
                 app, or the app did not answer in time",
            ),
            (
                RequestEvent::BypassedFailed { count: 12 },
                "nginx answered 12 bypassed requests with 502, 503 or 504 while the app was not \
                 open: it may keep the app's servers out of service (\"max_fails\") for some time \
                 after they are back; see \"intermission_health_check\"",
            ),
        ];
        for (line, text) in lines {
            assert_eq!((line.to_string().as_str(), line.level()), (text, Level::Warn));
        }
    }

    #[test]
    fn requests_that_no_line_has_named_have_a_line_for_each_kind() {
        let unreported = Unreported { rejected: 4, expired: 0, failed: 2 };
        let lines: Vec<_> = RequestEvent::rest(unreported).map(|line| line.to_string()).collect();
        assert_eq!(
            lines,
            [
                "4 more requests rejected",
                "nginx answered 2 more bypassed requests with 502, 503 or 504"
            ]
        );
        let one = Unreported { rejected: 0, expired: 1, failed: 0 };
        let lines: Vec<_> = RequestEvent::rest(one).map(|line| line.to_string()).collect();
        assert_eq!(lines, ["1 more request expired"]);
    }
}
