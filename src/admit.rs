//! Who goes by while an app is not open: health checks and privileged clients.
#![forbid(unsafe_code)]

use crate::agent;

/// The path that is a health check everywhere.
const UP: &[u8] = b"/up";

/// What the operator set, for one request; empty where unset.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// `$intermission_health_check_path`
    pub health_check_path: &'a [u8],
    /// `$intermission_privileged_user_agent`
    pub privileged_user_agent: &'a [u8],
}

/// Whether a request is one that no pause holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is held like any other.
    Usual,
    /// It goes by: a health check.
    HealthCheck,
    /// It goes by: its client is privileged.
    Privileged,
    /// The User-Agent was too costly to compare with the pattern: it is held.
    Undecided,
}

/// Decides on a request for `uri` (decoded, without arguments) by `user_agent`, empty if it sent
/// none.
pub fn admit(rules: Rules<'_>, uri: &[u8], user_agent: &[u8]) -> Admission {
    if uri == UP || (!uri.is_empty() && uri == rules.health_check_path) {
        return Admission::HealthCheck;
    }
    match agent::privileged(rules.privileged_user_agent, user_agent) {
        agent::Match::Yes => Admission::Privileged,
        agent::Match::No => Admission::Usual,
        agent::Match::TooCostly => Admission::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules<'_> =
        Rules { health_check_path: b"/up/database", privileged_user_agent: b"Pingdom" };

    #[test]
    fn only_the_health_checks_own_paths_go_by() {
        assert_eq!(admit(RULES, b"/up", b""), Admission::HealthCheck);
        assert_eq!(admit(RULES, b"/up/database", b""), Admission::HealthCheck);
        assert_eq!(admit(RULES, b"/up/", b""), Admission::Usual);
        assert_eq!(admit(RULES, b"/update", b""), Admission::Usual);
    }

    #[test]
    fn nobody_is_privileged_where_no_pattern_is_set() {
        let none = Rules { health_check_path: b"", privileged_user_agent: b"" };
        assert_eq!(admit(none, b"/", b"Pingdom"), Admission::Usual);
        assert_eq!(admit(none, b"", b""), Admission::Usual);
        assert_eq!(admit(RULES, b"/", b"Pingdom.com_bot"), Admission::Privileged);
    }
}
