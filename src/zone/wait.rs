//! Waiting for an app to be quiet, or drained; and taking a pause back that came too late.
#![forbid(unsafe_code)]

use core::iter::successors;

use super::{Expected, Intent, Opened, Paused, Refusal, Wake, Zone};
use crate::ids::{AppId, Cookie, WaitId, WorkerId};
use crate::shared::app::State;
use crate::shared::in_flight::Counts;
use crate::shared::pace::Pace;
use crate::shared::terms::PauseRequest;
use crate::shared::waiters::{Wait, WaitFor, Waiter};
use crate::text::{Address, AppName};
use crate::time::{Msec, Now};

/// Whether a caller still has time to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    Ahead,
    Over,
}

/// What a waiting caller learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitResult {
    /// Not yet.
    Pending,
    /// What he waits for has come.
    Done,
    /// His time is over, and so much is left.
    TimedOut(Remaining),
    /// The same, and his pause was taken back.
    RolledBack(Remaining),
    /// The pause was ended, or the drain: by somebody else, or by the lease.
    Superseded,
}

/// What is left of what a caller waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    InFlight(u32),
    /// So many workers have not said what they have.
    Silent(u32),
    Held(u32),
}

impl Zone<'_> {
    /// Pauses the app `name` as [`Self::enable`] does, for a caller who is answered when nothing of
    /// it is in flight. Unless `keep` is set, the pause is taken back if that takes too long.
    pub fn enable_and_wait(
        &mut self,
        name: &AppName,
        which: Expected,
        request: PauseRequest,
        wait_for: WaitFor,
        (owner, cookie): (WorkerId, Cookie),
    ) -> Result<(Paused, WaitId), Refusal> {
        let (now, place) = (self.now, self.free_wait()?);
        let id = self.entry_to_pause(name, which)?;
        let waiter = Waiter { app: id, owner, cookie, since: now, request };
        let done = if wait_for == WaitFor::Provisional {
            self.enable_provisionally(id, place, waiter)
        } else {
            let done = self.pause_known(id, request, Intent::Change, State::Paused);
            self.begin_wait(place, wait_for, waiter);
            done
        };
        Ok((done, place))
    }

    /// Ends a pause as [`Self::disable`] does, for a caller who is answered when nobody is held any
    /// more; there is no place where that is so already.
    pub fn disable_and_wait(
        &mut self,
        name: &AppName,
        which: Expected,
        by: &Address,
        pace: impl FnOnce(Pace) -> Pace,
        (owner, cookie): (WorkerId, Cookie),
    ) -> Result<(Opened, Option<WaitId>), Refusal> {
        let place = self.free_wait()?;
        let done = self.disable(name, which, by, pace)?;
        let held = self.find(name).filter(|id| self.still_held(*id).is_some());
        if let Some(app) = held {
            let (since, request) = (self.now, PauseRequest::NONE);
            self.begin_wait(place, WaitFor::Drained, Waiter { app, owner, cookie, since, request });
        }
        Ok((done, held.map(|_| place)))
    }

    /// Whether what a caller waits for has come. After any answer but [`WaitResult::Pending`] the
    /// caller has lost its entry `place`.
    pub fn poll(
        &mut self,
        place: WaitId,
        owner: WorkerId,
        cookie: Cookie,
        deadline: Deadline,
    ) -> WaitResult {
        let Some((wait_for, waiter)) = self.waiter(place, owner, cookie) else {
            return WaitResult::Superseded;
        };
        let (left, cut_short) = match wait_for {
            WaitFor::Drained => (self.still_held(waiter.app), false),
            WaitFor::Quiet | WaitFor::Provisional => {
                (self.still_in_flight(waiter.app), self.quitting())
            }
        };
        let over = deadline == Deadline::Over || cut_short;
        match (left, wait_for) {
            (None, WaitFor::Provisional) => {
                self.commit(waiter.app, &waiter.request, waiter.since);
                self.header.version = self.header.version.wrapping_add(1);
                self.end_wait(place);
                WaitResult::Done
            }
            (None, _) => {
                self.end_wait(place);
                WaitResult::Done
            }
            (Some(_), _) if !over => WaitResult::Pending,
            (Some(left), WaitFor::Provisional) => {
                self.end_wait(place);
                WaitResult::RolledBack(left)
            }
            (Some(left), _) => {
                self.end_wait(place);
                WaitResult::TimedOut(left)
            }
        }
    }

    /// The caller is gone who was given this place: whatever has come, nobody tells him.
    pub fn cancel_wait(&mut self, place: WaitId, owner: WorkerId, cookie: Cookie) {
        if self.waiter(place, owner, cookie).is_some() {
            self.end_wait(place);
        }
    }

    /// For how long the caller will wait who was given this place.
    pub fn set_deadline(&mut self, place: WaitId, until: Now) {
        if let Some(wait) = self.waits.get_mut(place.index()) {
            wait.until = until;
        }
    }

    /// Until when what is under way may be taken back, by the last of those who wait for quiet.
    pub fn waiting_until(&self, id: AppId) -> Option<Now> {
        let waits = self.waits.iter().filter(|wait| {
            wait.get()
                .is_some_and(|(wait_for, one)| wait_for == WaitFor::Provisional && one.app == id)
        });
        let ends = waits.map(|wait| wait.until).filter(|until| *until != Now::NEVER);
        ends.max_by_key(|until| until.monotonic)
    }

    /// The counts of an app, of all workers.
    pub fn sum_counts(&self, id: AppId) -> Counts {
        let Some(app) = self.app(id) else { return Counts::default() };
        let counts = self.living().filter_map(|one| self.counts.of(one, id, app.created()));
        let gone =
            Counts { passed: app.totals.passed, given_up: app.given_up, ..Counts::default() };
        counts.fold(gone, |sum, one| Counts {
            passed: sum.passed + one.passed,
            in_flight: sum.in_flight.saturating_add(one.in_flight),
            upgraded: sum.upgraded.saturating_add(one.upgraded),
            given_up: sum.given_up.and(one.given_up),
        })
    }

    /// A worker is gone: nobody waits there any more, and what it counted goes to the apps.
    pub(super) fn reap_waiters(&mut self, owner: WorkerId) {
        for index in 0..self.waits.len() {
            let gone = self.waits.get(index).and_then(Wait::get);
            if gone.is_some_and(|(_, waiter)| waiter.owner == owner) {
                self.end_wait(WaitId::at(index));
            }
        }
        for index in 0..self.apps.len() {
            let Some(app) = self.apps.get_mut(index) else { continue };
            let counted = self.counts.of(owner, AppId::at(index), app.created());
            let Counts { passed, given_up, .. } = counted.unwrap_or_default();
            app.totals.passed += passed;
            app.given_up = app.given_up.and(given_up);
        }
        self.counts.clear(owner);
    }

    /// The app came into this state: whoever waits for what is not to come any more is told.
    pub(super) fn dismiss_waiters(&mut self, id: AppId, state: State) {
        let paused = state == State::Paused;
        let provisional = self.apps.get_mut(id.index()).filter(|app| app.is_provisional());
        if let Some(app) = provisional.filter(|_| !paused) {
            app.drop_before();
        }
        let overtaken = |wait: &&mut Wait| {
            let waiter = wait.get().filter(|(_, waiter)| waiter.app == id);
            waiter.is_some_and(|(wait_for, _)| match wait_for {
                WaitFor::Drained => paused || state == State::Stopped,
                WaitFor::Quiet | WaitFor::Provisional => !paused,
            })
        };
        for wait in self.waits.iter_mut().filter(overtaken) {
            wait.clear();
            self.effects.wake = Wake::All;
        }
        self.publish_waiting();
    }

    /// Tells the workers whether anybody waits.
    pub(super) fn publish_waiting(&self) {
        self.signals.set_waiting(self.waits.iter().filter(|wait| !wait.is_free()).count());
    }

    /// Whether anybody waits for an app.
    pub(super) fn is_waited_for(&self, id: AppId) -> bool {
        self.waits.iter().filter_map(Wait::get).any(|(_, waiter)| waiter.app == id)
    }

    /// A pause was answered that somebody asked for at this time: it stays, whatever those do who
    /// still wait. Returns whether that changed anything.
    pub(super) fn commit(&mut self, id: AppId, request: &PauseRequest, at: Now) -> bool {
        let Some(app) = self.apps.get_mut(id.index()) else { return false };
        app.commit(request, at);
        let earlier = |wait: &&mut Wait| {
            let waiter = wait.get().filter(|_| request.reason.is_some());
            waiter.is_some_and(|(_, one)| one.app == id && one.since.monotonic <= at.monotonic)
        };
        self.waits.iter_mut().filter(earlier).for_each(Wait::drop_reason);
        self.recompute_pause(id)
    }

    /// What is under way, made anew from what was before and what those ask for who still wait.
    /// Where nobody does, what was before is what is. Returns whether anything changed.
    pub(super) fn recompute_pause(&mut self, id: AppId) -> bool {
        let (now, epoch) = (self.now, self.coming_epoch());
        let Some(app) = self.apps.get_mut(id.index()).filter(|app| app.is_provisional()) else {
            return false;
        };
        let changed = app.recompute_pause(asked(self.waits, id), now, epoch);
        let state = app.state();
        if asked(self.waits, id).next().is_none() {
            app.drop_before();
        }
        if changed {
            self.dismiss_waiters(id, state);
        }
        changed
    }

    fn enable_provisionally(&mut self, id: AppId, place: WaitId, waiter: Waiter) -> Paused {
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
        // A worker that dies before this leaves nothing but what was before.
        self.begin_wait(place, WaitFor::Provisional, waiter);
        self.dismiss_waiters(id, State::Paused);
        self.pause_changed(id);
        done
    }

    fn free_wait(&self) -> Result<WaitId, Refusal> {
        let free = self.waits.iter().position(Wait::is_free);
        free.map(WaitId::at).ok_or(Refusal::TooManyWait)
    }

    fn begin_wait(&mut self, place: WaitId, wait_for: WaitFor, waiter: Waiter) {
        if let Some(wait) = self.waits.get_mut(place.index()) {
            wait.fill(wait_for, waiter);
        }
        self.publish_waiting();
        self.effects.wake = Wake::All;
    }

    fn waiter(&self, place: WaitId, owner: WorkerId, cookie: Cookie) -> Option<(WaitFor, Waiter)> {
        let (wait_for, waiter) = self.waits.get(place.index())?.get()?;
        (waiter.owner == owner && waiter.cookie == cookie).then_some((wait_for, *waiter))
    }

    /// Somebody waits no longer; unless his pause was committed, it is taken back.
    fn end_wait(&mut self, place: WaitId) {
        let Some(wait) = self.waits.get_mut(place.index()) else { return };
        let Some((wait_for, waiter)) = wait.get() else { return };
        let id = waiter.app;
        wait.clear();
        self.publish_waiting();
        if wait_for != WaitFor::Provisional {
            return;
        }
        if self.recompute_pause(id) {
            if let Some(app) = self.apps.get_mut(id.index()) {
                app.set_rolled_back();
            }
            self.pause_changed(id);
        }
    }

    /// How many are still held, where any are.
    fn still_held(&self, id: AppId) -> Option<Remaining> {
        let app = self.app(id)?;
        let drained = app.state() == State::Open && app.line.len == 0 && !app.baton.is_some();
        (!drained).then_some(Remaining::Held(app.held()))
    }

    /// What is in flight of what was passed on before the pause, where anything may be.
    fn still_in_flight(&self, id: AppId) -> Option<Remaining> {
        let app = self.app(id)?;
        // Its worker may not have counted it yet.
        let going_on = app.about_to_go_on();
        // Each row is read once: its worker may write meanwhile.
        let counts = self.living().map(|one| self.counts.of(one, id, app.pause_epoch()));
        let (in_flight, silent) = counts.fold(
            (going_on, u32::from(self.lacks_entries().is_some())),
            |(sum, silent), count| match count {
                Some(count) => (sum.saturating_add(count.in_flight), silent),
                None => (sum, silent + 1),
            },
        );
        match (in_flight, silent) {
            (0, 0) => None,
            (0, silent) => Some(Remaining::Silent(silent)),
            (in_flight, _) => Some(Remaining::InFlight(in_flight)),
        }
    }

    pub(super) fn living(&self) -> impl Iterator<Item = WorkerId> + '_ {
        let workers = self.workers.iter().enumerate();
        workers.filter(|(_, worker)| worker.process().is_some()).map(|(at, _)| WorkerId::at(at))
    }
}

/// What those ask for who may yet take their pause back, the earliest first.
pub(super) fn asked(waits: &[Wait], app: AppId) -> impl Iterator<Item = (PauseRequest, Now)> + '_ {
    let behind = move |last: Option<(Msec, usize)>| {
        let waiters = waits.iter().enumerate().filter_map(|(at, wait)| Some((at, wait.get()?)));
        let asked = waiters.filter(move |(_, (wait_for, waiter))| {
            *wait_for == WaitFor::Provisional && waiter.app == app
        });
        let ordered = asked.map(|(at, (_, waiter))| ((waiter.since.monotonic, at), waiter));
        ordered.filter(move |(order, _)| Some(*order) > last).min_by_key(|(order, _)| *order)
    };
    let all = successors(behind(None), move |(order, _)| behind(Some(*order)));
    all.map(|(_, waiter)| (waiter.request, waiter.since))
}
