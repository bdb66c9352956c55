//! This worker's entry in the zone: it gets one, seeks one for as long as it has none, and gives it
//! away when it is to leave and has nothing left that it could be asked about.

use core::cell::Cell;

use nginx_sys::{ngx_event_t, ngx_log_t, ngx_msec_t};

use crate::ffi::module::Failed;
use crate::ffi::request::in_flight;
use crate::ffi::worker::doorbell;
use crate::ffi::worker::reap;
use crate::ffi::worker::unlisted;
use crate::ffi::worker::workers::{self, ThisWorker, Timer};
use crate::ffi::worker::zone::{generation, SharedZone};
use crate::ids::{Generation, Process, WorkerId};
use crate::shared::workers::Orders;

/// How often a worker without an entry asks for one, in ms.
const SEEKING_INTERVAL: ngx_msec_t = 500;

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
    seeking: Timer,
}

impl Entry {
    /// Asks for one.
    pub(crate) fn new(zone: SharedZone, log: *mut ngx_log_t) -> Self {
        let entry = Self {
            zone,
            id: Cell::new(WorkerId::NONE),
            process: reap::this(),
            generation: generation(),
            unlisted: Cell::new(false),
            bells: Cell::new(0),
            seeking: Timer::new(on_seeking, log),
        };
        let id = entry.find(Orders::Stay);
        if id.is_some() {
            entry.have(id);
        }
        entry
    }

    /// At its final place: listens to its doorbell, or to somebody's.
    pub(crate) fn init(&self) -> Result<(), Failed> {
        if !self.id().is_some() {
            self.seeking.start(SEEKING_INTERVAL);
        }
        self.listen(self.id())
    }

    /// Its place in the zone's tables; none where it has no entry.
    pub(crate) fn id(&self) -> WorkerId {
        self.id.get()
    }

    /// The process ends.
    pub(crate) fn end(&self) {
        self.zone.visit(|zone| zone.reap(self.id(), self.process));
    }

    fn find(&self, orders: Orders) -> WorkerId {
        // Before it asks: who has found nobody without an entry cannot have missed this one.
        if !self.unlisted.get() {
            self.unlisted.set(unlisted::enter(self.zone.roll()).is_ok());
        }
        let register =
            || self.zone.visit(|zone| zone.register(self.process, self.generation, orders));
        let id = register();
        if id.is_some() {
            return id;
        }
        reap::reap_dead_workers(&self.zone);
        register()
    }

    fn have(&self, id: WorkerId) {
        self.id.set(id);
        self.is_not_meant();
    }

    /// It has an entry, or need not be asked.
    fn is_not_meant(&self) {
        if self.unlisted.replace(false) {
            unlisted::leave(self.zone.roll());
        }
    }

    /// Listens to the doorbell of an entry.
    fn listen(&self, id: WorkerId) -> Result<(), Failed> {
        let bell = 1 << doorbell::number(id);
        if self.bells.get() & bell == 0 {
            doorbell::listen(&self.zone, id)?;
            self.bells.set(self.bells.get() | bell);
        }
        Ok(())
    }
}

/// Whether there is a worker without an entry. Only a worker that has one may ask.
pub(crate) fn is_lacking(zone: &SharedZone) -> bool {
    let Some(seen) = zone.visit(|zone| zone.lacks_entries()) else { return false };
    let lacking = unlisted::anybody_else(zone.roll());
    if !lacking {
        zone.visit(|zone| zone.all_are_listed(seen));
    }
    lacking
}

/// A worker that is to leave and has nothing left gives its entry to one that has none.
pub(crate) fn give_way(this: &ThisWorker) {
    let may = this.is_leaving() && this.id().is_some() && this.has_nothing_left();
    if may && is_lacking(&this.zone) {
        in_flight::take_row(this, WorkerId::NONE);
        this.entry.end();
        this.entry.id.set(WorkerId::NONE);
    }
}

/// A request comes. If this worker gave its entry away, it is to be asked again.
pub(crate) fn is_needed(this: &ThisWorker) {
    if !this.id().is_some() && this.is_leaving() {
        seek(this);
    }
}

fn seek(this: &ThisWorker) {
    let entry = &this.entry;
    let id = entry.find(this.orders());
    if id.is_some() && entry.listen(id).is_ok() {
        entry.have(id);
        in_flight::take_row(this, id);
        return in_flight::refresh(this);
    }
    if id.is_some() {
        entry.zone.visit(|zone| zone.decline(id, entry.process));
    }
    entry.seeking.start(SEEKING_INTERVAL);
}

extern "C" fn on_seeking(_: *mut ngx_event_t) {
    let Some(this) = workers::this().filter(|this| !this.id().is_some()) else { return };
    if this.is_leaving() && this.has_nothing_left() {
        this.entry.is_not_meant();
    } else {
        seek(this);
    }
}
