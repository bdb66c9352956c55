//! Reads an answer. It is trusted only if it is the endpoint's own.
#![forbid(unsafe_code)]

use serde::de::DeserializeOwned;
use serde::Deserialize;

use super::answer::{Effect, Failure, Kind, Said, Status};

/// The headers that only the endpoint sends.
pub const APP_HEADER: &str = "intermission-app";
pub const PAUSE_HEADER: &str = "intermission-pause";

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Raw {
    pub status: u16,
    /// Whether it has both headers of the endpoint.
    pub is_marked: bool,
    pub media_type: String,
    /// The header Location, if there is one.
    pub location: Option<String>,
    pub body: Vec<u8>,
}

#[derive(Deserialize)]
struct ErrorText {
    error: String,
}

impl Raw {
    /// What the answer to a verb says.
    pub fn said(&self) -> Said {
        if !self.is_marked {
            return Err(self.not_ours());
        }
        if self.status == 200 {
            return self.json::<Status>().map(Box::new);
        }
        let ErrorText { error: text } = self.json()?;
        let kind = match self.status {
            403 => Kind::Denied,
            409 if text.starts_with("the app is not open")
                || text.starts_with("the app still drains") =>
            {
                Kind::NotOpen
            }
            409 if text.starts_with("another call, or the lease") => Kind::Superseded,
            409 | 410 => Kind::NotThatPause,
            503 => Kind::Later,
            504 => Kind::NotQuiet,
            _ => Kind::Refused,
        };
        Err(Failure { kind, text, effect: Effect::Nothing })
    }

    /// What the body says. If it cannot be read, the verb may have been carried out all the same.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let broken = |why: String| Failure {
            kind: Kind::NotOurs,
            text: format!("{}, but the control endpoint's answer is broken: {why}", self.status),
            effect: Effect::Unknown,
        };
        if !self.media_type.starts_with("application/json") {
            return Err(broken(format!("it is {}, not JSON", self.media_type)));
        }
        serde_json::from_slice(&self.body).map_err(|error| broken(error.to_string()))
    }

    /// The failure of an answer that is not the endpoint's. A gateway that answers 5xx may have
    /// passed the call on.
    pub fn not_ours(&self) -> Failure {
        let effect = if self.status >= 500 { Effect::Unknown } else { Effect::Nothing };
        let kind = match self.status {
            401 | 403 => Kind::Denied,
            _ => Kind::NotOurs,
        };
        let what = match (&self.location, self.media_type.as_str()) {
            (Some(location), _) => format!("{} to {location}", self.status),
            (None, "") => format!("{} without a type", self.status),
            (None, media_type) => format!("{}, {media_type}", self.status),
        };
        let text = match kind {
            Kind::Denied => format!(
                "{what}: access is denied before the request reaches the control endpoint (allow, \
                 deny, auth_basic)"
            ),
            _ => format!("{what}: this is not the control endpoint"),
        };
        Failure { kind, text, effect }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(status: u16, media_type: &str, body: &str) -> Raw {
        Raw {
            status,
            is_marked: true,
            media_type: media_type.to_owned(),
            location: None,
            body: body.as_bytes().to_vec(),
        }
    }

    fn kind(raw: &Raw) -> (Kind, Effect) {
        let failure = raw.said().unwrap_err();
        (failure.kind, failure.effect)
    }

    #[test]
    fn only_an_answer_with_the_endpoints_headers_is_trusted() {
        let own = r#"{"app":"a","state":"paused","pause":7,"held":0,"oldest_held_seconds":0,
            "in_flight":0,"room":1,"later":1}"#;
        let trusted = raw(200, "application/json", own);
        assert_eq!(trusted.said().unwrap().pause, 7);
        let other = Raw { is_marked: false, ..trusted };
        assert_eq!(kind(&other), (Kind::NotOurs, Effect::Nothing));
        let redirect = Raw { location: Some("https://x/".into()), status: 301, ..other.clone() };
        assert!(redirect.said().unwrap_err().text.starts_with("301 to https://x/"));
        let denied = Raw { status: 403, ..other.clone() };
        assert_eq!(kind(&denied), (Kind::Denied, Effect::Nothing));
        let gateway = Raw { status: 502, ..other };
        assert_eq!(kind(&gateway), (Kind::NotOurs, Effect::Unknown));
    }

    #[test]
    fn an_answer_that_is_no_json_is_not_trusted() {
        assert_eq!(kind(&raw(200, "text/html", "<html>")).0, Kind::NotOurs);
        assert_eq!(kind(&raw(200, "application/json", "{}")).0, Kind::NotOurs);
        assert_eq!(kind(&raw(409, "text/plain", "no")).0, Kind::NotOurs);
    }

    #[test]
    fn each_conflict_is_told_from_the_others() {
        let error = |status, text: &str| {
            kind(&raw(status, "application/json", &format!(r#"{{"error":"{text}"}}"#))).0
        };
        assert_eq!(error(409, "the app is not open: pause 1 …"), Kind::NotOpen);
        assert_eq!(error(409, "the app still drains: …"), Kind::NotOpen);
        assert_eq!(error(409, "another call, or the lease, changed …"), Kind::Superseded);
        assert_eq!(error(409, "the pause with this …"), Kind::NotThatPause);
        assert_eq!(error(410, "pause 1 was ended by bob"), Kind::NotThatPause);
        assert_eq!(error(503, "nginx is being reloaded"), Kind::Later);
        assert_eq!(error(504, "1 request is still in flight"), Kind::NotQuiet);
        assert_eq!(error(400, "parameter"), Kind::Refused);
    }
}
