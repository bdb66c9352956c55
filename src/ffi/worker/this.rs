//! This worker process.

use core::cell::Cell;

use once_cell::unsync::OnceCell;

use super::channel;
use super::entry::Entry;
use super::reap::reap_dead_workers;
use super::zone::SharedZone;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ids::WorkerId;
use crate::shared::workers::Orders;

/// What this process knows of itself.
pub(crate) struct ThisWorker {
    pub zone: SharedZone,
    pub entry: Entry,
    /// Whether it is to leave, and whether that was said to the zone as the master's word.
    leaving: Cell<bool>,
    told: Cell<bool>,
    /// Whether nginx is about to cut off whatever is left here.
    pub cut_off: Cell<bool>,
}

static THIS: PerWorker<OnceCell<ThisWorker>> = PerWorker::new(OnceCell::new());

/// This worker. None in the master, and if the configuration has no http block.
pub(crate) fn current() -> Option<&'static ThisWorker> {
    THIS.get()
}

/// This process becomes a worker.
pub(crate) fn begin(zone: SharedZone) -> &'static ThisWorker {
    // First of all: as long as it has no entry, a worker that leaves may seem to be the last.
    let entry = Entry::new(zone);
    reap_dead_workers(&zone);
    THIS.get_or_init(|| ThisWorker {
        zone,
        entry,
        leaving: Cell::new(false),
        told: Cell::new(false),
        cut_off: Cell::new(false),
    })
}

impl ThisWorker {
    /// Its entry in the zone; [`WorkerId::NONE`] if there is none for it.
    pub(crate) fn id(&self) -> WorkerId {
        self.entry.id()
    }

    /// Whether it is to leave when its requests are done.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// It is to leave when its requests are done.
    pub(crate) fn leaves(&self) {
        self.leaving.set(true);
    }

    /// What the master said, as far as the zone knows.
    pub(crate) fn orders(&self) -> Orders {
        if self.told.get() {
            Orders::Leave
        } else {
            Orders::Stay
        }
    }
}

/// A worker that is told to leave by hand says nothing of the others: the master runs on, and what is
/// held stays. One that the master told says so to the zone.
pub(crate) fn check_for_quit() {
    let Some(this) = current().filter(|this| this.is_leaving()) else { return };
    if !this.told.get() && channel::told_to_leave() {
        this.told.set(true);
        reap_dead_workers(&this.zone);
        this.zone.visit(|zone| zone.told_to_leave(this.id()));
    }
}
