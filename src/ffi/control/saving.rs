//! What a worker changed is on its way to the state file, and answers wait until it is there.

use core::cell::Cell;

use nginx_sys::{ngx_int_t, ngx_msec_t, NGX_ERROR};
use once_cell::unsync::OnceCell;

use super::answer::send;
use super::parked::{answer_where, park, Awaited, Parked};
use crate::control::answer::Answer;
use crate::ffi::conf;
use crate::ffi::nginx::attach::Kind;
use crate::ffi::nginx::cycle;
use crate::ffi::nginx::event::Timer;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::queue::Queue;
use crate::ffi::nginx::request::Request;
use crate::ffi::worker::doorbell;
use crate::ffi::worker::state_file::StateFile;
use crate::ffi::worker::this::{self, ThisWorker};
use crate::ffi::worker::words::Owed;
use crate::ffi::worker::writer::Writer;
use crate::shared::health::{Health, Problem};
use crate::text::AppName;
use crate::zone::Wake;

/// For so long, in ms, an answer waits for the disk. After that it goes out all the same.
const PATIENCE: ngx_msec_t = 60_000;

/// How often it is looked whether others have written, in ms.
const INTERVAL: ngx_msec_t = 20;

/// What could not be written is tried again after so long, in ms.
const AGAIN_INTERVAL: ngx_msec_t = 5_000;

/// A worker's dealings with the state file.
struct Saving {
    writer: OnceCell<Writer>,
    /// The last job that was given to the writer.
    given: Cell<u64>,
    /// The last one whose outcome is known here, and what was wrong.
    known: Cell<u64>,
    problem: Cell<Option<Problem>>,
    /// What others are to write that have the file. Nobody tells when they have.
    owed: Cell<Owed>,
}

static SAVING: PerWorker<Saving> = PerWorker::new(Saving {
    writer: OnceCell::new(),
    given: Cell::new(0),
    known: Cell::new(0),
    problem: Cell::new(None),
    owed: Cell::new(Owed::NOTHING),
});

/// Answers that wait for the disk.
static LATE: Queue<Parked<Late>> = Queue::new(Parked::link);
static KIND: Kind = Kind::new();

/// Looks whether others have written.
static OTHERS: Timer = Timer::new(on_others);
/// What could not be written is tried again.
static AGAIN: Timer = Timer::new(on_again);

/// An answer that waits for this job, and for what others owe.
struct Late {
    name: AppName,
    job: u64,
    owed: Owed,
    answer: Cell<Option<Answer>>,
}

/// The worker ends: waits a while for what is still to be written.
pub(crate) fn finish() {
    if let Some(writer) = SAVING.writer.get() {
        writer.finish();
    }
}

/// Whether nothing is on its way by this worker's own writer.
fn is_idle() -> bool {
    SAVING.known.get() >= SAVING.given.get()
}

/// The pauses may have changed: they are written as they are now, while this worker goes on, unless
/// they stand in the file. An old worker may have another file open, or none: then a newer one writes.
pub(crate) fn save(this: &ThisWorker) {
    match newest_file(this) {
        Some(state) if state.lags(&this.zone) => give(this, state),
        Some(_) => {}
        None => {
            let version = this.zone.visit(|zone| zone.version());
            if let Some(owed) = this.zone.file().owe(version) {
                SAVING.owed.set(owed);
                doorbell::wake(this.zone.bells(), Wake::All);
            }
        }
    }
}

/// The newest configuration's file, if this worker has it.
fn newest_file(this: &ThisWorker) -> Option<&'static StateFile> {
    let state = conf::of_this_process().and_then(|conf| conf.state.as_ref());
    state.filter(|state| state.is_newest(&this.zone))
}

fn give(this: &ThisWorker, state: &StateFile) {
    let Some(job) = state.job(&this.zone) else { return };
    let writer = SAVING.writer.get_or_try_init(|| {
        // Without a doorbell of its own nobody would tell it.
        let bell = this.id().is_some().then(|| this.zone.bells().of(this.id()));
        Writer::start(bell.ok_or(std::io::ErrorKind::NotFound)?)
    });
    match writer {
        Ok(writer) => SAVING.given.set(writer.give(job)),
        Err(_) => outcome(state, job().err()),
    }
}

/// Tells of what could not be written, once, and tries again later.
fn outcome(state: &StateFile, problem: Option<Problem>) {
    let before = SAVING.problem.replace(problem);
    match problem {
        Some(problem) => {
            if before != Some(problem) {
                state.complain(cycle::log(), problem);
            }
            AGAIN.start(AGAIN_INTERVAL);
        }
        None if before.is_some() => state.is_good_again(cycle::log()),
        None => {}
    }
}

/// Whether what others are to write is in the file, or cannot be written.
fn is_paid(this: &ThisWorker, owed: Owed) -> bool {
    let failed = || matches!(this.zone.signals().state_file(), Health::Bad(_));
    this.zone.file().has_paid(owed) || failed()
}

fn on_again() {
    if let Some(this) = this::current().filter(|_| SAVING.problem.get().is_some()) {
        save(this);
    }
}

/// The doorbell rang: the writer may have come further, or an old worker may have left something to
/// be written.
pub(crate) fn look(this: &ThisWorker) {
    if let Some(done) = SAVING.writer.get().filter(|_| !is_idle()).map(Writer::done) {
        let state = conf::of_this_process().and_then(|conf| conf.state.as_ref());
        let further = done.job != SAVING.known.replace(done.job);
        if let Some(state) = state.filter(|_| further) {
            outcome(state, done.problem);
        }
    }
    // What is on its way, or is tried again later, is not begun once more at each ring.
    let may = is_idle() && SAVING.problem.get().is_none();
    if may && this.zone.file().is_owed() && newest_file(this).is_some() {
        save(this);
    }
    answer_written(this);
}

fn on_others() {
    let Some(this) = this::current() else { return };
    answer_written(this);
    if LATE.iter().any(|late| !is_paid(this, late.awaited.owed)) {
        OTHERS.start(INTERVAL);
    }
}

fn answer_written(this: &ThisWorker) {
    answer_where(|late: &Late, _| late.job <= SAVING.known.get() && is_paid(this, late.owed));
}

/// Answers when all that this worker changed is on the disk. Returns with what to finalize the request;
/// None if it waits.
pub(crate) fn answer(r: Request, name: AppName, answer: Answer) -> Option<ngx_int_t> {
    let is_late = |this: &ThisWorker| !is_idle() || !is_paid(this, SAVING.owed.get());
    match this::current().filter(|this| is_late(this) && r.is_main()) {
        Some(this) => wait(r, this, name, answer),
        None => Some(send_now(r, name, answer)),
    }
}

fn wait(r: Request, this: &ThisWorker, name: AppName, answer: Answer) -> Option<ngx_int_t> {
    let (job, owed) = (SAVING.given.get(), SAVING.owed.get());
    if !is_paid(this, owed) {
        OTHERS.start(INTERVAL);
    }
    let late = Late { name, job, owed, answer: Cell::new(Some(answer)) };
    park(r, late, PATIENCE).err().map(|_| NGX_ERROR as ngx_int_t)
}

fn send_now(r: Request, name: AppName, answer: Answer) -> ngx_int_t {
    let zone = conf::main_conf(&r).and_then(|conf| conf.zone);
    zone.map_or(NGX_ERROR as ngx_int_t, |zone| send(r, &zone, name, answer))
}

impl Awaited for Late {
    const KIND: &'static Kind = &KIND;

    fn queue() -> &'static Queue<Parked<Self>> {
        &LATE
    }

    fn answer(&self, r: Request) {
        let answer = self.answer.take();
        r.finalize(answer.map_or(NGX_ERROR as ngx_int_t, |answer| send_now(r, self.name, answer)));
    }
}
