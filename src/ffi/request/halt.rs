//! What a line waits for: one that was released and is delayed on its way to the app.

use core::cell::Cell;
use core::ptr;

use nginx_sys::{ngx_event_t, ngx_http_core_content_phase, ngx_http_request_t, ngx_log_t};

use crate::ffi::conf;
use crate::ffi::nginx::evaluate;
use crate::ffi::nginx::flags::request;
use crate::ffi::request::mark::Mark;
use crate::ffi::worker::workers::Timer;
use crate::ids::AppId;
use crate::time::Msec;

/// One that is delayed is looked at after 1 ms, then after an eighth of the time that it has taken,
/// and at the latest after this: what nginx does for it tells nobody when it is done.
const LONGEST_INTERVAL: Msec = Msec(100);

/// For how long a line waits where `resolver_timeout` sets no end.
const LONGEST_WAIT: Msec = Msec(30_000);

/// The lines that wait for a request of this worker, each of another app.
pub(crate) struct Halts {
    all: Cell<Vec<Halt>>,
    looking: Timer,
}

/// A line that has halted; this worker has its baton.
pub(crate) struct Halt {
    pub app: AppId,
    /// The one that is delayed; null when it is gone.
    delayed: Cell<*const Mark>,
    since: Msec,
    /// The line waits no longer.
    until: Msec,
}

impl Halts {
    pub(crate) fn new(
        on_looking: unsafe extern "C" fn(*mut ngx_event_t),
        log: *mut ngx_log_t,
    ) -> Self {
        Self { all: Cell::default(), looking: Timer::new(on_looking, log) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.with(|all| all.is_empty())
    }

    /// The line of this app waits for one that is delayed.
    pub(crate) fn begin(&self, app: AppId, delayed: &Mark, now: Msec) {
        let timeout =
            conf::core_loc_conf(delayed.request()).map_or(0, |core| core.resolver_timeout);
        let timeout = Some(Msec(timeout as u64)).filter(|time| *time > Msec(0));
        let halt = Halt {
            app,
            delayed: Cell::new(delayed),
            since: now,
            // Earlier than nginx gives up: then the line has waited once.
            until: now.after(Msec(timeout.unwrap_or(LONGEST_WAIT).0 * 9 / 10)),
        };
        self.with(|all| all.push(halt));
        self.looking.start_within(1);
    }

    /// Takes out one that is over: the request has set out or is gone, or it took too long.
    pub(crate) fn take_over(&self, now: Msec) -> Option<Halt> {
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

    /// Looks again in time.
    pub(crate) fn look_again(&self, now: Msec) {
        let interval = |halt: &Halt| Msec(now.since(halt.since).0 / 8).min(LONGEST_INTERVAL);
        let soonest = self.with(|all| all.iter().map(interval).min());
        if let Some(Msec(soonest)) = soonest {
            self.looking.start_within((soonest as usize).max(1));
        }
    }

    /// A request that was released is gone.
    pub(crate) fn forget(&self, mark: &Mark) {
        let waited_for = self.with(|all| {
            let halt = all.iter().find(|halt| ptr::eq(halt.delayed.get(), mark));
            halt.map(|halt| halt.delayed.set(ptr::null())).is_some()
        });
        if waited_for {
            self.looking.start_within(0);
        }
    }

    /// Nothing that is done within looks here again.
    fn with<R>(&self, f: impl FnOnce(&mut Vec<Halt>) -> R) -> R {
        let mut all = self.all.take();
        let result = f(&mut all);
        self.all.set(all);
        result
    }
}

impl Halt {
    fn is_over(&self, now: Msec) -> bool {
        // SAFETY: null, or live: it is forgotten when it goes.
        let delayed = unsafe { self.delayed.get().as_ref() };
        self.is_late(now) || !delayed.is_some_and(is_delayed)
    }

    /// Whether the line has waited as long as it waits for anybody.
    pub(crate) fn is_late(&self, now: Msec) -> bool {
        now >= self.until
    }
}

/// Whether something but its client delays a released request, so that another might overtake it:
/// a name that is being resolved, a file of nginx's cache that a thread reads, or whatever an
/// internal redirect has put before the app once more, such as `auth_request` or `limit_req`. That
/// it waits for another's answer (`proxy_cache_lock`) is no delay.
pub(crate) fn is_delayed(mark: &Mark) -> bool {
    let r = mark.request();
    if !mark.is_starting() || waits_for_client(r) {
        return false;
    }
    // SAFETY: where a request's upstream has one, it is the request's.
    let resolved = mark.upstream().and_then(|upstream| unsafe { upstream.resolved.as_ref() });
    let reads_file = request::AIO.is_set(r) && mark.upstream().is_some();
    reads_file || resolved.is_some_and(|one| !one.ctx.is_null()) || !is_in_content_phase(r)
}

/// Whether its body is on its way.
fn waits_for_client(r: &ngx_http_request_t) -> bool {
    // SAFETY: a live request has a body or null.
    unsafe { r.request_body.as_ref() }.is_some_and(|body| body.rest > 0)
}

/// Whether it has come to what makes its answer.
fn is_in_content_phase(r: &ngx_http_request_t) -> bool {
    let Some(core) = evaluate::core_main_conf(r) else { return true };
    // SAFETY: nginx's table of handlers, in which a live request has its place.
    let checker = unsafe { (*core.phase_engine.handlers.offset(r.phase_handler)).checker };
    checker.is_some_and(|one| ptr::fn_addr_eq(one, ngx_http_core_content_phase as Checker))
}

type Checker = unsafe extern "C" fn(
    *mut ngx_http_request_t,
    *mut nginx_sys::ngx_http_phase_handler_t,
) -> nginx_sys::ngx_int_t;
