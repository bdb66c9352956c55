//! Control requests that are answered when an app is quiet, or drained.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use nginx_sys::{
    ngx_event_t, ngx_http_request_t, ngx_int_t, ngx_msec_t, ngx_pool_cleanup_add,
    NGX_HTTP_CLIENT_CLOSED_REQUEST,
};

use crate::control::carry_out::{Wait, Waited};
use crate::control::status::Status;
use crate::ffi::control::ask;
use crate::ffi::control::saving;
use crate::ffi::module::Failed;
use crate::ffi::nginx::flags::event;
use crate::ffi::nginx::log::{log_of, write};
use crate::ffi::nginx::queue::{Link, Queue};
use crate::ffi::request::mark::cleanup_data;
use crate::ffi::request::park::{events, finalize, rest, start_timer, stop_timer};
use crate::ffi::worker::entry;
use crate::ffi::worker::reap;
use crate::ffi::worker::workers::{self, ThisWorker, LONGEST_TIMER};
use crate::ids::{Cookie, Epoch, WorkerId};
use crate::log_lines::About;
use crate::shared::word::Word;
use crate::zone::{Deadline, WaitResult, Zone};

/// How often whoever waits looks, in ms: nobody tells when the last one in flight is finished.
const INTERVAL: ngx_msec_t = 20;

/// A control request that waits, in its own memory.
pub(crate) struct Waiting {
    link: Link<Waiting>,
    r: *mut ngx_http_request_t,
    wait: Wait,
    end: Cell<WaitResult>,
    /// His time is over, and all workers were asked what they have in flight.
    asked: Cell<Option<Epoch>>,
}

impl Waiting {
    pub(crate) fn new(wait: Wait) -> Self {
        let (end, asked) = (Cell::new(WaitResult::Pending), Cell::new(None));
        Self { link: Link::new(), r: ptr::null_mut(), wait, end, asked }
    }

    /// Looks once more; whether it is over.
    fn poll(&self, this: &ThisWorker, deadline: Deadline) -> bool {
        let cookie = cookie(self.r);
        let result = visit(this, |zone| zone.poll(self.wait.place, this.id(), cookie, deadline));
        self.end.set(result);
        result != WaitResult::Pending
    }
}

/// Visits the zone; what that changes is on its way to the disk when it returns.
fn visit<R>(this: &ThisWorker, f: impl FnOnce(&mut Zone<'_>) -> R) -> R {
    let (result, changed) = this.zone.visit(|zone| {
        let before = zone.version();
        (f(zone), zone.version() != before)
    });
    if changed {
        saving::save(this);
    }
    result
}

/// What the zone knows the caller by; none where this worker has no place there, or a subrequest
/// calls, whose connection is not its own.
pub(crate) fn me(r: &ngx_http_request_t) -> Option<(WorkerId, Cookie)> {
    let worker = workers::this().filter(|_| ptr::eq(r, r.main))?;
    entry::is_needed(worker);
    worker.id().is_some().then(|| (worker.id(), cookie(r)))
}

fn cookie(r: *const ngx_http_request_t) -> Cookie {
    Cookie(r as usize as u64)
}

/// Lets the request wait; it is finalized when it is answered.
pub(crate) fn begin(r: &mut ngx_http_request_t, waiting: Waiting) -> Result<(), Failed> {
    let this = workers::this().ok_or(Failed)?;
    // SAFETY: a live request's pool; the cleanup's data becomes a value before it can run.
    let place = unsafe {
        let cleanup = ngx_pool_cleanup_add(r.pool, size_of::<Waiting>()).as_mut();
        cleanup.map(|cleanup| {
            let place = cleanup.data.cast::<Waiting>();
            place.write(Waiting { r, ..waiting });
            cleanup.handler = Some(on_cleanup);
            &*place
        })
    };
    let Some(waiting) = place else {
        visit(this, |zone| zone.cancel_wait(waiting.wait.place, this.id(), cookie(r)));
        return Err(Failed);
    };
    this.waiting.push(waiting, &waiting.link);
    let time = (waiting.wait.time.0 as ngx_msec_t).min(LONGEST_TIMER);
    rest(r, on_write, time)?;
    this.looking.start_within(1);
    Ok(())
}

/// Answers those for whom it is over.
pub(crate) fn look(this: &ThisWorker) {
    if this.waiting.is_empty() {
        return;
    }
    // As long as nobody looks, the zone counts a worker that had no entry as one that cannot be asked.
    entry::is_lacking(&this.zone);
    let over = Queue::new();
    over.init();
    let told = |waiting: &Waiting| waiting.asked.get().is_some_and(|at| ask::all_told(this, at));
    let deadline = |waiting: &Waiting| {
        let over = this.cut_off.get() || told(waiting);
        if over {
            Deadline::Over
        } else {
            Deadline::Ahead
        }
    };
    for waiting in this.waiting.iter().filter(|waiting| waiting.poll(this, deadline(waiting))) {
        waiting.link.leave();
        over.push(waiting, &waiting.link);
    }
    while let Some(waiting) = over.first() {
        // SAFETY: whoever is in the queue is live; the event's own handler answers, and may end it
        // and others.
        unsafe {
            (*waiting).link.leave();
            let (_, wev) = events(&*(*waiting).r);
            stop_timer(wev);
            if let Some(handler) = wev.handler {
                handler(wev);
            }
        }
    }
}

pub(crate) extern "C" fn on_looking(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    if this.waiting.is_empty() {
        return;
    }
    reap::reap_dead_workers(&this.zone);
    look(this);
    if !this.waiting.is_empty() {
        this.looking.start(INTERVAL);
    }
}

/// The request's write event: it is over, its time is, its client is gone, or nothing at all.
extern "C" fn on_write(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes a live request, waiting on its connection.
    let (r, wev) = unsafe { (&mut *r, events(&*r).1) };
    let (Some(this), Some(waiting)) = (workers::this(), find(r)) else { return };
    if waiting.end.get() == WaitResult::Pending {
        if event::ERROR.is_set(wev) {
            return finalize(r, NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t);
        }
        if event::DELAYED.is_set(wev)
            || is_asking(this, waiting, wev)
            || !waiting.poll(this, Deadline::Over)
        {
            return;
        }
        waiting.link.leave();
    }
    let app = this.zone.visit(|zone| Status::of(zone, waiting.wait.app));
    let waited = Waited { look: waiting.end.get(), done: waiting.wait.done, app };
    if let Some(event) = waited.event() {
        write(log_of(r), &About(&waiting.wait.app, event));
    }
    if let Some(sent) = saving::answer(r, waiting.wait.app, waited.answer()) {
        finalize(r, sent);
    }
}

/// The time of one who waits for a quiet app is over: he is to be told what it does not finish.
/// Whether the workers are still to say that.
fn is_asking(this: &ThisWorker, waiting: &Waiting, wev: &mut ngx_event_t) -> bool {
    let is_paused =
        || this.zone.visit(|zone| Status::of(zone, waiting.wait.app)).state == Word::Paused;
    if waiting.asked.get().is_some() || !is_paused() {
        return false;
    }
    let asked = ask::ask(this);
    waiting.asked.set(Some(asked));
    if ask::all_told(this, asked) {
        return false;
    }
    start_timer(wev, ask::PATIENCE);
    this.looking.start_within(1);
    true
}

fn find(r: &ngx_http_request_t) -> Option<&Waiting> {
    // SAFETY: cleanups with our handler have what begin put there.
    unsafe { cleanup_data(r, on_cleanup).cast::<Waiting>().as_ref() }
}

/// The request's memory is about to go: who waited is gone, or was answered.
extern "C" fn on_cleanup(data: *mut c_void) {
    // SAFETY: from begin.
    let waiting = unsafe { &*data.cast::<Waiting>() };
    waiting.link.leave();
    if let Some(this) = workers::this().filter(|_| waiting.end.get() == WaitResult::Pending) {
        let cookie = cookie(waiting.r);
        visit(this, |zone| zone.cancel_wait(waiting.wait.place, this.id(), cookie));
    }
}
