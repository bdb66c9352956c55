//! This worker's turn: takes its run of the line, lets each go on in order, hands the baton on.

use nginx_sys::{
    ngx_event_t, ngx_post_event, ngx_posted_events, ngx_posted_next_events, ngx_queue_data,
    ngx_queue_empty, ngx_queue_insert_before, ngx_queue_remove, ngx_queue_t,
};

use super::hold::Hold;
use super::workers::{self, ThisWorker};
use crate::ids::Cookie;

/// At most so many go on before the event loop turns.
const LONGEST_RUN: u32 = 256;

/// Sees whether it is this worker's turn, before the event loop turns.
pub(super) fn schedule() {
    post(&raw mut ngx_posted_events);
}

/// Sees whether it is this worker's turn, when the event loop has turned.
pub(super) fn schedule_next() {
    post(&raw mut ngx_posted_next_events);
}

fn post(queue: *mut ngx_queue_t) {
    let Some(this) = workers::this() else { return };
    if this.held.get() > 0 && this.zone.gates().any_moving() {
        // SAFETY: our own event and nginx's own queue, on nginx's one thread.
        unsafe { ngx_post_event(this.turn.get(), queue) };
    }
}

/// Runs between two turns of the event loop.
pub(super) extern "C" fn on_turn(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    let (id, last) = (this.id, this.last.get());
    let app = this.zone.visit(|zone| {
        zone.take_run(id, last, LONGEST_RUN, |cookie| {
            // SAFETY: this process filled the slot, and its mark lives while it is held.
            unsafe { append(this, cookie) };
        })
    });
    let Some(app) = app else { return };
    this.last.set(app);
    this.left.set(0);
    let mut passed_on = 0;
    // SAFETY: the run holds live marks: one that dies takes itself out.
    while let Some(hold) = unsafe { first(this) } {
        passed_on += 1;
        // SAFETY: live and granted; it is not touched again.
        unsafe { Hold::release(hold) };
    }
    this.zone
        .visit(|zone| zone.give_back(app, id, passed_on, this.left.get()));
}

/// # Safety
/// The cookie is that of a live mark which is in no run.
unsafe fn append(this: &ThisWorker, cookie: Cookie) {
    // SAFETY: the caller's.
    unsafe {
        let hold = cookie.0 as usize as *mut Hold;
        (*hold).grant();
        ngx_queue_insert_before(this.run.get(), (*hold).queue.get());
    }
}

/// Takes the first mark out of the run.
///
/// # Safety
/// The marks in the run are live.
unsafe fn first(this: &ThisWorker) -> Option<*mut Hold> {
    // SAFETY: the caller's; init_process made the queue.
    unsafe {
        let run = this.run.get();
        if ngx_queue_empty(run) {
            return None;
        }
        let queue = (*run).next;
        ngx_queue_remove(queue);
        Some(ngx_queue_data!(queue, Hold, queue))
    }
}
