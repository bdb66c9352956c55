//! Callers that wait: for nothing to be in flight, or for the drain to end.
#![forbid(unsafe_code)]

use super::{Expected, Intent, Opened, Paused, Refusal, Wake, Zone};
use crate::ids::{AppId, Cookie, WaitId, WorkerId};
use crate::shared::app::State;
use crate::shared::pace::Pace;
use crate::shared::terms::PauseRequest;
use crate::shared::waiters::{Wait, WaitFor, Waiter};
use crate::text::{Address, AppName};
use crate::time::Now;

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
    /// What it waits for has come.
    Done,
    /// Its time is over, and so much is left.
    TimedOut(Remaining),
    /// The same, and its pause was rolled back.
    RolledBack(Remaining),
    /// Another caller, or the lease, ended the pause or the drain.
    Superseded,
}

/// What still keeps a caller waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// So many requests are in flight.
    InFlight(u32),
    /// So many workers have not reported their requests in flight yet.
    Silent(u32),
    /// So many requests are held.
    Held(u32),
}

impl Zone<'_> {
    /// Pauses the app `name` as [`Self::enable`] does. The caller is answered when no request of the
    /// app is in flight. If it waits for [`WaitFor::Provisional`] and its time is over first, the pause
    /// is rolled back.
    pub fn enable_and_wait(
        &mut self,
        name: &AppName,
        which: Expected,
        request: PauseRequest,
        wait_for: WaitFor,
        (owner, cookie): (WorkerId, Cookie),
    ) -> Result<(Paused, WaitId), Refusal> {
        let (now, wait) = (self.now, self.free_wait()?);
        let id = self.entry_to_pause(name, which)?;
        let waiter = Waiter { app: id, owner, cookie, since: now, request };
        let done = if wait_for == WaitFor::Provisional {
            self.enable_provisionally(id, wait, waiter)
        } else {
            let done = self.pause_known(id, request, Intent::Change, State::Paused);
            self.begin_wait(wait, wait_for, waiter);
            done
        };
        Ok((done, wait))
    }

    /// Ends a pause as [`Self::disable`] does. The caller is answered when no request is held any
    /// more. Returns no [`WaitId`] if none is held now.
    pub fn disable_and_wait(
        &mut self,
        name: &AppName,
        which: Expected,
        by: &Address,
        pace: impl FnOnce(Pace) -> Pace,
        (owner, cookie): (WorkerId, Cookie),
    ) -> Result<(Opened, Option<WaitId>), Refusal> {
        let wait = self.free_wait()?;
        let done = self.disable(name, which, by, pace)?;
        let held = self.find(name).filter(|id| self.still_held(*id).is_some());
        if let Some(app) = held {
            let (since, request) = (self.now, PauseRequest::NONE);
            self.begin_wait(wait, WaitFor::Drained, Waiter { app, owner, cookie, since, request });
        }
        Ok((done, held.map(|_| wait)))
    }

    /// Whether what a caller waits for has come. After any other answer than
    /// [`WaitResult::Pending`], the entry `wait` is no longer the caller's.
    pub fn poll(
        &mut self,
        wait: WaitId,
        owner: WorkerId,
        cookie: Cookie,
        deadline: Deadline,
    ) -> WaitResult {
        let Some((wait_for, waiter)) = self.waiter(wait, owner, cookie) else {
            return WaitResult::Superseded;
        };
        let (left, cut_short) = match wait_for {
            WaitFor::Drained => (self.still_held(waiter.app), false),
            WaitFor::Quiet | WaitFor::Provisional => {
                (self.still_in_flight(waiter.app), self.quitting())
            }
        };
        let over = deadline == Deadline::Over || cut_short;
        let result = match (left, wait_for) {
            (None, _) => WaitResult::Done,
            (Some(_), _) if !over => return WaitResult::Pending,
            (Some(left), WaitFor::Provisional) => WaitResult::RolledBack(left),
            (Some(left), _) => WaitResult::TimedOut(left),
        };
        if (left, wait_for) == (None, WaitFor::Provisional) {
            self.commit(waiter.app, &waiter.request, waiter.since);
            self.header.version = self.header.version.wrapping_add(1);
        }
        self.end_wait(wait);
        result
    }

    /// The caller is gone: ends its wait without an answer.
    pub fn cancel_wait(&mut self, wait: WaitId, owner: WorkerId, cookie: Cookie) {
        if self.waiter(wait, owner, cookie).is_some() {
            self.end_wait(wait);
        }
    }

    /// Sets when the time of a waiting caller is over.
    pub fn set_deadline(&mut self, wait: WaitId, until: Now) {
        if let Some(entry) = self.waits.get_mut(wait.index()) {
            entry.until = until;
        }
    }

    /// When the last provisional pause of an app is rolled back, if nothing else comes before. None
    /// if there is none.
    pub fn waiting_until(&self, id: AppId) -> Option<Now> {
        let waits = self.waits.iter().filter(|entry| {
            entry.get().is_some_and(|(wait_for, waiter)| {
                wait_for == WaitFor::Provisional && waiter.app == id
            })
        });
        let ends = waits.map(|entry| entry.until).filter(|until| *until != Now::NEVER);
        ends.max_by_key(|until| until.monotonic)
    }

    /// A worker is gone: its callers wait no longer.
    pub(super) fn reap_waiters(&mut self, owner: WorkerId) {
        for index in 0..self.waits.len() {
            let gone = self.waits.get(index).and_then(Wait::get);
            if gone.is_some_and(|(_, waiter)| waiter.owner == owner) {
                self.end_wait(WaitId::at(index));
            }
        }
    }

    /// The app has entered `state`: ends the waits for what can no longer come.
    pub(super) fn dismiss_waiters(&mut self, id: AppId, state: State) {
        let paused = state == State::Paused;
        let provisional = self.apps.get_mut(id.index()).filter(|app| app.is_provisional());
        if let Some(app) = provisional.filter(|_| !paused) {
            app.drop_before();
        }
        let superseded = |entry: &&mut Wait| {
            let waiter = entry.get().filter(|(_, waiter)| waiter.app == id);
            waiter.is_some_and(|(wait_for, _)| match wait_for {
                WaitFor::Drained => paused || state == State::Stopped,
                WaitFor::Quiet | WaitFor::Provisional => !paused,
            })
        };
        for entry in self.waits.iter_mut().filter(superseded) {
            entry.clear();
            self.effects.wake = Wake::All;
        }
        self.publish_waiting();
    }

    /// Tells the workers whether any caller waits.
    pub(super) fn publish_waiting(&self) {
        self.signals.set_waiting(self.waits.iter().filter(|entry| !entry.is_free()).count());
    }

    /// Whether any caller waits for an app.
    pub(super) fn is_waited_for(&self, id: AppId) -> bool {
        self.waits.iter().filter_map(Wait::get).any(|(_, waiter)| waiter.app == id)
    }

    pub(super) fn begin_wait(&mut self, wait: WaitId, wait_for: WaitFor, waiter: Waiter) {
        if let Some(entry) = self.waits.get_mut(wait.index()) {
            entry.fill(wait_for, waiter);
        }
        self.publish_waiting();
        self.effects.wake = Wake::All;
    }

    /// A caller waits no longer. If its pause is still provisional, it is rolled back.
    fn end_wait(&mut self, wait: WaitId) {
        let Some(entry) = self.waits.get_mut(wait.index()) else { return };
        let Some((wait_for, waiter)) = entry.get() else { return };
        let id = waiter.app;
        entry.clear();
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

    fn free_wait(&self) -> Result<WaitId, Refusal> {
        let free = self.waits.iter().position(Wait::is_free);
        free.map(WaitId::at).ok_or(Refusal::TooManyWait)
    }

    fn waiter(&self, wait: WaitId, owner: WorkerId, cookie: Cookie) -> Option<(WaitFor, Waiter)> {
        let (wait_for, waiter) = self.waits.get(wait.index())?.get()?;
        (waiter.owner == owner && waiter.cookie == cookie).then_some((wait_for, *waiter))
    }

    /// Returns None if no request is held and the app is open.
    fn still_held(&self, id: AppId) -> Option<Remaining> {
        let app = self.app(id)?;
        let drained = app.state() == State::Open && app.line.len == 0 && !app.baton.is_some();
        (!drained).then_some(Remaining::Held(app.held()))
    }
}
