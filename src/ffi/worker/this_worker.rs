//! This worker process: its entry in the zone, and whether it is to leave.

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
    leaving: Cell<bool>,
    /// Whether the zone knows that the master told this worker to leave.
    told: Cell<bool>,
    /// Whether nginx is about to close all connections of this worker.
    pub cut_off: Cell<bool>,
}

static THIS: PerWorker<OnceCell<ThisWorker>> = PerWorker::new(OnceCell::new());

impl ThisWorker {
    /// This process becomes a worker.
    pub(crate) fn begin(zone: SharedZone) -> &'static Self {
        // First of all: as long as it has no entry, a worker that leaves may seem to be the last.
        let entry = Entry::new(zone);
        reap_dead_workers(&zone);
        THIS.get_or_init(|| Self {
            zone,
            entry,
            leaving: Cell::new(false),
            told: Cell::new(false),
            cut_off: Cell::new(false),
        })
    }

    /// This worker. None in the master, in nginx's helpers, and if the configuration has no http block.
    pub(crate) fn current() -> Option<&'static Self> {
        THIS.get()
    }

    /// Its entry in the zone; [`WorkerId::NONE`] if it has none.
    pub(crate) fn id(&self) -> WorkerId {
        self.entry.id()
    }

    /// Whether it is to leave when its requests are done.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// From now on it is to leave when its requests are done.
    pub(crate) fn set_leaving(&self) {
        self.leaving.set(true);
    }

    /// What the master told it, as far as the zone knows.
    pub(crate) fn orders(&self) -> Orders {
        if self.told.get() {
            Orders::Leave
        } else {
            Orders::Stay
        }
    }

    /// If it is to leave and the master said so, tells the zone, once: when the zone knows that of all
    /// workers of the newest configuration, nginx quits.
    ///
    /// A worker that got a signal from somebody else tells nothing: the master starts another one.
    pub(crate) fn check_for_quit(&self) {
        if self.is_leaving() && !self.told.get() && channel::is_told_to_leave() {
            self.told.set(true);
            reap_dead_workers(&self.zone);
            self.zone.visit(|zone| zone.told_to_leave(self.id()));
        }
    }
}
