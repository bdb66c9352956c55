//! Control requests that say what is in flight: all workers are asked first.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use nginx_sys::{
    ngx_event_t, ngx_http_request_t, ngx_int_t, ngx_msec_t, ngx_pool_cleanup_add,
    NGX_HTTP_CLIENT_CLOSED_REQUEST,
};

use crate::ffi::control::endpoint;
use crate::ffi::nginx::flags::event;
use crate::ffi::nginx::queue::{Link, Queue};
use crate::ffi::request::in_flight;
use crate::ffi::request::mark::cleanup_data;
use crate::ffi::request::park::{events, finalize, rest, stop_timer};
use crate::ffi::worker::workers::{self, ThisWorker};
use crate::ids::Epoch;
use crate::zone;

/// For how long such a request waits for workers that do not answer, in ms.
pub(crate) const PATIENCE: ngx_msec_t = zone::PATIENCE.0 as ngx_msec_t;

/// How often it is looked whether they have, in ms; the first time after one.
const INTERVAL: ngx_msec_t = 5;

/// A control request that waits for the workers' answers, in its own memory.
pub(crate) struct Asking {
    link: Link<Asking>,
    r: *mut ngx_http_request_t,
    asked: Epoch,
    told: Cell<bool>,
}

/// Asks all workers; returns what they must have seen.
pub(crate) fn ask(this: &ThisWorker) -> Epoch {
    let asked = this.zone.visit(|zone| zone.ask());
    in_flight::answer_questions(this);
    asked
}

/// Whether all of them have answered.
pub(crate) fn all_told(this: &ThisWorker, asked: Epoch) -> bool {
    this.zone.visit(|zone| zone.all_told(asked))
}

/// Whether the request is to wait until all workers have said what they have in flight. It is
/// carried out again when they have, and does not wait then.
pub(crate) fn waits(r: &mut ngx_http_request_t) -> bool {
    let Some(this) = workers::this().filter(|this| this.id().is_some()) else { return false };
    // A subrequest has no connection of its own to wait on.
    if !ptr::eq(r, r.main) || find(r).is_some() {
        return false;
    }
    let asked = ask(this);
    !all_told(this, asked) && begin(r, this, asked)
}

fn begin(r: &mut ngx_http_request_t, this: &ThisWorker, asked: Epoch) -> bool {
    // SAFETY: a live request's pool; the cleanup's data becomes a value before it can run.
    let asking = unsafe {
        let Some(cleanup) = ngx_pool_cleanup_add(r.pool, size_of::<Asking>()).as_mut() else {
            return false;
        };
        let place = cleanup.data.cast::<Asking>();
        place.write(Asking { link: Link::new(), r, asked, told: Cell::new(false) });
        cleanup.handler = Some(on_cleanup);
        &*place
    };
    if rest(r, on_write, PATIENCE).is_err() {
        return false;
    }
    this.asking.push(asking, &asking.link);
    this.listening.start_within(1);
    true
}

/// Looks whose question has been answered.
pub(crate) extern "C" fn on_listening(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    let told = Queue::new();
    told.init();
    for asking in this.asking.iter().filter(|asking| all_told(this, asking.asked)) {
        asking.link.leave();
        told.push(asking, &asking.link);
    }
    while let Some(asking) = told.first() {
        // SAFETY: whoever is in the queue is live; the event's own handler answers, and may end it
        // and others.
        unsafe {
            (*asking).link.leave();
            (*asking).told.set(true);
            let (_, wev) = events(&*(*asking).r);
            stop_timer(wev);
            if let Some(handler) = wev.handler {
                handler(wev);
            }
        }
    }
    if !this.asking.is_empty() {
        this.listening.start(INTERVAL);
    }
}

/// The request's write event: all have answered, or it has waited long enough, its client is gone,
/// or nothing at all.
extern "C" fn on_write(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes a live request, waiting on its connection.
    let (r, wev) = unsafe { (&mut *r, events(&*r).1) };
    let Some(asking) = find(r) else { return };
    if event::ERROR.is_set(wev) {
        return finalize(r, NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t);
    }
    if event::DELAYED.is_set(wev) && !asking.told.get() {
        return;
    }
    asking.link.leave();
    stop_timer(wev);
    if let Some(answered) = endpoint::answer(r) {
        finalize(r, answered);
    }
}

fn find(r: &ngx_http_request_t) -> Option<&Asking> {
    // SAFETY: cleanups with our handler have what begin put there.
    unsafe { cleanup_data(r, on_cleanup).cast::<Asking>().as_ref() }
}

/// The request's memory is about to go.
extern "C" fn on_cleanup(data: *mut c_void) {
    // SAFETY: from begin.
    unsafe { (*data.cast::<Asking>()).link.leave() };
}
