//! Timers of our own.

use core::cell::UnsafeCell;

use nginx_sys::{ngx_connection_t, ngx_event_t, ngx_msec_t};

use super::callbacks::callbacks;
use super::event::Event;
use super::flags::event;
use super::per_worker::PerWorker;
use super::plain::zero;
use super::posting::{Post, LONGEST_TIMER};
use super::{cycle, functions};
use crate::time::Msec;

/// An event of our own that only a timer or a post makes happen. It keeps no worker from leaving.
#[repr(C)]
pub(crate) struct Timer {
    event: PerWorker<UnsafeCell<ngx_event_t>>,
    on_event: fn(),
}

callbacks! {
    /// What happens when a timer is over, which begins with its event.
    handler: (&Timer) as (*mut ngx_event_t);
}

/// What our own events have for a connection: at debug level nginx logs the descriptor of each.
static NO_CONNECTION: PerWorker<UnsafeCell<ngx_connection_t>> =
    PerWorker::new(UnsafeCell::new(ngx_connection_t { fd: -1, ..zero() }));

impl Timer {
    /// Calls this when it happens. It must be a static's: nginx links it.
    pub(crate) const fn new(on_event: fn()) -> Self {
        let event = ngx_event_t { handler: handler(on_timer), ..zero() };
        Self { event: PerWorker::new(UnsafeCell::new(event)), on_event }
    }

    /// It happens after so many milliseconds, unless it is to happen already.
    pub(crate) fn start(&'static self, after: ngx_msec_t) {
        let ev = self.event();
        if !event::TIMER_SET.is_set(&ev) {
            functions::add_timer(ev, after);
        }
    }

    /// It happens after so many milliseconds, or sooner if it is to happen sooner already.
    pub(crate) fn start_within(&'static self, after: ngx_msec_t) {
        let ends = cycle::now().monotonic.after(Msec(after as u64));
        let ev = self.event();
        // A timer's key is when it ends, on the monotonic clock.
        if event::TIMER_SET.is_set(&ev) && ev.timer.key as u64 > ends.0 {
            functions::del_timer(ev);
        }
        self.start(after);
    }

    /// It happens at this time on the monotonic clock, whatever was set before; never if None. It
    /// happens after a day at the latest: what it calls must set it again.
    pub(crate) fn set(&'static self, at: Option<Msec>) {
        functions::del_timer(self.event());
        if let Some(at) = at {
            let after = at.since(cycle::now().monotonic).0 as ngx_msec_t;
            self.start(after.min(LONGEST_TIMER));
        }
    }

    /// It happens soon, unless it is posted already.
    pub(crate) fn post(&'static self, when: Post) {
        self.event().post(when);
    }

    fn event(&'static self) -> Event {
        let ev = Event::own(&self.event);
        ev.update(|ev| {
            if ev.data.is_null() {
                ev.data = NO_CONNECTION.get().cast();
                event::CANCELABLE.set(ev);
            }
            ev.log = cycle::log();
        });
        ev
    }
}

extern "C" fn on_timer(timer: &Timer) {
    (timer.on_event)();
}
