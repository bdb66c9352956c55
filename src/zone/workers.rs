//! Workers register, are told to leave, and die.
#![forbid(unsafe_code)]

use super::{Header, Wake, Zone};
use crate::flag::Flag;
use crate::ids::{AppId, Generation, Process, SlotId, WorkerId};
use crate::shared::app::App;
use crate::shared::room::Room;
use crate::shared::slots::Slot;
use crate::shared::workers::{self, Orders};
use crate::text::AppName;

/// How often a worker had been without an entry, up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlisted(u64);

impl Zone<'_> {
    /// A newer configuration takes over. Returns the generation of its workers.
    pub fn next_generation(&mut self) -> Generation {
        let newest = Generation(self.header.generation.0.wrapping_add(1));
        self.header.generation = newest;
        newest
    }

    /// Gives a worker process an entry. Returns [`WorkerId::NONE`] if the table is full.
    ///
    /// A new worker of the newest configuration ends a quit. One of an older configuration, or one
    /// that is to leave, does not: it may have had an entry before.
    pub fn register(
        &mut self,
        process: Process,
        generation: Generation,
        orders: Orders,
    ) -> WorkerId {
        let id = workers::register(self.workers, process, generation, orders);
        if !id.is_some() {
            self.add_unlisted();
        } else if orders == Orders::Leave {
            self.check_for_quit();
        } else if self.quitting() && generation == self.header.generation {
            self.header.quitting = Flag::OFF;
            (0..self.apps.len()).for_each(|index| self.publish(AppId::at(index)));
        }
        id
    }

    /// A worker process cannot use the entry that it got: it is without one again.
    pub fn decline(&mut self, id: WorkerId, process: Process) {
        self.add_unlisted();
        self.reap(id, process);
    }

    fn add_unlisted(&mut self) {
        self.header.unlisted = self.header.unlisted.wrapping_add(1);
        self.effects.wake = Wake::All;
    }

    /// Returns Some if there may be a worker without an entry: it cannot be asked what it has in
    /// flight. The edge then looks whether one is left.
    pub fn lacks_entries(&self) -> Option<Unlisted> {
        let Header { unlisted, listed, .. } = *self.header;
        (unlisted != listed).then_some(Unlisted(unlisted))
    }

    /// After [`Self::lacks_entries`] had returned `seen`, no worker without an entry was found. A worker
    /// that has been without an entry only since then still counts.
    pub fn all_are_listed(&mut self, seen: Unlisted) {
        self.header.listed = seen.0;
    }

    /// Notes how many more requests a worker can hold.
    pub fn set_room(&mut self, id: WorkerId, room: Room) {
        if let Some(worker) = self.workers.get_mut(id.index()) {
            worker.room = room;
        }
    }

    /// The master told a worker to exit when its requests are done. If it has told all workers of the
    /// newest configuration, nginx quits: requests held by a pause are turned away.
    pub fn told_to_leave(&mut self, id: WorkerId) {
        workers::told_to_leave(self.workers, id);
        self.check_for_quit();
    }

    fn check_for_quit(&mut self) {
        if !self.quitting() && workers::all_leave(self.workers, self.header.generation) {
            self.header.quitting = Flag::ON;
            self.apps.iter_mut().for_each(App::forget_absence);
            (0..self.apps.len()).for_each(|index| self.line_changed(AppId::at(index)));
            self.effects.wake = Wake::All;
        }
    }

    /// The first app with requests that were turned away because nginx quits, and how many. They count
    /// as reported from now on.
    pub fn turned_away_by_quit(&mut self) -> Option<(AppName, u64)> {
        let app = self.apps.iter_mut().find(|app| app.turned_away_by_quit > 0)?;
        let count = core::mem::take(&mut app.turned_away_by_quit);
        Some((app.name().copied().unwrap_or_default(), count))
    }

    pub(super) fn quitting(&self) -> bool {
        self.header.quitting.is_on()
    }

    /// A worker process is gone, and its requests with it: gives back all that it had.
    pub fn reap(&mut self, id: WorkerId, process: Process) {
        let Some(worker) = self.workers.get(id.index()).copied() else {
            return;
        };
        if worker.process() != Some(process) {
            return;
        }
        let slots = if worker.slots > 0 { self.header.used(self.slots).len() } else { 0 };
        for index in 0..slots {
            let occupant = self.slots.get(index).and_then(Slot::occupant);
            let Some(held) = occupant.filter(|held| held.owner == id) else {
                continue;
            };
            let lost = self.slots.get(index).and_then(Slot::held).is_some();
            self.vacate(SlotId::at(index));
            if let Some(app) = self.apps.get_mut(held.app.index()).filter(|_| lost) {
                app.totals.lost += 1;
            }
        }
        for index in 0..self.apps.len() {
            if let Some(app) = self.apps.get_mut(index).filter(|app| app.baton == id) {
                app.totals.lost += u64::from(app.granted.take());
                app.baton = WorkerId::NONE;
            }
            self.line_changed(AppId::at(index));
        }
        self.reap_waiters(id);
        self.reap_counts(id);
        self.forget_told(id);
        workers::forget(self.workers, id, process);
        // It may have been the last one that had not been told to leave.
        self.check_for_quit();
        self.effects.wake = Wake::All;
    }
}
