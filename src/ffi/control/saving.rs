//! Has the pauses written to the state file whenever they change, by a thread of this worker.
//!
//! An old worker may have another file open, or none. Then it leaves the writing to the workers
//! that have the newest configuration's file.

use core::cell::Cell;

use nginx_sys::ngx_msec_t;
use once_cell::unsync::OnceCell;

use crate::ffi::conf;
use crate::ffi::nginx::cycle;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::worker::doorbell;
use crate::ffi::worker::file_status::Owed;
use crate::ffi::worker::state_file::StateFile;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ffi::worker::writer::Writer;
use crate::shared::health::{Health, Problem};
use crate::zone::Wake;

/// A write that failed is repeated after this time, in ms.
const AGAIN_INTERVAL: ngx_msec_t = 5_000;

/// How far this worker's writing has come.
struct Saving {
    writer: OnceCell<Writer>,
    /// The last job that was given to the writer.
    given: Cell<u64>,
    /// The last job of which this worker knows that it is done.
    done: Cell<u64>,
    /// What was wrong with that job.
    problem: Cell<Option<Problem>>,
    /// What this worker left to others to write.
    owed: Cell<Owed>,
}

static SAVING: PerWorker<Saving> = PerWorker::new(Saving {
    writer: OnceCell::new(),
    given: Cell::new(0),
    done: Cell::new(0),
    problem: Cell::new(None),
    owed: Cell::new(Owed::NOTHING),
});

static AGAIN: Timer = Timer::new(on_again);

/// The point that the writing must reach until all that this worker has changed is on the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// The job of this worker's own writer.
    job: u64,
    owed: Owed,
}

impl Point {
    /// The changes up to now.
    pub(crate) fn now() -> Self {
        Self { job: SAVING.given.get(), owed: SAVING.owed.get() }
    }

    /// Whether all is on the disk, or cannot be written.
    pub(crate) fn is_reached(self, this: &ThisWorker) -> bool {
        self.job <= SAVING.done.get() && !self.waits_for_others(this)
    }

    /// Whether other workers have not written their part. They do not ring when they have.
    pub(crate) fn waits_for_others(self, this: &ThisWorker) -> bool {
        let failed = || matches!(this.zone.signals().state_file(), Health::Bad(_));
        !this.zone.file().has_paid(self.owed) && !failed()
    }
}

/// The pauses may have changed: has them written as they are now, unless the file has them already.
/// Does not wait for the disk.
pub(crate) fn save(this: &ThisWorker) {
    match newest_file(this) {
        Some(file) if file.is_behind(&this.zone) => give(this, file),
        Some(_) => {}
        None => {
            let version = this.zone.visit(|zone| zone.version());
            if let Some(owed) = this.zone.file().owe(version) {
                SAVING.owed.set(owed);
                doorbell::wake(this.zone.doors(), Wake::All);
            }
        }
    }
}

/// The doorbell rang: this worker's writer may have done a job, or another worker may have left
/// something to be written.
pub(crate) fn follow(this: &ThisWorker) {
    if let Some(done) = SAVING.writer.get().filter(|_| !is_idle()).map(Writer::done) {
        let is_new = done.job != SAVING.done.replace(done.job);
        if let Some(file) = file().filter(|_| is_new) {
            note_outcome(file, done.problem);
        }
    }
    // A job that is under way, or is repeated later, is not begun again at each ring.
    let is_free = is_idle() && SAVING.problem.get().is_none();
    if is_free && this.zone.file().is_owed() && newest_file(this).is_some() {
        save(this);
    }
}

/// The worker ends: waits a while for its writer.
pub(crate) fn finish() {
    if let Some(writer) = SAVING.writer.get() {
        writer.finish();
    }
}

/// Whether this worker's writer has done all that it was given.
fn is_idle() -> bool {
    SAVING.done.get() >= SAVING.given.get()
}

/// The file of the configuration that this worker runs on.
fn file() -> Option<&'static StateFile> {
    conf::of_this_process().and_then(|conf| conf.state.as_ref())
}

/// The same. Returns None if a newer configuration has another one.
fn newest_file(this: &ThisWorker) -> Option<&'static StateFile> {
    file().filter(|file| file.is_newest(&this.zone))
}

/// Gives the writer a job, and starts the writer with the first one.
fn give(this: &ThisWorker, file: &StateFile) {
    let Some(job) = file.job(&this.zone) else { return };
    let writer = SAVING.writer.get_or_try_init(|| {
        // The writer rings this worker's own doorbell when it has done a job.
        let bell = this.id().is_some().then(|| this.zone.bells().of(this.id()));
        Writer::start(bell.ok_or(std::io::ErrorKind::NotFound)?)
    });
    match writer {
        Ok(writer) => SAVING.given.set(writer.give(job)),
        // No thread: this worker itself waits for the disk.
        Err(_) => note_outcome(file, job().err()),
    }
}

/// A job is done: logs a problem once, and starts the timer for the next attempt.
fn note_outcome(file: &StateFile, problem: Option<Problem>) {
    let before = SAVING.problem.replace(problem);
    match problem {
        Some(problem) => {
            if before != Some(problem) {
                file.complain(cycle::log(), problem);
            }
            AGAIN.start(AGAIN_INTERVAL);
        }
        None if before.is_some() => file.is_good_again(cycle::log()),
        None => {}
    }
}

fn on_again() {
    if let Some(this) = ThisWorker::current().filter(|_| SAVING.problem.get().is_some()) {
        save(this);
    }
}
