//! A request that was passed on, and that the app never saw, is held in its place once more.
#![forbid(unsafe_code)]

use super::Zone;
use crate::ids::{AppId, Cookie, SlotId, Ticket, WorkerId};
use crate::shared::room::Bounds;
use crate::shared::slots::{Held, Slot};
use crate::text::AppName;
use crate::time::Msec;

/// A request that was passed on, and that the app never saw.
#[derive(Clone, Copy, Debug)]
pub struct Unseen {
    /// The slot that it has kept, if it was released and is watched.
    pub slot: Option<SlotId>,
    /// The ticket that it had, if it was held.
    pub ticket: Option<Ticket>,
    pub owner: WorkerId,
    pub cookie: Cookie,
    /// When it arrived, on the monotonic clock.
    pub arrived: Msec,
    /// The status with which nginx is about to answer it.
    pub status: u32,
    /// For how long its location lets it be held.
    pub longest: Msec,
    pub came: Came,
}

/// Whether a request came back before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    First,
    Again,
}

/// What becomes of such a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenBack {
    /// It is held in this slot.
    Held(SlotId),
    /// Its app is stopped. `retry_after` is in seconds.
    Stopped { retry_after: u64 },
    /// It was held for long enough, there is no room for it, or nginx quits: nginx answers it.
    No,
}

/// An app is away, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It cannot be reached: nginx would have answered with this status.
    Begins { status: u32 },
    /// It was reached again, after this time, while `held` requests were held.
    Ends { after: Msec, held: u32 },
    /// After so long, no request is left to try.
    Unknown { after: Msec },
}

impl Zone<'_> {
    /// Takes a request of the app `name` back. `bounds` is as for [`Self::arrive`].
    pub fn take_back(&mut self, name: &AppName, unseen: Unseen, bounds: Bounds) -> TakenBack {
        if self.header.quitting.is_on() || self.header.retired.is_on() {
            return TakenBack::No;
        }
        let known = self.find(name);
        if let Some(app) = known.and_then(|id| self.apps.get_mut(id.index())) {
            if self.header.turns_away(app) {
                app.turned_away(1);
                let retry_after = app.retry_after(self.now);
                if let Some(slot) = unseen.slot {
                    self.finish(slot, unseen.owner, unseen.cookie);
                }
                return TakenBack::Stopped { retry_after };
            }
            if app.is_overdue(unseen.arrived, self.now) {
                return TakenBack::No;
            }
        }
        let kept = known.and_then(|id| Some((id, self.kept(id, &unseen)?)));
        let held = match kept {
            Some((id, slot)) => {
                self.hold_kept(id, slot);
                Some((id, slot))
            }
            None => self.hold_unseen(known, name, &unseen, bounds),
        };
        let Some((id, slot)) = held else { return TakenBack::No };
        if let Some(app) = self.apps.get_mut(id.index()) {
            app.takes_back(unseen.longest);
            app.totals.away += u64::from(unseen.came == Came::First);
            if app.came_back(unseen.status, self.now) {
                self.effects.absence = Some((*name, Absence::Begins { status: unseen.status }));
            }
        }
        self.line_changed(id);
        TakenBack::Held(slot)
    }

    /// The slot that the request has kept, if it has.
    fn kept(&self, id: AppId, unseen: &Unseen) -> Option<SlotId> {
        let slot = unseen.slot?;
        let held = self.slots.get(slot.index()).and_then(Slot::unfinished)?;
        let same = (held.app, held.owner, held.cookie) == (id, unseen.owner, unseen.cookie);
        same.then_some(slot)
    }

    /// A released request stands in its line again, before all that were not released.
    fn hold_kept(&mut self, id: AppId, slot: SlotId) {
        let (Some(app), Some(entry)) =
            (self.apps.get_mut(id.index()), self.slots.get_mut(slot.index()))
        else {
            return;
        };
        entry.take_back();
        app.is_out_no_more(slot);
        app.take_one_back();
        app.line.insert(self.slots, slot);
        if app.is_granted(slot) {
            app.granted_goes_on();
        }
        app.tried_in_vain(self.now);
    }

    /// A request that was passed on without a slot stands before all that were not released.
    fn hold_unseen(
        &mut self,
        known: Option<AppId>,
        name: &AppName,
        unseen: &Unseen,
        bounds: Bounds,
    ) -> Option<(AppId, SlotId)> {
        let &Unseen { ticket, owner, cookie, arrived, .. } = unseen;
        self.workers.get(owner.index()).filter(|one| one.process().is_some())?;
        let held = known.and_then(|id| self.app(id)).map_or(0, |app| app.line.len);
        let has_entry = known.or_else(|| self.entry_for_new()).is_some();
        if bounds.lack.is_some() || held >= bounds.max_held || !has_entry {
            return None;
        }
        let slot = self.slot_to_hold()?;
        let Some(id) = known.or_else(|| self.create(name)) else {
            self.header.free.push(self.slots, slot);
            return None;
        };
        let app = self.apps.get_mut(id.index())?;
        let ticket = ticket.unwrap_or_else(|| app.ticket()).back(arrived);
        let held = Held { app: id, ticket, owner, cookie, since: arrived };
        self.slots.get_mut(slot.index())?.fill(held);
        app.line.insert(self.slots, slot);
        let worker = self.workers.get_mut(owner.index())?;
        worker.slots += 1;
        worker.room = bounds.room;
        Some((id, slot))
    }

    /// A request of the app, which was released to see whether it is back, has got through to it.
    pub fn through(&mut self, id: AppId, name: &AppName) {
        let now = self.now;
        let Some(app) = self.apps.get_mut(id.index()).filter(|app| app.name() == Some(name)) else {
            return;
        };
        if let Some(since) = app.got_through(now) {
            let after = now.monotonic.since(since.monotonic);
            self.effects.absence = Some((*name, Absence::Ends { after, held: app.line.len }));
            // The app may have left its connections without a word.
            self.signals.pause_ended();
            self.line_changed(id);
        }
    }
}
