//! Events of our own that a timer or a post makes happen.

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

/// An event of our own. It keeps no worker from leaving.
#[repr(C)]
pub(crate) struct Timer {
    event: PerWorker<UnsafeCell<ngx_event_t>>,
    on_event: fn(),
}

callbacks! {
    /// The handler of a timer's event. A timer begins with its event: so nginx's pointer leads to both.
    handler: (&Timer) as (*mut ngx_event_t);
}

/// The connection of all events of our own: at debug level nginx logs the descriptor of an event's
/// connection.
static NO_CONNECTION: PerWorker<UnsafeCell<ngx_connection_t>> =
    PerWorker::new(UnsafeCell::new(ngx_connection_t { fd: -1, ..zero() }));

impl Timer {
    /// An event that calls `on_event`. It must be a static: nginx has pointers to it while it is to
    /// happen.
    pub(crate) const fn new(on_event: fn()) -> Self {
        let event = ngx_event_t { handler: handler(on_timer), ..zero() };
        Self { event: PerWorker::new(UnsafeCell::new(event)), on_event }
    }

    /// It happens after this many ms. If its timer is set already, that stays as it is.
    pub(crate) fn start(&'static self, after: ngx_msec_t) {
        let ev = self.event();
        if !event::TIMER_SET.is_set(&ev) {
            functions::add_timer(ev, after);
        }
    }

    /// It happens after this many ms, or sooner if its timer is set to be over sooner.
    pub(crate) fn start_within(&'static self, after: ngx_msec_t) {
        let ends = cycle::now().monotonic.after(Msec(after as u64));
        let ev = self.event();
        // The key of a timer is when it is over, on the monotonic clock.
        if event::TIMER_SET.is_set(&ev) && ev.timer.key as u64 > ends.0 {
            functions::del_timer(ev);
        }
        self.start(after);
    }

    /// It happens at this time on the monotonic clock, whatever was set before; never if None. It
    /// happens after a day at the latest: then `on_event` must set it again.
    pub(crate) fn set(&'static self, at: Option<Msec>) {
        functions::del_timer(self.event());
        if let Some(at) = at {
            let after = at.since(cycle::now().monotonic).0 as ngx_msec_t;
            self.start(after.min(LONGEST_TIMER));
        }
    }

    /// It happens in this turn of the event loop or the next, unless it is posted already.
    pub(crate) fn post(&'static self, when: Post) {
        self.event().post(when);
    }

    /// It happens before all events that are posted in this turn of the event loop.
    pub(crate) fn post_first(&'static self) {
        functions::post_first(self.event());
    }

    /// It happens behind the first event that is posted in this turn of the event loop; not if none is.
    pub(crate) fn post_second(&'static self) {
        functions::post_second(self.event());
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
