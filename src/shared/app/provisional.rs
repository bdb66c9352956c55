//! A pause that may yet be taken back.
#![forbid(unsafe_code)]

use super::{App, Ender, StateRepr};
use crate::flag::Flag;
use crate::ids::{Epoch, PauseId};
use crate::shared::terms::{PauseRequest, Terms};
use crate::sync::crash_point;
use crate::time::Now;

/// What an app goes back to where a change of it comes to nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// Whether there is such a thing: somebody waits who may yet take his pause back.
    used: Flag,
    code: StateRepr,
    terms: Terms,
}

impl Before {
    /// Nobody waits.
    pub(super) const NONE: Self =
        Self { used: Flag::OFF, code: StateRepr::Open, terms: Terms::NONE };

    /// With a pause on top of it that was asked for at this time.
    fn with(self, request: &PauseRequest, at: Now) -> Self {
        let terms = match self.code {
            StateRepr::Paused | StateRepr::Stopped => self.terms.changed(request, at),
            StateRepr::Open | StateRepr::Draining => Terms::of(request, at),
        };
        Self { code: StateRepr::Paused, terms, ..self }
    }
}

impl App {
    /// Whether the pause under way, or a change of it, may yet be taken back.
    pub fn is_provisional(&self) -> bool {
        self.before.used.is_on()
    }

    /// Something changes that may yet be taken back: by whoever waits, or because the worker dies
    /// that changes it. What there was before is kept.
    pub fn save_before(&mut self) {
        if !self.is_provisional() {
            let terms = Terms { pace: self.pace(), ..self.terms };
            self.before = Before { used: Flag::OFF, code: self.code, terms };
            crash_point();
            self.before.used = Flag::ON;
            crash_point();
        }
    }

    /// A pause was answered that began, or changed what there was, at this time: it stays.
    pub fn commit(&mut self, request: &PauseRequest, at: Now) {
        let Before { code, terms, .. } = self.before.with(request, at);
        self.before.terms = terms;
        crash_point();
        self.before.code = code;
        crash_point();
    }

    /// Nobody may take anything back any more.
    pub fn drop_before(&mut self) {
        self.before.used = Flag::OFF;
        crash_point();
    }

    /// Becomes what there was before with `asked` on top of it: by those who still wait, the
    /// earliest first. Where that is no pause, the one under way ends. Returns whether anything
    /// changed.
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

    /// As it is without those who may yet take their pause back.
    pub fn without_provisional(&self) -> Self {
        match self.is_provisional() {
            true => Self { code: self.before.code, terms: self.before.terms, ..*self },
            false => *self,
        }
    }

    /// A pause was taken back, which is to be told.
    pub fn set_rolled_back(&mut self) {
        self.rolled_back = Flag::ON;
    }

    /// The pause that was taken back, once.
    pub fn take_rolled_back(&mut self) -> Option<PauseId> {
        let due = self.rolled_back.take();
        due.then_some(self.pause)
    }
}
