//! Waking workers, from any worker, without polling.
//!
//! A doorbell is a bell that the master makes before it forks, so that its number means the same to all
//! workers, those of earlier and later reloads included. A few bells are shared by all workers: ringing
//! one wakes one in as many.

use core::cell::Cell;
use core::sync::atomic::{AtomicI32, Ordering};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::hooks;
use crate::ffi::nginx::own_connection::{self, Told};
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::Failed;
use crate::ffi::os::bell;
use crate::ffi::os::fd::Fd;
use crate::ids::WorkerId;
use crate::zone::Wake;

const COUNT: usize = 16;

/// The doorbells' file descriptors, in the zone. The master writes them before it forks.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Bells([AtomicI32; COUNT]);

/// The doorbells while they are open: the master's, and those of all that it forks.
#[derive(Debug)]
pub(crate) struct OpenBells([OwnedFd; COUNT]);

impl OpenBells {
    /// Makes them.
    pub(crate) fn new() -> io::Result<Self> {
        let made = (0..COUNT).map(|_| bell::new()).collect::<io::Result<Vec<_>>>()?;
        made.try_into().map(Self).map_err(|_| io::Error::other("too few"))
    }
}

impl Bells {
    /// These from now on: no worker of their zone is forked yet.
    pub(crate) fn set(&self, open: &OpenBells) {
        for (bell, fd) in self.0.iter().zip(&open.0) {
            bell.store(fd.as_raw_fd(), Ordering::Relaxed);
        }
    }

    /// A worker's.
    pub(crate) fn of(&self, worker: WorkerId) -> Fd {
        Fd(self.0.get(number(worker)).map_or(-1, |bell| bell.load(Ordering::Relaxed)))
    }
}

/// Which of the bells is a worker's.
pub(crate) fn number(worker: WorkerId) -> usize {
    worker.index() % COUNT
}

/// This worker's entry, as far as it has one.
static OWN: PerWorker<Cell<WorkerId>> = PerWorker::new(Cell::new(WorkerId::NONE));

/// This worker has this entry from now on, or none.
pub(crate) fn is_own(worker: WorkerId) {
    OWN.set(worker);
}

/// Wakes those that may have become able to release; this worker too, if it is one of them.
pub(crate) fn wake(bells: &Bells, whom: Wake) {
    match whom {
        Wake::Nobody => {}
        Wake::One(worker) if worker.is_some() && worker == OWN.get() => {
            if let Some(hooks) = hooks::get() {
                (hooks.my_turn)();
            }
        }
        Wake::One(worker) => bell::ring(bells.of(worker)),
        Wake::All => bells.0.iter().for_each(|one| bell::ring(Fd(one.load(Ordering::Relaxed)))),
    }
}

/// Adds a worker's bell to this worker's event loop.
pub(crate) fn listen(bells: &Bells, worker: WorkerId) -> Result<(), Failed> {
    own_connection::watch(bells.of(worker), on_ring)
}

fn on_ring(told: Told) {
    let Some(hooks) = hooks::get() else { return };
    if told == Told::ToLeave {
        (hooks.leaving)();
    }
    (hooks.rang)();
}
