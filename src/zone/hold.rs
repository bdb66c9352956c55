//! Holding: a request comes, and may leave before its turn.
#![forbid(unsafe_code)]

use super::Zone;
use crate::ids::{AppId, Cookie, SlotId, Ticket, WorkerId};
use crate::shared::app::State;
use crate::shared::room::{Bounds, Lack};
use crate::shared::slots::{Held, Slot};
use crate::text::AppName;

/// What becomes of a request that comes while its app may not be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It goes on.
    Passes,
    /// It waits, with so many ahead of it.
    Held { slot: SlotId, ticket: Ticket, ahead: u32 },
    /// There is no room, for lack of this; where a line in the log is due, so many were turned away.
    /// It may come again in so many seconds.
    Rejected { lack: Lack, report: Option<u32>, retry_after: u64 },
    /// Its app is stopped, or nginx quits. It may come again in so many seconds.
    Stopped { retry_after: u64 },
}

/// Why a held request gives up its place without having been released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepartReason {
    /// Its client closed the connection.
    Left,
    /// It was held for its max_time and is now passed on.
    Passed,
    /// It was held for its max_time and is now answered.
    Answered,
}

/// What becomes of a held request that wants to give up its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It is out of the line; where a line in the log is due, so many expired. If it is turned
    /// away, it may come again in so many seconds.
    Gone { report: Option<u32>, retry_after: u64 },
    /// Its turn comes, to go on or to be turned away, and nobody is passed on out of turn.
    Stays,
}

impl Zone<'_> {
    /// A request of the app `name` comes, `id` being what the gates gave for it. `bounds` is what
    /// its worker and its place say of room.
    pub fn arrive(
        &mut self,
        id: AppId,
        name: &AppName,
        owner: WorkerId,
        cookie: Cookie,
        bounds: Bounds,
    ) -> Arrival {
        let now = self.now;
        let Some(app) = self.apps.get_mut(id.index()).filter(|app| app.name() == Some(name)) else {
            return Arrival::Passes;
        };
        if app.state() == State::Open {
            return Arrival::Passes;
        }
        if self.header.turns_away(app) {
            app.turned_away(1);
            return Arrival::Stopped { retry_after: app.retry_after(now) };
        }
        app.bound(bounds.max_held);
        let worker = self.workers.get_mut(owner.index()).filter(|one| one.process().is_some());
        let place = match (worker, bounds.lack) {
            (None, _) => Err(Lack::Workers),
            (_, Some(lack)) => Err(lack),
            _ if app.line.len >= bounds.max_held => Err(Lack::MaxHeld),
            (Some(worker), None) => {
                self.header.free_slot(self.slots).map(|slot| (worker, slot)).ok_or(Lack::Zone)
            }
        };
        let (worker, slot) = match place {
            Ok(place) => place,
            Err(lack) => {
                let report = app.reject(lack, now);
                return Arrival::Rejected { lack, report, retry_after: app.retry_after(now) };
            }
        };
        let held = Held { app: id, ticket: app.ticket(), owner, cookie, since: now.monotonic };
        if let Some(place) = self.slots.get_mut(slot.index()) {
            place.fill(held);
        }
        let ahead = app.line.len;
        app.line.push(self.slots, slot);
        app.totals.held += 1;
        worker.slots += 1;
        worker.room = bounds.room;
        self.publish(id);
        Arrival::Held { slot, ticket: held.ticket, ahead }
    }

    /// A request begins to come, its body still on its way; `id` and `name` as for
    /// [`Self::arrive`]. Returns in how many seconds it may come again if it is turned away before
    /// that is there: its app is stopped, or nginx quits.
    pub fn refuse(&mut self, id: AppId, name: &AppName) -> Option<u64> {
        let app = self.apps.get_mut(id.index()).filter(|app| app.name() == Some(name));
        let app = app.filter(|app| self.header.turns_away(app))?;
        app.turned_away(1);
        Some(app.retry_after(self.now))
    }

    /// A request goes by because of what it is; `id` and `name` as for [`Self::arrive`]. Returns in
    /// how many seconds it may come again if it is turned away; none where its app is open.
    pub fn bypass(&mut self, id: AppId, name: &AppName) -> Option<u64> {
        let app = self.apps.get_mut(id.index()).filter(|app| app.name() == Some(name));
        let app = app.filter(|app| app.state() != State::Open)?;
        app.totals.bypassed += 1;
        Some(app.retry_after(self.now))
    }

    /// A request that went by was answered by nginx that the app could not be reached; `id` and `name`
    /// as for [`Self::arrive`]. If a line in the log is due, returns how many there were.
    pub fn bypass_failed(&mut self, id: AppId, name: &AppName) -> Option<u32> {
        let app = self.apps.get_mut(id.index()).filter(|app| app.name() == Some(name));
        let report = app?.failures.add(self.now.monotonic);
        self.line_changed(id);
        report
    }

    /// The request that `owner` holds in `slot` and knows as `cookie` wants to give up its place.
    pub fn depart(
        &mut self,
        slot: SlotId,
        owner: WorkerId,
        cookie: Cookie,
        why: DepartReason,
    ) -> Departure {
        const NOBODY: Departure = Departure::Gone { report: None, retry_after: 10 };
        let held = self.slots.get(slot.index()).and_then(Slot::held);
        let Some(held) = held.filter(|held| held.owner == owner && held.cookie == cookie) else {
            return NOBODY;
        };
        let Some(app) = self.apps.get_mut(held.app.index()) else {
            return NOBODY;
        };
        let turn_comes = app.releases() || self.header.turns_away(app);
        if why == DepartReason::Passed && turn_comes {
            return Departure::Stays;
        }
        let report = match why {
            DepartReason::Left => {
                app.totals.left += 1;
                None
            }
            DepartReason::Passed | DepartReason::Answered => {
                app.totals.expired += 1;
                if why == DepartReason::Passed {
                    app.expired_to_app();
                }
                app.expiries.add(self.now.monotonic)
            }
        };
        let retry_after = app.retry_after(self.now);
        self.vacate(slot);
        self.line_changed(held.app);
        Departure::Gone { report, retry_after }
    }

    /// The request that `owner` released from `slot` counts no longer: it is finished, or is taken
    /// for such.
    pub fn finish(&mut self, slot: SlotId, owner: WorkerId, cookie: Cookie) {
        let unfinished = self.slots.get(slot.index()).and_then(Slot::unfinished);
        if let Some(unfinished) =
            unfinished.filter(|held| held.owner == owner && held.cookie == cookie)
        {
            self.vacate(slot);
            self.line_changed(unfinished.app);
        }
    }
}
