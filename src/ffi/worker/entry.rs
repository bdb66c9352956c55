//! This worker's entry in the zone's worker table.

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

use super::reap::reap_dead_workers;
use super::zone::SharedZone;
use super::{doorbell, unlisted};
use crate::ffi::nginx::Failed;
use crate::ffi::os::process;
use crate::ids::{Generation, Process, WorkerId};
use crate::shared::workers::Orders;

/// In the master, the newest configuration's generation. A worker has what it was at its fork.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Workers that are forked from now on are of this generation.
pub(crate) fn set_generation(generation: Generation) {
    GENERATION.store(generation.0, Ordering::Relaxed);
}

/// What this process knows of its entry.
pub(crate) struct Entry {
    zone: SharedZone,
    id: Cell<WorkerId>,
    process: Process,
    /// Without a master, GENERATION changes at a reload: this stays what it was at the start.
    generation: Generation,
    /// Whether this process is on the roll of those without an entry.
    is_on_roll: Cell<bool>,
    /// The bells that it listens to, a bit each.
    bells: Cell<u32>,
}

impl Entry {
    /// Asks for an entry.
    pub(crate) fn new(zone: SharedZone) -> Self {
        let entry = Self {
            zone,
            id: Cell::new(WorkerId::NONE),
            process: process::own(),
            generation: Generation(GENERATION.load(Ordering::Relaxed)),
            is_on_roll: Cell::new(false),
            bells: Cell::new(0),
        };
        let id = entry.register(Orders::Stay);
        if id.is_some() {
            entry.take(id);
        }
        entry
    }

    /// Its place in the zone's table; [`WorkerId::NONE`] if this worker has no entry.
    pub(crate) fn id(&self) -> WorkerId {
        self.id.get()
    }

    /// Gives the entry back: the process ends, or another worker needs the entry.
    pub(crate) fn end(&self) {
        self.zone.visit(|zone| zone.reap(self.id(), self.process));
        self.set(WorkerId::NONE);
    }

    /// Asks the zone for an entry, which is then taken or declined. Returns NONE if the table is full,
    /// also without the workers that are dead.
    pub(crate) fn register(&self, orders: Orders) -> WorkerId {
        // Before it asks: a worker that finds the roll empty after that cannot have missed this one.
        if !self.is_on_roll.get() {
            self.is_on_roll.set(unlisted::enter(self.zone.roll()).is_ok());
        }
        let register =
            || self.zone.visit(|zone| zone.register(self.process, self.generation, orders));
        let id = register();
        if id.is_some() {
            return id;
        }
        reap_dead_workers(&self.zone);
        register()
    }

    /// This is its entry from now on.
    pub(crate) fn take(&self, id: WorkerId) {
        self.set(id);
        self.leave_roll();
    }

    /// Gives back an entry that it was given and cannot use.
    pub(crate) fn decline(&self, id: WorkerId) {
        self.zone.visit(|zone| zone.decline(id, self.process));
    }

    /// It has an entry, or needs none.
    pub(crate) fn leave_roll(&self) {
        if self.is_on_roll.replace(false) {
            unlisted::leave(self.zone.roll());
        }
    }

    /// Listens to the bell of an entry; for NONE to any bell. Fails if there is no free connection.
    pub(crate) fn listen(&self, id: WorkerId) -> Result<(), Failed> {
        let bell = 1 << doorbell::number(id);
        if self.bells.get() & bell == 0 {
            doorbell::listen(self.zone.bells(), id)?;
            self.bells.set(self.bells.get() | bell);
        }
        Ok(())
    }

    fn set(&self, id: WorkerId) {
        self.id.set(id);
        if let Some(notice) = self.zone.signals().notices.get(id.index()) {
            notice.call.begin();
        }
        doorbell::set_own(id);
    }
}

/// Whether any other worker has no entry. Only a worker with an entry may ask: the kernel does not
/// tell a process of its own lock.
pub(crate) fn any_lacks_entry(zone: &SharedZone) -> bool {
    let Some(seen) = zone.visit(|zone| zone.lacks_entries()) else { return false };
    let any = unlisted::any_other(zone.roll());
    if !any {
        zone.visit(|zone| zone.all_are_listed(seen));
    }
    any
}
