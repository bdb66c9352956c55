//! What a worker changed is on its way to the state file, and answers wait until it is there.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use nginx_sys::{
    ngx_event_t, ngx_http_request_t, ngx_int_t, ngx_msec_t, ngx_pool_cleanup_add, NGX_ERROR,
    NGX_HTTP_CLIENT_CLOSED_REQUEST,
};
use once_cell::unsync::OnceCell;

use crate::control::answer::Answer;
use crate::ffi::conf;
use crate::ffi::control::answer::send;
use crate::ffi::nginx::log::cycle_log;
use crate::ffi::nginx::queue::{Link, Queue};
use crate::ffi::request::mark::cleanup_data;
use crate::ffi::request::park::{events, finalize, rest, stop_timer};
use crate::ffi::worker::doorbell;
use crate::ffi::worker::state_file::{Owed, StateFile};
use crate::ffi::worker::workers::{self, ThisWorker, Timer};
use crate::ffi::worker::writer::Writer;
use crate::shared::health::{Health, Problem};
use crate::text::AppName;
use crate::zone::Wake;

/// For so long, in ms, an answer waits for the disk. After that it goes out all the same.
const PATIENCE: ngx_msec_t = 60_000;

/// How often it is looked whether others have written, in ms.
const INTERVAL: ngx_msec_t = 20;

/// What could not be written is tried again after so long, in ms.
const AGAIN: ngx_msec_t = 5_000;

/// A worker's dealings with the state file.
pub(crate) struct Saving {
    writer: OnceCell<Writer>,
    /// The last job that was given to the writer.
    given: Cell<u64>,
    /// The last one whose outcome is known here, and what was wrong.
    known: Cell<u64>,
    problem: Cell<Option<Problem>>,
    /// What others are to write that have the file. Nobody tells when they have.
    owed: Cell<Owed>,
    asking: Timer,
    answers: Queue<Late>,
    again: Timer,
}

/// An answer that waits, in its request's memory.
struct Late {
    link: Link<Late>,
    r: *mut ngx_http_request_t,
    name: AppName,
    job: u64,
    owed: Owed,
    answer: Cell<Option<Answer>>,
}

impl Saving {
    pub(crate) fn new(log: *mut nginx_sys::ngx_log_t) -> Self {
        Self {
            writer: OnceCell::new(),
            given: Cell::new(0),
            known: Cell::new(0),
            problem: Cell::new(None),
            owed: Cell::default(),
            asking: Timer::new(on_asking, log),
            answers: Queue::new(),
            again: Timer::new(on_again, log),
        }
    }

    /// Once it is where it stays.
    pub(crate) fn init(&self) {
        self.answers.init();
    }

    /// Waits a while for what is still to be written: the worker ends.
    pub(crate) fn finish(&self) {
        if let Some(writer) = self.writer.get() {
            writer.finish();
        }
    }

    /// Whether nothing is on its way by this worker's own writer.
    fn is_idle(&self) -> bool {
        self.known.get() >= self.given.get()
    }
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
                this.saving.owed.set(owed);
                doorbell::wake(&this.zone, Wake::All);
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
    let saving = &this.saving;
    let Some(job) = state.job(&this.zone) else { return };
    let writer = saving.writer.get_or_try_init(|| {
        // Without a doorbell of its own nobody would tell it.
        let bell = this.id().is_some().then(|| doorbell::bell_of(&this.zone, this.id()));
        Writer::start(bell.ok_or(std::io::ErrorKind::NotFound)?)
    });
    match writer {
        Ok(writer) => saving.given.set(writer.give(job)),
        Err(_) => outcome(this, state, job().err()),
    }
}

/// Tells of what could not be written, once, and tries again later.
fn outcome(this: &ThisWorker, state: &StateFile, problem: Option<Problem>) {
    let before = this.saving.problem.replace(problem);
    match problem {
        Some(problem) => {
            if before != Some(problem) {
                state.complain(cycle_log(), problem);
            }
            this.saving.again.start(AGAIN);
        }
        None if before.is_some() => state.is_good_again(cycle_log()),
        None => {}
    }
}

/// Whether what others are to write is in the file, or cannot be written.
fn is_paid(this: &ThisWorker, owed: Owed) -> bool {
    let failed = || matches!(this.zone.signals().state_file(), Health::Bad(_));
    this.zone.file().has_paid(owed) || failed()
}

extern "C" fn on_again(_: *mut ngx_event_t) {
    if let Some(this) = workers::this().filter(|this| this.saving.problem.get().is_some()) {
        save(this);
    }
}

/// The doorbell rang: the writer may have come further, or an old worker may have left something to
/// be written.
pub(crate) fn look(this: &ThisWorker) {
    let saving = &this.saving;
    if let Some(done) = saving.writer.get().filter(|_| !saving.is_idle()).map(Writer::done) {
        let state = conf::of_this_process().and_then(|conf| conf.state.as_ref());
        let further = done.job != saving.known.replace(done.job);
        if let Some(state) = state.filter(|_| further) {
            outcome(this, state, done.problem);
        }
    }
    // What is on its way, or is tried again later, is not begun once more at each ring.
    let may = saving.is_idle() && saving.problem.get().is_none();
    if may && this.zone.file().is_owed() && newest_file(this).is_some() {
        save(this);
    }
    answer_those_that_are_written(this);
}

extern "C" fn on_asking(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    answer_those_that_are_written(this);
    if this.saving.answers.iter().any(|late| !is_paid(this, late.owed)) {
        this.saving.asking.start(INTERVAL);
    }
}

fn answer_those_that_are_written(this: &ThisWorker) {
    let (saving, due) = (&this.saving, Queue::new());
    due.init();
    let is_due = |late: &Late| late.job <= saving.known.get() && is_paid(this, late.owed);
    for late in saving.answers.iter().filter(|late| is_due(late)) {
        late.link.leave();
        due.push(late, &late.link);
    }
    while let Some(late) = due.first() {
        // SAFETY: whoever is in the queue is live; the event's own handler answers, and may end it
        // and others.
        unsafe {
            (*late).link.leave();
            let (_, wev) = events(&*(*late).r);
            stop_timer(wev);
            if let Some(handler) = wev.handler {
                handler(wev);
            }
        }
    }
}

/// Answers when all that this worker changed is on the disk. Returns with what to finalize the
/// request; None if it waits.
pub(crate) fn answer(
    r: &mut ngx_http_request_t,
    name: AppName,
    answer: Answer,
) -> Option<ngx_int_t> {
    // SAFETY: configurations outlive the requests that run on them.
    let zone = unsafe { conf::main_conf(&*ptr::from_mut(r)) }.and_then(|conf| conf.zone);
    let Some(zone) = zone else { return Some(NGX_ERROR as ngx_int_t) };
    let is_late =
        |this: &ThisWorker| !this.saving.is_idle() || !is_paid(this, this.saving.owed.get());
    let late = workers::this().filter(|this| is_late(this) && ptr::eq(r, r.main));
    match late {
        Some(this) => wait(r, this, name, answer).err(),
        None => Some(send(r, &zone, name, answer)),
    }
}

fn wait(
    r: &mut ngx_http_request_t,
    this: &ThisWorker,
    name: AppName,
    answer: Answer,
) -> Result<(), ngx_int_t> {
    const ERROR: ngx_int_t = NGX_ERROR as ngx_int_t;
    // SAFETY: a live request's pool; the cleanup's data becomes a value before it can run.
    let late = unsafe {
        let cleanup = ngx_pool_cleanup_add(r.pool, size_of::<Late>()).as_mut().ok_or(ERROR)?;
        let place = cleanup.data.cast::<Late>();
        let (job, owed) = (this.saving.given.get(), this.saving.owed.get());
        let answer = Cell::new(Some(answer));
        place.write(Late { link: Link::new(), r, name, job, owed, answer });
        cleanup.handler = Some(on_cleanup);
        &*place
    };
    this.saving.answers.push(late, &late.link);
    if !is_paid(this, late.owed) {
        this.saving.asking.start(INTERVAL);
    }
    rest(r, on_write, PATIENCE).map_err(|_| ERROR)
}

/// The request's write event: it is written, that takes too long, its client is gone, or nothing at
/// all.
extern "C" fn on_write(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes a live request, waiting on its connection.
    let (r, wev) = unsafe { (&mut *r, events(&*r).1) };
    // SAFETY: cleanups with our handler have what wait put there.
    let late = unsafe { cleanup_data(r, on_cleanup).cast::<Late>().as_ref() };
    let Some(late) = late else { return };
    if wev.error() != 0 {
        return finalize(r, NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t);
    }
    if wev.delayed() != 0 {
        return;
    }
    late.link.leave();
    // SAFETY: configurations outlive the requests that run on them.
    let zone = unsafe { conf::main_conf(&*ptr::from_mut(r)) }.and_then(|conf| conf.zone);
    let sent = match (zone, late.answer.take()) {
        (Some(zone), Some(answer)) => send(r, &zone, late.name, answer),
        _ => NGX_ERROR as ngx_int_t,
    };
    finalize(r, sent);
}

/// The request's memory is about to go.
extern "C" fn on_cleanup(data: *mut c_void) {
    // SAFETY: from wait, once.
    unsafe {
        let late = data.cast::<Late>();
        (*late).link.leave();
        drop((*late).answer.take());
    }
}
