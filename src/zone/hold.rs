//! A request arrives and is held; it may leave before its turn.
#![forbid(unsafe_code)]

use super::Zone;
use crate::ids::{AppId, Cookie, SlotId, Ticket, WorkerId};
use crate::shared::app::{App, State};
use crate::shared::room::{Bounds, Lack};
use crate::shared::slots::{Held, Slot};
use crate::text::AppName;

/// What becomes of a request that arrives and found the gate of its app closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is passed on.
    Passes,
    /// It is held, and `ahead` requests are before it in line.
    Held { slot: SlotId, ticket: Ticket, ahead: u32 },
    /// There is too little of `lack` to hold it. If a log line is due, `report` is how many it
    /// reports. `retry_after` is in seconds.
    Rejected { lack: Lack, report: Option<u32>, retry_after: u64 },
    /// Its app is stopped, or nginx quits. `retry_after` is in seconds.
    Stopped { retry_after: u64 },
}

/// Why a held request leaves the line before its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepartReason {
    /// Its client closed the connection.
    Left,
    /// It was held for its max_time, and is to be passed on.
    Passed,
    /// It was held for its max_time, and is to be answered.
    Answered,
}

/// What becomes of a held request that is to leave the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It has left the line. If a log line is due, `report` is how many expired requests it reports.
    /// `retry_after` is in seconds.
    Gone { report: Option<u32>, retry_after: u64 },
    /// It keeps its place: the line moves, so its turn comes, and no request is passed on before.
    Stays,
}

impl Zone<'_> {
    /// A request for the app `name` arrives, whose gate `id` it found closed. `bounds` says what its
    /// worker and its location allow.
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
        if app.state() == State::Open || (bounds.away.is_none() && app.drains_without_pause()) {
            return Arrival::Passes;
        }
        if self.header.turns_away(app) {
            app.turned_away(1);
            return Arrival::Stopped { retry_after: app.retry_after(now) };
        }
        app.bound(bounds.max_held);
        let held = app.line.len;
        let worker = self.workers.get(owner.index()).filter(|one| one.process().is_some());
        let found = match (worker, bounds.lack) {
            (None, _) => Err(Lack::Workers),
            (_, Some(lack)) => Err(lack),
            _ if held >= bounds.max_held => Err(Lack::MaxHeld),
            (Some(_), None) => self.slot_to_hold().ok_or(Lack::Zone),
        };
        let Some(app) = self.apps.get_mut(id.index()) else { return Arrival::Passes };
        let slot = match found {
            Ok(slot) => slot,
            Err(lack) => {
                let report = app.reject(lack, now);
                return Arrival::Rejected { lack, report, retry_after: app.retry_after(now) };
            }
        };
        let held = Held { app: id, ticket: app.ticket(), owner, cookie, since: now.monotonic };
        if let Some(entry) = self.slots.get_mut(slot.index()) {
            entry.fill(held);
        }
        let ahead = app.line.len;
        app.line.push(self.slots, slot);
        if let Some(longest) = bounds.away {
            app.takes_back(longest);
        }
        app.totals.held += 1;
        if let Some(worker) = self.workers.get_mut(owner.index()) {
            worker.slots += 1;
            worker.room = bounds.room;
        }
        if ahead == 0 && app.is_away() {
            self.effects.wake_also(owner);
        }
        self.publish(id);
        Arrival::Held { slot, ticket: held.ticket, ahead }
    }

    /// A free slot. If none is left, a released request loses its own that has it only in case it comes
    /// back: if it does, it gets another one.
    pub(super) fn slot_to_hold(&mut self) -> Option<SlotId> {
        let free = self.header.free_slot(self.slots);
        if free.is_some() || !self.apps.iter().any(App::spares_slots) {
            return free;
        }
        let count = self.slots.len();
        let first = self.header.last_spared.min(count);
        let spared = |at: &usize| {
            let one = self.slots.get(*at).and_then(Slot::unfinished);
            let app = one.and_then(|one| self.apps.get(one.app.index()));
            app.is_some_and(|app| app.spares_slots() && !app.is_granted(SlotId::at(*at)))
        };
        let found = (first..count).chain(0..first).find(spared)?;
        self.header.last_spared = found;
        self.vacate(SlotId::at(found));
        self.header.free_slot(self.slots)
    }

    /// A request begins to arrive, and its body is still to be read. `id` and `name` are as for
    /// [`Self::arrive`]. If it is to be turned away already, counts it and returns `Retry-After` in
    /// seconds.
    pub fn refuse(&mut self, id: AppId, name: &AppName) -> Option<u64> {
        let app = self.apps.get_mut(id.index()).filter(|app| app.name() == Some(name));
        let app = app.filter(|app| self.header.turns_away(app))?;
        app.turned_away(1);
        Some(app.retry_after(self.now))
    }

    /// A request arrives that no pause holds. `id` and `name` are as for [`Self::arrive`]. Unless the
    /// app is open, counts it and returns `Retry-After` in seconds, in case the module answers it.
    pub fn bypass(&mut self, id: AppId, name: &AppName) -> Option<u64> {
        let app = self.apps.get_mut(id.index()).filter(|app| app.name() == Some(name));
        let app = app.filter(|app| app.state() != State::Open)?;
        app.totals.bypassed += 1;
        Some(app.retry_after(self.now))
    }

    /// A request that bypassed the pause was answered by nginx, because the app could not be reached.
    /// `id` and `name` are as for [`Self::arrive`]. If a log line is due, returns how many it
    /// reports.
    pub fn bypass_failed(&mut self, id: AppId, name: &AppName) -> Option<u32> {
        let app = self.apps.get_mut(id.index()).filter(|app| app.name() == Some(name));
        let report = app?.failures.add(self.now.monotonic);
        self.line_changed(id);
        report
    }

    /// The request that `owner` holds in `slot` and knows as `cookie` is to leave the line.
    pub fn depart(
        &mut self,
        slot: SlotId,
        owner: WorkerId,
        cookie: Cookie,
        why: DepartReason,
    ) -> Departure {
        const NOT_HELD: Departure = Departure::Gone { report: None, retry_after: 10 };
        let held = self.slots.get(slot.index()).and_then(Slot::held);
        let Some(held) = held.filter(|held| held.owner == owner && held.cookie == cookie) else {
            return NOT_HELD;
        };
        let Some(app) = self.apps.get_mut(held.app.index()) else {
            return NOT_HELD;
        };
        let turn_comes = app.releases() || self.header.turns_away(app);
        let stays = match why {
            DepartReason::Passed => turn_comes,
            DepartReason::Answered => app.is_away(),
            DepartReason::Left => false,
        };
        if stays {
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

    /// The request that `owner` released from `slot` no longer counts against the concurrency: it is
    /// finished, or is taken for finished.
    pub fn finish(&mut self, slot: SlotId, owner: WorkerId, cookie: Cookie) {
        let unfinished = self.slots.get(slot.index()).and_then(Slot::unfinished);
        if let Some(unfinished) =
            unfinished.filter(|held| held.owner == owner && held.cookie == cookie)
        {
            self.vacate(slot);
            if let Some(app) = self.apps.get_mut(unfinished.app.index()) {
                app.finished_one();
            }
            self.line_changed(unfinished.app);
        }
    }
}
