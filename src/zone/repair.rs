//! Keeps the tables consistent, and makes them so again after a worker died in its visit.
#![forbid(unsafe_code)]

use super::{Absence, Zone};
use crate::flag::Flag;
use crate::ids::{AppId, Epoch, NameHash, SlotId};
use crate::shared::app::{App, State};
use crate::shared::oldest::Oldest;
use crate::shared::slots::{self, List, Slot};

impl Zone<'_> {
    /// Frees a slot.
    pub(super) fn vacate(&mut self, slot: SlotId) {
        let Some(entry) = self.slots.get_mut(slot.index()) else {
            return;
        };
        let (Some(occupant), held) = (entry.occupant(), entry.held().is_some()) else {
            return;
        };
        entry.clear();
        if let Some(app) = self.apps.get_mut(occupant.app.index()) {
            if held {
                app.line.remove(self.slots, slot);
                app.count_hold(&occupant, self.now.monotonic);
            } else {
                app.is_out_no_more(slot);
            }
        }
        if let Some(worker) = self.workers.get_mut(occupant.owner.index()) {
            worker.slots = worker.slots.saturating_sub(1);
        }
        self.header.free.push(self.slots, slot);
    }

    /// Takes a held request out of its line. It keeps its slot until it is finished.
    pub(super) fn let_go(&mut self, slot: SlotId) {
        let Some(entry) = self.slots.get_mut(slot.index()) else {
            return;
        };
        let Some(held) = entry.held() else { return };
        entry.release();
        if let Some(app) = self.apps.get_mut(held.app.index()) {
            app.line.remove(self.slots, slot);
            app.count_hold(&held, self.now.monotonic);
            app.unfinished += 1;
        }
    }

    /// An app's line or baton changed: opens the app if it has drained, and wakes the worker whose turn
    /// it is.
    pub(super) fn line_changed(&mut self, id: AppId) {
        let head = self.head(id);
        let Some(app) = self.apps.get_mut(id.index()) else {
            return;
        };
        let away = app.away();
        app.open_if_drained(head.map(|head| head.ticket), self.now);
        if let (Some((since, _)), None, Some(name)) = (away, app.away(), app.name()) {
            let after = self.now.monotonic.since(since.monotonic);
            self.effects.absence = Some((*name, Absence::Unknown { after }));
        }
        if app.owes_report() || app.has_unreported() {
            self.header.reports_due = Flag::ON;
        }
        if app.releases() && !app.baton.is_some() {
            if let Some(head) = head {
                self.effects.wake_also(head.owner);
            }
        }
        self.publish(id);
    }

    /// A request that was tried may be finished, and another one have its slot.
    fn recompute_try(&mut self, id: AppId) {
        let Some(app) = self.apps.get_mut(id.index()) else { return };
        let tried = self.slots.get(app.trying().index()).and_then(Slot::unfinished);
        if tried.is_none_or(|one| one.app != id) {
            app.tries_none();
        }
    }

    /// Writes an app's words for those that read without the lock.
    pub(super) fn publish(&self, id: AppId) {
        let Some(app) = self.app(id) else { return };
        let closed_for = app.name().filter(|_| app.state() != State::Open);
        self.signals.set_gate(id, closed_for.map(|name| NameHash::of(name.as_bytes())));
        let turns_away = app.line.len > 0 && self.header.turns_away(app);
        if app.releases() || turns_away {
            self.signals.line_moves(id);
        } else {
            self.signals.line_stands(id);
        }
        if app.created().max(app.pause_epoch()) > self.signals.epoch() {
            self.signals.next_epoch();
        }
    }

    /// The epoch that begins when the current change is published.
    pub(super) fn coming_epoch(&self) -> Epoch {
        Epoch(self.signals.epoch().0.wrapping_add(1))
    }

    /// Writes when the first lease ends.
    pub(super) fn publish_leases(&self) {
        let ends = self.apps.iter().filter_map(App::until).map(|until| until.monotonic);
        self.signals.set_lease(ends.min());
    }

    /// Rebuilds all that is derived from the slots and the states of the apps.
    pub(super) fn rebuild(&mut self) {
        self.header.free = List::EMPTY;
        // The answers may be incomplete.
        self.apps.iter_mut().for_each(|app| app.oldest = Oldest::NONE);
        self.apps.iter_mut().for_each(|app| (app.line, app.unfinished) = (List::EMPTY, 0));
        self.workers.iter_mut().for_each(|worker| worker.slots = 0);
        let used = self.header.used(self.slots);
        let (count, mut next) = (used.len(), slots::sort(used));
        for _ in 0..count {
            let id = next;
            let Some(slot) = self.slots.get_mut(id.index()) else {
                break;
            };
            next = slot.next();
            let (occupant, is_held) = (slot.occupant(), slot.held().is_some());
            let app = occupant.and_then(|occupant| {
                let app = self.apps.get_mut(occupant.app.index())?;
                let worker = self.workers.get_mut(occupant.owner.index())?;
                worker.slots += 1;
                app.ticket_seen(occupant.ticket);
                Some(app)
            });
            match app {
                Some(app) if is_held => app.line.push(self.slots, id),
                Some(app) => app.unfinished += 1,
                None => {
                    slot.clear();
                    self.header.free.push(self.slots, id);
                }
            }
        }
        self.signals.recount();
        // Perhaps a pause was just ending.
        self.signals.pause_ended();
        for index in 0..self.apps.len() {
            let id = AppId::at(index);
            self.recompute_try(id);
            self.recompute_pause(id);
            if let Some(state) = self.app(id).map(App::state) {
                self.dismiss_waiters(id, state);
            }
            self.line_changed(id);
        }
        self.publish_waiting();
        self.publish_leases();
    }
}
