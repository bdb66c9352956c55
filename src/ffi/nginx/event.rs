//! nginx's events, and timers of our own.

use core::cell::UnsafeCell;

use nginx_sys::{
    ngx_add_timer, ngx_connection_t, ngx_del_timer, ngx_event_t, ngx_msec_t, ngx_post_event,
    ngx_queue_remove,
};

use super::cycle;
use super::flags::event;
use super::per_worker::PerWorker;
use super::plain::zero;
use crate::time::Msec;

/// nginx waits for its next timer by an `int` of milliseconds: no timer of ours is longer than a day.
pub(crate) const LONGEST_TIMER: ngx_msec_t = 24 * 60 * 60 * 1000;

/// When a posted event happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Post {
    /// Before the event loop turns.
    Now,
    /// When the event loop has turned, without a wait.
    NextTurn,
}

/// The event happens soon, unless it is posted already.
pub(crate) fn post(ev: &mut ngx_event_t, when: Post) {
    // SAFETY: a live event, which leaves nginx's queue when it happens or its connection is closed.
    unsafe {
        let queue = match when {
            Post::Now => &raw mut nginx_sys::ngx_posted_events,
            Post::NextTurn => &raw mut nginx_sys::ngx_posted_next_events,
        };
        ngx_post_event(ev, queue);
    }
}

/// Takes an event out of the queue that it is posted to. Returns whether it was in one.
pub(crate) fn unpost(ev: &mut ngx_event_t) -> bool {
    let posted = event::POSTED.is_set(ev);
    if posted {
        event::POSTED.clear(ev);
        // SAFETY: an event that is posted is in nginx's queue.
        unsafe { ngx_queue_remove(&raw mut ev.queue) };
    }
    posted
}

/// The event happens after so many milliseconds.
pub(crate) fn start_timer(ev: &mut ngx_event_t, after: ngx_msec_t) {
    // SAFETY: a live event, whose timer is stopped before it is freed.
    unsafe { ngx_add_timer(ev, after) };
}

/// The event does not happen by its timer, if that was started.
pub(crate) fn stop_timer(ev: &mut ngx_event_t) {
    if event::TIMER_SET.is_set(ev) {
        // SAFETY: a live event whose timer was started.
        unsafe { ngx_del_timer(ev) };
    }
}

/// Does what the event's handler does; that may free the event.
///
/// # Safety
/// The event is live, and nobody has a reference to it.
pub(crate) unsafe fn handle(ev: *mut ngx_event_t) {
    // SAFETY: the caller's; no reference is held while the handler runs.
    unsafe {
        if let Some(handler) = (*ev).handler {
            handler(ev);
        }
    }
}

/// An event of our own that only a timer or a post makes happen. It keeps no worker from leaving.
#[repr(C)]
pub(crate) struct Timer {
    event: PerWorker<UnsafeCell<ngx_event_t>>,
    on_event: fn(),
}

/// What our own events have for a connection: at debug level nginx logs the descriptor of each.
static NO_CONNECTION: PerWorker<UnsafeCell<ngx_connection_t>> =
    PerWorker::new(UnsafeCell::new(ngx_connection_t { fd: -1, ..zero() }));

impl Timer {
    /// Calls this when it happens. It must be a static's: nginx links it.
    pub(crate) const fn new(on_event: fn()) -> Self {
        let event = ngx_event_t { handler: Some(on_timer), ..zero() };
        Self { event: PerWorker::new(UnsafeCell::new(event)), on_event }
    }

    /// It happens after so many milliseconds, unless it is to happen already.
    pub(crate) fn start(&'static self, after: ngx_msec_t) {
        if !event::TIMER_SET.is_set(self.event()) {
            start_timer(self.event(), after.min(LONGEST_TIMER));
        }
    }

    /// It happens after so many milliseconds, or sooner if it is to happen sooner already.
    pub(crate) fn start_within(&'static self, after: ngx_msec_t) {
        let ends = cycle::now().monotonic.after(Msec(after as u64));
        let ev = self.event();
        // A timer's key is when it ends, on the monotonic clock.
        if event::TIMER_SET.is_set(ev) && ev.timer.key as u64 > ends.0 {
            stop_timer(ev);
        }
        self.start(after);
    }

    /// It happens at this time on the monotonic clock, whatever was set before; never if None.
    pub(crate) fn set(&'static self, at: Option<Msec>) {
        stop_timer(self.event());
        if let Some(at) = at {
            self.start(at.since(cycle::now().monotonic).0 as ngx_msec_t);
        }
    }

    /// It happens soon, unless it is posted already.
    pub(crate) fn post(&'static self, when: Post) {
        post(self.event(), when);
    }

    #[allow(clippy::mut_from_ref)]
    fn event(&'static self) -> &'static mut ngx_event_t {
        // SAFETY: one thread; the reference is used at once, and no handler runs meanwhile.
        let ev = unsafe { &mut *self.event.get() };
        if ev.data.is_null() {
            ev.data = NO_CONNECTION.get().cast();
            event::CANCELABLE.set(ev);
        }
        ev.log = cycle::log();
        ev
    }
}

extern "C" fn on_timer(ev: *mut ngx_event_t) {
    // SAFETY: the handler of timers only, each of which begins with its event.
    let timer = unsafe { &*ev.cast::<Timer>() };
    (timer.on_event)();
}
