//! A provisional pause: one that may still be rolled back.
#![forbid(unsafe_code)]

use super::{App, Ender, StateRepr};
use crate::flag::Flag;
use crate::ids::{Epoch, PauseId};
use crate::shared::terms::{PauseRequest, Terms};
use crate::sync::crash_point;
use crate::time::Now;

/// The state of an app before a provisional pause: it returns to that if the pause is rolled back.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// Whether there is one.
    used: Flag,
    code: StateRepr,
    terms: Terms,
}

impl Before {
    pub(super) const NONE: Self =
        Self { used: Flag::OFF, code: StateRepr::Open, terms: Terms::NONE };

    /// This state with a pause on top of it, which was asked for at `at`.
    fn with(self, request: &PauseRequest, at: Now) -> Self {
        let terms = match self.code {
            StateRepr::Paused | StateRepr::Stopped => self.terms.changed(request, at),
            StateRepr::Open | StateRepr::Draining => Terms::of(request, at),
        };
        Self { code: StateRepr::Paused, terms, ..self }
    }
}

impl App {
    /// Whether the current pause, or a change of it, may still be rolled back.
    pub fn is_provisional(&self) -> bool {
        self.before.used.is_on()
    }

    /// Saves the current state, before a change that may be rolled back: by a waiting caller, or
    /// because the worker dies that makes the change.
    pub fn save_before(&mut self) {
        if !self.is_provisional() {
            let terms = Terms { pace: self.pace(), ..self.terms };
            self.before = Before { used: Flag::OFF, code: self.code, terms };
            crash_point();
            self.before.used = Flag::ON;
            crash_point();
        }
    }

    /// Makes a pause that was asked for at `at` final, by adding it to the saved state.
    pub fn commit(&mut self, request: &PauseRequest, at: Now) {
        let Before { code, terms, .. } = self.before.with(request, at);
        self.before.terms = terms;
        crash_point();
        self.before.code = code;
        crash_point();
    }

    /// Forgets the saved state: the current one is final.
    pub fn drop_before(&mut self) {
        self.before.used = Flag::OFF;
        crash_point();
    }

    /// Rebuilds the state from the saved one and what the waiting callers asked for, the earliest
    /// first. If the result is no pause, the current pause ends. Returns whether anything changed.
    pub fn recompute_pause(
        &mut self,
        asked: impl Iterator<Item = (PauseRequest, Now)>,
        now: Now,
        epoch: Epoch,
    ) -> bool {
        let on_top = |before: Before, (request, at)| before.with(&request, at);
        let Before { code, terms, .. } = asked.fold(self.before, on_top);
        match code {
            StateRepr::Open | StateRepr::Draining if !self.is_paused_or_stopped() => false,
            StateRepr::Open | StateRepr::Draining => {
                let pace = if code == StateRepr::Open { self.terms.pace } else { terms.pace };
                self.begin_drain(Ender::Rollback, pace, now);
                true
            }
            StateRepr::Paused | StateRepr::Stopped => {
                let changed = self.code != code || self.terms != terms;
                self.terms = terms;
                if self.code != code {
                    self.enter_state(code, now, epoch);
                }
                changed
            }
        }
    }

    /// The app as it would be if all provisional pauses were rolled back.
    pub fn without_provisional(&self) -> Self {
        match self.is_provisional() {
            true => Self { code: self.before.code, terms: self.before.terms, ..*self },
            false => *self,
        }
    }

    /// Notes that a pause was rolled back, for [`Self::take_rolled_back`].
    pub fn set_rolled_back(&mut self) {
        self.rolled_back = Flag::ON;
    }

    /// The pause that was rolled back, if it is not reported yet. It counts as reported from now on.
    pub fn take_rolled_back(&mut self) -> Option<PauseId> {
        let due = self.rolled_back.take();
        due.then_some(self.pause)
    }
}
