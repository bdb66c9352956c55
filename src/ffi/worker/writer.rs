//! The thread that writes the state file for a worker. So a slow disk delays only the answers that wait
//! for it.
//!
//! A worker gives the thread a job, and goes on. The thread rings the worker's own doorbell when the job
//! is done, also if it failed. It uses nothing of nginx, and nothing of the zone that needs the lock.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::ffi::os::bell;
use crate::ffi::os::fd::Fd;
use crate::ffi::os::signals::Blocked;
use crate::shared::health::Problem;

/// How long a worker that ends waits for its last job.
const PATIENCE: Duration = Duration::from_secs(1);

/// The thread's stack, in bytes: more than a job ever needs.
const STACK: usize = 256 << 10;

/// Writes something, and returns when it is on the disk.
pub(crate) type Job = Box<dyn FnOnce() -> Result<(), Problem> + Send>;

/// The thread, as its worker knows it.
pub(crate) struct Writer(Arc<Shared>);

struct Shared {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    /// The newest job, if it has not begun. It takes the place of one before it.
    next: Option<Job>,
    /// How many jobs were given; the newest one's number.
    given: u64,
    done: Done,
}

/// How far the thread has come: the number of the last job that is done, and what was wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub job: u64,
    pub problem: Option<Problem>,
}

impl Writer {
    /// Starts the thread, which rings this bell after each job.
    pub(crate) fn start(bell: Fd) -> io::Result<Self> {
        let shared = Arc::new(Shared { work: Mutex::default(), changed: Condvar::new() });
        let its_own = Arc::clone(&shared);
        // Signals are for nginx's own thread. A new thread blocks what the thread that starts it blocks.
        let _blocked = Blocked::all();
        let name = String::from("intermission");
        thread::Builder::new().name(name).stack_size(STACK).spawn(move || its_own.run(bell))?;
        Ok(Self(shared))
    }

    /// Gives the thread a job; one that was given before and has not begun is dropped. Returns its
    /// number.
    pub(crate) fn give(&self, job: Job) -> u64 {
        let mut work = self.0.lock();
        work.next = Some(job);
        work.given += 1;
        self.0.changed.notify_all();
        work.given
    }

    /// How far the thread has come.
    pub(crate) fn done(&self) -> Done {
        self.0.lock().done
    }

    /// Waits until the last job is done, for a second at most.
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
