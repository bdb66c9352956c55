//! Waking workers, from any worker, without polling.
//!
//! A doorbell is a bell that the master makes before it forks. So its number means the same in all
//! workers, also in those of earlier and later configurations. All workers share a few bells: a ring
//! wakes the worker that is meant, and those that have the same bell.

use core::cell::Cell;
use core::sync::atomic::{AtomicI32, Ordering};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::hooks;
use crate::ffi::nginx::own_connection::{self, Told};
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::posting::Post;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::nginx::Failed;
use crate::ffi::os::bell;
use crate::ffi::os::fd::Fd;
use crate::ids::WorkerId;
use crate::shared::in_flight::Notice;
use crate::zone::Wake;

/// How many bells there are.
const COUNT: usize = 16;

/// The doorbells' file descriptors, in the zone. The master writes them before it forks.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Bells([AtomicI32; COUNT]);

/// The doorbells while they are open, in the master and in each process that it forks.
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
    /// The zone has these bells from now on. Only while no worker of the zone is forked.
    pub(crate) fn set(&self, open: &OpenBells) {
        for (bell, fd) in self.0.iter().zip(&open.0) {
            bell.store(fd.as_raw_fd(), Ordering::Relaxed);
        }
    }

    /// The bell of the worker that has this entry; for NONE one of the bells.
    pub(crate) fn of(&self, worker: WorkerId) -> Fd {
        Fd(self.0.get(number(worker)).map_or(-1, |bell| bell.load(Ordering::Relaxed)))
    }
}

/// How workers are told that they may have something to do.
#[derive(Clone, Copy)]
pub(crate) struct Doors {
    pub bells: &'static Bells,
    pub notices: &'static [Notice],
}

/// Which of the bells a worker has, from 0 to [`COUNT`] - 1.
pub(crate) fn number(worker: WorkerId) -> usize {
    worker.index() % COUNT
}

/// Whom [`wake_soon`] is to wake.
static SOON: PerWorker<Cell<Option<(Doors, Wake)>>> = PerWorker::new(Cell::new(None));
static RING: Timer = Timer::new(on_soon);

/// This worker's entry; NONE if it has none, and in the master.
static OWN: PerWorker<Cell<WorkerId>> = PerWorker::new(Cell::new(WorkerId::NONE));

/// This worker has this entry from now on; none if NONE.
pub(crate) fn set_own(worker: WorkerId) {
    OWN.set(worker);
}

/// Wakes the workers that may have something to do now. If that is this worker alone, its hook is called
/// instead of a bell. Another one alone hears the call without a bell if it is awake.
pub(crate) fn wake(Doors { bells, notices }: Doors, workers: Wake) {
    match workers {
        Wake::Nobody => {}
        Wake::One(worker) if worker.is_some() && worker == OWN.get() => {
            if let Some(hooks) = hooks::get() {
                (hooks.on_my_turn)();
            }
        }
        Wake::One(worker) => {
            if notices.get(worker.index()).is_none_or(|notice| notice.call.call()) {
                bell::ring(bells.of(worker));
            }
        }
        Wake::All => bells.0.iter().for_each(|one| bell::ring(Fd(one.load(Ordering::Relaxed)))),
    }
}

/// As [`wake`], after this turn of the event loop: by then the caller of the control endpoint has the
/// answer, and need not wait until hundreds of workers have had their turn.
pub(crate) fn wake_soon(doors: Doors, workers: Wake) {
    let before = SOON.take().map_or(Wake::Nobody, |(_, before)| before);
    SOON.set(Some((doors, before.and(workers))));
    RING.post(Post::Now);
}

fn on_soon() {
    if let Some((doors, workers)) = SOON.take() {
        wake(doors, workers);
    }
}

/// Adds the bell of an entry to this worker's event loop. Fails if there is no free connection.
pub(crate) fn listen(bells: &Bells, worker: WorkerId) -> Result<(), Failed> {
    own_connection::watch(bells.of(worker), on_ring)
}

fn on_ring(told: Told) {
    let Some(hooks) = hooks::get() else { return };
    if told == Told::ToLeave {
        (hooks.on_leaving)();
    }
    (hooks.on_ring)();
}
