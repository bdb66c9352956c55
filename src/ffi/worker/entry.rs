//! This worker's entry in the zone, and how it comes to one.

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

use super::reap::reap_dead_workers;
use super::zone::SharedZone;
use super::{doorbell, unlisted};
use crate::ffi::nginx::Failed;
use crate::ffi::os::process;
use crate::ids::{Generation, Process, WorkerId};
use crate::shared::workers::Orders;

/// The newest configuration's, in the master; a worker has what it was when the master forked it.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The workers that are forked from now on serve this one.
pub(crate) fn set_generation(generation: Generation) {
    GENERATION.store(generation.0, Ordering::Relaxed);
}

/// What this process knows of its entry.
pub(crate) struct Entry {
    zone: SharedZone,
    id: Cell<WorkerId>,
    process: Process,
    /// It stays what it was when the process came, whatever is loaded after that.
    generation: Generation,
    /// Whether all can see that it has none.
    unlisted: Cell<bool>,
    /// A bit for each doorbell that it listens to.
    bells: Cell<u32>,
}

impl Entry {
    /// Asks for one.
    pub(crate) fn new(zone: SharedZone) -> Self {
        let entry = Self {
            zone,
            id: Cell::new(WorkerId::NONE),
            process: process::own(),
            generation: Generation(GENERATION.load(Ordering::Relaxed)),
            unlisted: Cell::new(false),
            bells: Cell::new(0),
        };
        let id = entry.find(Orders::Stay);
        if id.is_some() {
            entry.have(id);
        }
        entry
    }

    /// Its place in the zone's tables; [`WorkerId::NONE`] if it has no entry.
    pub(crate) fn id(&self) -> WorkerId {
        self.id.get()
    }

    /// The process ends, or gives its entry to another one.
    pub(crate) fn end(&self) {
        self.zone.visit(|zone| zone.reap(self.id(), self.process));
        self.set(WorkerId::NONE);
    }

    /// Asks for an entry. NONE if there is none.
    pub(crate) fn find(&self, orders: Orders) -> WorkerId {
        // Before it asks: a worker that has found nobody without an entry cannot have missed this one.
        if !self.unlisted.get() {
            self.unlisted.set(unlisted::enter(self.zone.roll()).is_ok());
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
    pub(crate) fn have(&self, id: WorkerId) {
        self.set(id);
        self.is_not_meant();
    }

    /// An entry that it has found is of no use to it.
    pub(crate) fn decline(&self, id: WorkerId) {
        self.zone.visit(|zone| zone.decline(id, self.process));
    }

    /// It has an entry, or need not be asked.
    pub(crate) fn is_not_meant(&self) {
        if self.unlisted.replace(false) {
            unlisted::leave(self.zone.roll());
        }
    }

    /// Listens to the doorbell of an entry, or to any if it has none.
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
        doorbell::is_own(id);
    }
}

/// Whether there is a worker without an entry. Only a worker that has one may ask.
pub(crate) fn is_lacking(zone: &SharedZone) -> bool {
    let Some(seen) = zone.visit(|zone| zone.lacks_entries()) else { return false };
    let lacking = unlisted::any_other(zone.roll());
    if !lacking {
        zone.visit(|zone| zone.all_are_listed(seen));
    }
    lacking
}
