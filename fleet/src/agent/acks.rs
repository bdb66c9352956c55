//! What etcd is told of an app at this host.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::local::Local;
use super::view::Seen;
use super::want::Want;
use crate::keys::Token;
use crate::values::{Ack, AckState, Millis, VERSION};

impl Local {
    /// What etcd is to be told, if that differs from what it was told.
    pub(super) fn ack(&self, now: Duration, seen: Option<&Seen>) -> Option<(Token, Ack)> {
        let (token, ack) = self.now(now, seen)?;
        let is_told = self.acked.as_ref().is_some_and(|(acked, told)| {
            let same = |a: &Ack| (a.state, a.beat, a.pause, a.why.clone());
            *acked == token && same(told) == same(&ack)
        });
        (!is_told).then_some((token, ack))
    }

    pub(super) fn acked(&mut self, token: Token, ack: Ack) {
        self.acked = Some((token, ack));
    }

    fn now(&self, now: Duration, seen: Option<&Seen>) -> Option<(Token, Ack)> {
        let (held, in_flight) = self.known.as_ref().map_or((0, 0), |one| (one.held, one.in_flight));
        let blank = |state, why| Ack {
            v: VERSION,
            state,
            beat: 0,
            remaining: Millis(0),
            pause: 0,
            held,
            in_flight,
            why,
        };
        let told = |token| self.acked.as_ref().is_some_and(|(acked, _)| *acked == token);
        match Want::of(seen) {
            Want::Hold(token, pause, _) => {
                let failed = self.failed.as_ref().filter(|failed| failed.token == token);
                let hold = self.hold.filter(|hold| hold.token == token && hold.beat > 0);
                if let Some(failed) = failed {
                    return Some((token, blank(AckState::Failed, Some(failed.why.clone()))));
                }
                let Some(hold) = hold else {
                    let is_open = self.hold.is_none() && self.known.is_some() && told(token);
                    return is_open.then(|| (token, blank(AckState::Open, None)));
                };
                let remaining = hold.until.saturating_sub(now);
                // The first one promises a time that the caller counts on before it sees the ack.
                if !told(token) && remaining < pause.hold.time() / 2 {
                    return None;
                }
                let state = if hold.is_quiet { AckState::Quiet } else { AckState::Holding };
                let (beat, remaining) = (hold.beat, Millis::of(remaining));
                Some((token, Ack { beat, remaining, pause: hold.pause, ..blank(state, None) }))
            }
            Want::Stop(token, _) => {
                self.is_stopped(token).then(|| (token, blank(AckState::Stopped, None)))
            }
            Want::Release(token, _) => {
                let is_over = self.hold.is_none() && self.known.is_some();
                is_over.then(|| (token, blank(AckState::Open, None)))
            }
            Want::Nothing | Want::Unknown => None,
        }
    }
}
