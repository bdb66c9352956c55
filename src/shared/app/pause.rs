//! How a pause or a stop begins and changes.
#![forbid(unsafe_code)]

use super::{App, StateRepr};
use crate::ids::{Epoch, PauseId};
use crate::shared::terms::{PauseRequest, Terms};
use crate::sync::crash_point;
use crate::time::Now;

impl App {
    /// Begins a pause, or turns a stop back into a pause. Held requests keep their places.
    pub fn enable(&mut self, request: &PauseRequest, now: Now, epoch: Epoch) {
        if self.is_paused_or_stopped() {
            self.terms = self.terms.changed(request, now);
        } else {
            self.begin(request.number, now);
            self.terms = Terms::of(request, now);
        }
        self.enter_state(StateRepr::Paused, now, epoch);
    }

    /// Turns away all held requests, and all that come.
    pub fn stop(&mut self, request: &PauseRequest, now: Now, epoch: Epoch) {
        if self.is_paused_or_stopped() {
            // The end of the pause is not the end of the stop.
            let until = request.end(now);
            self.terms = Terms { until, ..self.terms }.changed(request, now);
        } else {
            self.begin(request.number, now);
            self.terms = Terms::of(request, now);
        }
        self.enter_state(StateRepr::Stopped, now, epoch);
    }

    fn begin(&mut self, pause: PauseId, now: Now) {
        self.pause = pause;
        self.pauses += 1;
        self.began = now;
        self.to_app_before = self.to_app;
    }

    pub(super) fn enter_state(&mut self, code: StateRepr, now: Now, epoch: Epoch) {
        self.since = now;
        self.pause_epoch = epoch;
        crash_point();
        self.code = code;
        crash_point();
    }

    /// Changes the reason of the current pause, and its end if the new one is later. Returns whether
    /// anything changed.
    pub fn change(&mut self, request: &PauseRequest, now: Now) -> bool {
        let terms = self.terms.changed(request, now);
        let changed = terms != self.terms;
        self.terms = terms;
        changed
    }
}
