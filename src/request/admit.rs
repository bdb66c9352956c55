//! Requests that no pause holds: health checks and privileged clients.
#![forbid(unsafe_code)]

use crate::request::agent;

/// This path is always a health check, unless they are off.
const UP: &[u8] = b"/up";

/// What the operator set for a request; empty if unset.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// `$intermission_health_check_path`. With `off` nothing is a health check, not even `/up`.
    pub health_check_path: &'a [u8],
    /// `$intermission_privileged_user_agent`
    pub privileged_user_agent: &'a [u8],
}

/// What a request says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// Whether its method is GET or HEAD.
    pub only_reads: bool,
    /// The path: decoded, without arguments.
    pub uri: &'a [u8],
    /// Empty if it has none.
    pub user_agent: &'a [u8],
}

/// Whether a pause holds a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is held.
    Usual,
    /// It is a health check, and never held.
    HealthCheck,
    /// Its client is privileged, and it is never held.
    Privileged,
    /// It is held: to compare its User-Agent with the pattern would take too long.
    Undecided,
}

pub fn admit(rules: Rules<'_>, visit: Visit<'_>) -> Admission {
    if visit.only_reads && is_health_check(rules.health_check_path, visit.uri) {
        return Admission::HealthCheck;
    }
    match agent::privileged(rules.privileged_user_agent, visit.user_agent) {
        agent::Match::Yes => Admission::Privileged,
        agent::Match::No => Admission::Usual,
        agent::Match::TooCostly => Admission::Undecided,
    }
}

fn is_health_check(path: &[u8], uri: &[u8]) -> bool {
    match path {
        b"off" => false,
        b"" => uri == UP,
        path => uri == UP || uri == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules<'_> =
        Rules { health_check_path: b"/up/database", privileged_user_agent: b"Pingdom" };

    fn get<'a>(uri: &'a [u8], user_agent: &'a [u8]) -> Visit<'a> {
        Visit { only_reads: true, uri, user_agent }
    }

    #[test]
    fn a_method_that_changes_something_is_no_health_check() {
        for uri in [&b"/up"[..], b"/up/database"] {
            let post = Visit { only_reads: false, ..get(uri, b"") };
            assert_eq!(admit(RULES, post), Admission::Usual);
            let pingdom = Visit { user_agent: b"Pingdom", ..post };
            assert_eq!(admit(RULES, pingdom), Admission::Privileged);
        }
    }

    #[test]
    fn with_off_nothing_is_a_health_check() {
        let off = Rules { health_check_path: b"off", ..RULES };
        for uri in [&b"/up"[..], b"off", b"/off", b""] {
            assert_eq!(admit(off, get(uri, b"")), Admission::Usual);
        }
    }

    #[test]
    fn only_the_paths_of_health_checks_bypass() {
        assert_eq!(admit(RULES, get(b"/up", b"")), Admission::HealthCheck);
        assert_eq!(admit(RULES, get(b"/up/database", b"")), Admission::HealthCheck);
        assert_eq!(admit(RULES, get(b"/up/", b"")), Admission::Usual);
        assert_eq!(admit(RULES, get(b"/update", b"")), Admission::Usual);
    }

    #[test]
    fn without_a_pattern_no_request_is_privileged() {
        let none = Rules { health_check_path: b"", privileged_user_agent: b"" };
        assert_eq!(admit(none, get(b"/", b"Pingdom")), Admission::Usual);
        assert_eq!(admit(none, get(b"", b"")), Admission::Usual);
        assert_eq!(admit(RULES, get(b"/", b"Pingdom.com_bot")), Admission::Privileged);
    }
}
