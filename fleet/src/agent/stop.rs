//! A stop of the fleet at this host: it lasts as long as its key.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::call::{Call, What};
use super::local::{Hold, Local, Manner};
use super::names::name;
use crate::keys::Token;
use crate::values::Pause;

impl Local {
    /// What a stop needs next. It turns a pause into a stop: no request is passed on in between.
    pub(super) fn stop(&self, token: Token, pause: &Pause, manner: &Manner) -> Call {
        if self.is_stopped(token) {
            return Call::Look;
        }
        let lease = Some(pause.hold.time()).filter(|lease| !lease.is_zero());
        let by = name(&manner.fleet, token, &pause.by);
        Call::Stop { token, by, reason: pause.reason.clone(), lease }
    }

    pub(super) fn stopped(&mut self, now: Duration, token: Token, pause: u64) {
        self.hold = Some(Hold::new(token, pause, now, What::Stop));
    }

    /// Whether the app answers with 503 as this stop asks for.
    pub(super) fn is_stopped(&self, token: Token) -> bool {
        self.hold.is_some_and(|hold| (hold.token, hold.what) == (token, What::Stop))
    }
}
