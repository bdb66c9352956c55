//! nginx's event loop: another function waits for the events, which asks nginx to wait.

use core::cell::Cell;

use nginx_sys::{ngx_cycle_t, ngx_int_t, ngx_msec_t, ngx_uint_t, NGX_POST_EVENTS};

use super::functions;
use super::per_worker::PerWorker;

/// One wait for events. The longest time is in ms.
#[derive(Clone, Copy)]
pub(crate) struct Wait<'c> {
    cycle: &'c ngx_cycle_t,
    longest: ngx_msec_t,
    flags: ngx_uint_t,
}

/// What nginx's function returned.
#[derive(Clone, Copy)]
pub(crate) struct Waited(ngx_int_t);

type Waits = fn(Wait<'_>) -> Waited;

static INSTEAD: PerWorker<Cell<Waits>> = PerWorker::new(Cell::new(|wait| wait.as_ever()));

/// From now on this worker calls `instead` when it waits for events.
pub(crate) fn wrap(instead: Waits) {
    INSTEAD.set(instead);
    functions::wrap_wait(on_wait);
}

/// From now on nginx waits by itself.
pub(crate) fn unwrap() {
    functions::unwrap_wait();
}

/// Whether events are posted, to happen in this turn of the event loop.
pub(crate) fn any_posted() -> bool {
    functions::any_posted() != 0
}

extern "C" fn on_wait(cycle: &ngx_cycle_t, longest: ngx_msec_t, flags: ngx_uint_t) -> ngx_int_t {
    let Waited(result) = (INSTEAD.get())(Wait { cycle, longest, flags });
    result
}

impl Wait<'_> {
    /// Waits as without us: mostly nginx calls the events' handlers meanwhile.
    pub(crate) fn as_ever(self) -> Waited {
        Waited(functions::wait(self.cycle, self.longest, self.flags))
    }

    /// Waits, and posts the events, as nginx does while it has its accept mutex.
    pub(crate) fn post(self) -> Waited {
        Self { flags: self.flags | NGX_POST_EVENTS as ngx_uint_t, ..self }.as_ever()
    }

    /// Posts the events that are there.
    pub(crate) fn post_ready(self) -> Waited {
        Self { longest: 0, ..self }.post()
    }

    /// Whether it may take any time.
    pub(crate) fn may_sleep(self) -> bool {
        self.longest > 0
    }
}
