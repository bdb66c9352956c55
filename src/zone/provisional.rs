//! Provisional pauses: a caller waits for quiet, and the pause is rolled back if that comes too late.
#![forbid(unsafe_code)]

use core::iter::successors;

use super::{Paused, Zone};
use crate::ids::{AppId, WaitId};
use crate::shared::app::State;
use crate::shared::terms::PauseRequest;
use crate::shared::waiters::{Wait, WaitFor, Waiter};
use crate::time::{Msec, Now};

impl Zone<'_> {
    pub(super) fn enable_provisionally(
        &mut self,
        id: AppId,
        wait: WaitId,
        waiter: Waiter,
    ) -> Paused {
        let (now, epoch) = (self.now, self.coming_epoch());
        let request = self.with_number(id, waiter.request);
        let Some(app) = self.apps.get_mut(id.index()) else { return Paused::Unchanged };
        app.save_before();
        let done = if app.state() != State::Paused {
            app.enable(&request, now, epoch);
            Paused::Begun(app.pause())
        } else if app.change(&request, now) {
            Paused::Changed(app.pause())
        } else {
            Paused::Unchanged
        };
        // If the worker dies before this, the repair brings back the state before.
        self.begin_wait(wait, WaitFor::Provisional, waiter);
        self.dismiss_waiters(id, State::Paused);
        self.pause_changed(id);
        done
    }

    /// A pause that was requested at `at` has been answered: it can no longer be rolled back,
    /// whatever other waiting callers do. Returns whether anything changed.
    pub(super) fn commit(&mut self, id: AppId, request: &PauseRequest, at: Now) -> bool {
        let Some(app) = self.apps.get_mut(id.index()) else { return false };
        app.commit(request, at);
        let earlier = |entry: &&mut Wait| {
            let waiter = entry.get().filter(|_| request.reason.is_some());
            waiter.is_some_and(|(_, one)| one.app == id && one.since.monotonic <= at.monotonic)
        };
        self.waits.iter_mut().filter(earlier).for_each(Wait::drop_reason);
        self.recompute_pause(id)
    }

    /// Recomputes the pause: the state before it, plus what the callers that still wait asked for.
    /// With none left, the result is final. Returns whether anything changed.
    pub(super) fn recompute_pause(&mut self, id: AppId) -> bool {
        let (now, epoch) = (self.now, self.coming_epoch());
        let Some(app) = self.apps.get_mut(id.index()).filter(|app| app.is_provisional()) else {
            return false;
        };
        let changed = app.recompute_pause(requests(self.waits, id), now, epoch);
        let state = app.state();
        if requests(self.waits, id).next().is_none() {
            app.drop_before();
        }
        if changed {
            self.dismiss_waiters(id, state);
        }
        changed
    }
}

/// What the callers with a provisional pause of an app asked for, and when, the earliest first.
pub(super) fn requests(
    waits: &[Wait],
    app: AppId,
) -> impl Iterator<Item = (PauseRequest, Now)> + '_ {
    // The table is not in order, and there is no memory to sort it in: each step looks for the next.
    let next = move |last: Option<(Msec, usize)>| {
        let waiters = waits.iter().enumerate().filter_map(|(at, entry)| Some((at, entry.get()?)));
        let provisional = waiters.filter(move |(_, (wait_for, waiter))| {
            *wait_for == WaitFor::Provisional && waiter.app == app
        });
        let ordered = provisional.map(|(at, (_, waiter))| ((waiter.since.monotonic, at), waiter));
        ordered.filter(move |(order, _)| Some(*order) > last).min_by_key(|(order, _)| *order)
    };
    let all = successors(next(None), move |(order, _)| next(Some(*order)));
    all.map(|(_, waiter)| (waiter.request, waiter.since))
}
