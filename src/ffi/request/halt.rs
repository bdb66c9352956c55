//! What a line waits for: a released request that is delayed before it connects to the app.

use core::cell::Cell;
use core::ptr;

use nginx_sys::{ngx_http_core_content_phase, ngx_http_phase_handler_pt, ngx_http_request_t};
use ngx::http::{HttpModuleLocationConf, HttpModuleMainConf, NgxHttpCoreModule};

use super::mark::Mark;
use crate::ffi::nginx::flags::request;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::nginx::{body, pointers};
use crate::ids::AppId;
use crate::time::Msec;

/// nginx does not tell when a delay is over: the request is looked at after 1 ms, and then again after
/// an eighth of the time that it has been delayed, but at the latest after this.
const LONGEST_INTERVAL: Msec = Msec(100);

/// How long a line waits if `resolver_timeout` is 0.
const LONGEST_WAIT: Msec = Msec(30_000);

/// The lines that wait for a delayed request of this worker, at most one of each app.
pub(crate) struct Halts {
    all: PerWorker<Cell<Vec<Halt>>>,
    timer: Timer,
}

/// A line that waits. This worker has its baton.
pub(crate) struct Halt {
    pub app: AppId,
    /// The delayed request. None when it is gone.
    delayed: Cell<Option<&'static Mark>>,
    since: Msec,
    /// The line waits no longer than until then, on the monotonic clock.
    until: Msec,
}

impl Halts {
    pub(crate) const fn new(on_timer: fn()) -> Self {
        Self { all: PerWorker::new(Cell::new(Vec::new())), timer: Timer::new(on_timer) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.with(|all| all.is_empty())
    }

    /// The line of this app waits for a delayed request, until [`Halts::forget`] at the latest.
    pub(crate) fn begin(&'static self, app: AppId, delayed: &'static Mark, now: Msec) {
        let core = NgxHttpCoreModule::location_conf(delayed.r().lasting());
        let timeout = core.map_or(0, |core| core.resolver_timeout);
        let timeout = Some(Msec(timeout as u64)).filter(|time| *time > Msec(0));
        let halt = Halt {
            app,
            delayed: Cell::new(Some(delayed)),
            since: now,
            // Earlier than nginx's own timeout: if that came first, the line would wait as long for each
            // request behind this one.
            until: now.after(Msec(timeout.unwrap_or(LONGEST_WAIT).0 * 9 / 10)),
        };
        self.with(|all| all.push(halt));
        self.timer.start_within(1);
    }

    /// Takes out one that has ended: its request goes to the app or is gone, or was delayed for too
    /// long.
    pub(crate) fn take_ended(&self, now: Msec) -> Option<Halt> {
        self.take(|halt| halt.is_over(now))
    }

    /// Takes out any.
    pub(crate) fn take_any(&self) -> Option<Halt> {
        self.take(|_| true)
    }

    fn take(&self, which: impl Fn(&Halt) -> bool) -> Option<Halt> {
        self.with(|all| {
            let found = all.iter().position(which)?;
            Some(all.swap_remove(found))
        })
    }

    /// Starts the timer for the next look.
    pub(crate) fn look_again(&'static self, now: Msec) {
        let interval = |halt: &Halt| Msec(now.since(halt.since).0 / 8).min(LONGEST_INTERVAL);
        let soonest = self.with(|all| all.iter().map(interval).min());
        if let Some(Msec(soonest)) = soonest {
            self.timer.start_within((soonest as usize).max(1));
        }
    }

    /// A released request is gone: no line waits for it any more.
    pub(crate) fn forget(&'static self, mark: &Mark) {
        let waited_for = self.with(|all| {
            let is_it = |delayed: &'static Mark| ptr::eq(delayed, mark);
            let halt = all.iter().find(|halt| halt.delayed.get().is_some_and(is_it));
            halt.map(|halt| halt.delayed.set(None)).is_some()
        });
        if waited_for {
            self.timer.start_within(0);
        }
    }

    /// `f` must not use the halts itself: meanwhile there are none.
    fn with<R>(&self, f: impl FnOnce(&mut Vec<Halt>) -> R) -> R {
        let mut all = self.all.take();
        let result = f(&mut all);
        self.all.set(all);
        result
    }
}

impl Halt {
    fn is_over(&self, now: Msec) -> bool {
        self.is_late(now) || !self.delayed.get().is_some_and(is_delayed)
    }

    /// Whether the line has waited as long as it waits for any request.
    pub(crate) fn is_late(&self, now: Msec) -> bool {
        now >= self.until
    }
}

/// Whether a released request is delayed, so that the next one might overtake it: its host is being
/// resolved, a thread reads its file of nginx's cache, or an internal redirect leads through
/// `auth_request` or `limit_req`. It is no delay if the request waits for its client, or for the answer
/// to another request (`proxy_cache_lock`).
pub(crate) fn is_delayed(mark: &Mark) -> bool {
    if !mark.is_starting() || body::is_on_its_way(&mark.r()) {
        return false;
    }
    let Some(upstream) = mark.upstream() else { return !is_in_content_phase(&mark.r()) };
    let resolves = pointers::resolved(upstream).is_some_and(|one| !one.ctx.is_null());
    resolves || request::AIO.is_set(&mark.r()) || !is_in_content_phase(&mark.r())
}

/// Whether its phases have come to the content handler.
fn is_in_content_phase(r: &ngx_http_request_t) -> bool {
    const CONTENT: ngx_http_phase_handler_pt = Some(ngx_http_core_content_phase);
    let Some(core) = NgxHttpCoreModule::main_conf(r) else { return true };
    // SAFETY: the phase of a live request is an index of nginx's table of handlers.
    let checker = unsafe { (*core.phase_engine.handlers.offset(r.phase_handler)).checker };
    checker.zip(CONTENT).is_some_and(|(one, content)| ptr::fn_addr_eq(one, content))
}
