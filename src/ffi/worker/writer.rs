//! The thread that writes the state file for a worker, so that a slow disk delays nobody but who
//! asks for it.
//!
//! A worker hands it what is to be written, and goes on. It rings the worker's own doorbell when that
//! is on the disk, or could not be written. It touches neither nginx nor the tables of the zone.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::ffi::os::bell;
use crate::ffi::os::fd::Fd;
use crate::ffi::os::signals::Blocked;
use crate::shared::health::Problem;

/// A worker that leaves waits for so long for what is still to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// More than a snapshot's way to the disk ever needs, in bytes.
const STACK: usize = 256 << 10;

/// What is to be written, and how.
pub(crate) type Job = Box<dyn FnOnce() -> Result<(), Problem> + Send>;

/// The thread, as its worker knows it.
pub(crate) struct Writer(Arc<Shared>);

struct Shared {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    /// The newest job; those before it need not be done any more.
    next: Option<Job>,
    /// How many jobs there were.
    given: u64,
    /// The last one that is done, or has been overtaken by one that is.
    done: Done,
}

/// How far the thread has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub job: u64,
    pub problem: Option<Problem>,
}

impl Writer {
    /// Starts the thread, which rings this bell.
    pub(crate) fn start(bell: Fd) -> io::Result<Self> {
        let shared = Arc::new(Shared { work: Mutex::default(), changed: Condvar::new() });
        let its_own = Arc::clone(&shared);
        // Signals are for nginx's own thread: a new one has what the one that starts it blocks.
        let _blocked = Blocked::all();
        let name = String::from("intermission");
        thread::Builder::new().name(name).stack_size(STACK).spawn(move || its_own.run(bell))?;
        Ok(Self(shared))
    }

    /// Hands a job over that makes those before it needless; returns its number.
    pub(crate) fn give(&self, job: Job) -> u64 {
        let mut work = self.0.lock();
        work.next = Some(job);
        work.given += 1;
        self.0.changed.notify_all();
        work.given
    }

    /// How far it has come.
    pub(crate) fn done(&self) -> Done {
        self.0.lock().done
    }

    /// Waits a while for what is still to be done.
    pub(crate) fn finish(&self) {
        let end = Instant::now() + PATIENCE;
        let mut work = self.0.lock();
        while work.done.job < work.given {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(work, left);
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, bell: Fd) {
        let mut work = self.lock();
        loop {
            let Some(job) = work.next.take() else {
                work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let number = work.given;
            drop(work);
            let problem = job().err();
            work = self.lock();
            work.done = Done { job: number, problem };
            self.changed.notify_all();
            bell::ring(bell);
        }
    }
}
