//! Which question a caller has for etcd.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::talk::Ask;
use super::{Caller, Stage};
use crate::values::{Millis, Pause, Stage as Asked, VERSION};

impl Caller {
    /// The question that is due now.
    pub(super) fn ask(&mut self, now: Duration) -> Option<Ask> {
        if self.stage == Stage::Finished || now < self.again_at {
            return None;
        }
        if self.stage == Stage::Closing {
            return self.closing_ask(now);
        }
        let Some(lease) = self.lease else { return Some(Ask::Grant(self.terms.hold)) };
        let Some(token) = self.token else {
            // A repeat is the same beat: if an earlier one was carried out, that one counts.
            if self.beat == 0 {
                self.beat = 1;
                self.sure.beats(1, now);
                self.beat_at = now.saturating_add(self.terms.hold / 4);
            }
            return Some(Ask::Create { lease, pause: self.pause(Asked::Hold) });
        };
        // A pause that is gone is not renewed.
        let is_gone = self.is_gone();
        let beat = self.modified.filter(|_| now >= self.beat_at && !is_gone);
        if let Some(modified) = beat {
            self.beat += 1;
            self.sure.beats(self.beat, now);
            self.beat_at = now.saturating_add(self.terms.hold / 4);
            return Some(Ask::Write { token, modified, lease, pause: self.pause(Asked::Hold) });
        }
        if now >= self.keep_at && !is_gone {
            return Some(Ask::KeepAlive(lease));
        }
        let is_due = now >= self.read_at || (self.modified.is_none() && !is_gone);
        is_due.then_some(Ask::Read)
    }

    pub(super) fn pause(&self, stage: Asked) -> Pause {
        let hosts = u32::try_from(self.sure.hosts().max(1)).unwrap_or(u32::MAX);
        Pause {
            v: VERSION,
            by: self.terms.by.clone(),
            reason: self.terms.reason.clone(),
            beat: self.beat,
            hold: Millis::of(self.terms.hold),
            wait: Millis::of(self.terms.wait),
            stage,
            spread: self.terms.spread.map(Millis::of),
            concurrency: self.terms.concurrency.map(|all| match all {
                0 => 0,
                all => (all / hosts).max(1),
            }),
        }
    }
}
