//! Holding a request: from the phase handler that parks it to whatever ends its wait.

use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::ptr;

use nginx_sys::{
    ngx_add_timer, ngx_conf_t, ngx_del_timer, ngx_event_t, ngx_handle_read_event,
    ngx_handle_write_event, ngx_http_block_reading, ngx_http_complex_value,
    ngx_http_core_main_conf_t, ngx_http_core_run_phases, ngx_http_finalize_request,
    ngx_http_handler_pt, ngx_http_request_t, ngx_http_test_reading, ngx_int_t, ngx_msec_t,
    ngx_pool_cleanup_add, ngx_post_event, ngx_posted_events, ngx_queue_t, ngx_str_t, ngx_uint_t,
    NGX_AGAIN, NGX_DECLINED, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_SATISFY_ANY,
    NGX_HTTP_SERVICE_UNAVAILABLE, NGX_OK,
};

use super::conf::{self, Expired, Holds, LocConf, MainConf};
use super::log::{write, Complaint, Level};
use super::module::{self, Failed};
use super::zone::{now, Named};
use super::{variables, workers};
use crate::admit::{self, Admission, Rules};
use crate::agent;
use crate::gates::NameHash;
use crate::ids::{AppId, Cookie, SlotId, Ticket};
use crate::text::AppName;
use crate::time::{MaxTime, Msec};
use crate::zone::{Arrival, Departure, Leaving};

/// One whose turn comes, but who has been held too long already, asks again after this, in ms.
const ASK_AGAIN: ngx_msec_t = 1000;

/// The mark on a request that has met its app's gate, in the request's own memory. It stands in
/// for the module's context, which internal redirects forget.
pub(super) struct Hold {
    /// In the worker's run, while [`Stage::Granted`].
    pub queue: UnsafeCell<ngx_queue_t>,
    pub r: *mut ngx_http_request_t,
    stage: Cell<Stage>,
    ahead: Cell<u32>,
    since: Cell<Msec>,
    waited: Cell<Msec>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It went on without having been held.
    Passed,
    Bypassed,
    Rejected,
    /// It waits in this slot.
    Held(SlotId),
    /// Out of the line, in the worker's run; its turn comes at once.
    Granted,
    /// It goes on, or has.
    Released,
    Expired,
    /// Its client closed the connection while it was held.
    Left,
}

impl Hold {
    /// For `$intermission_status`.
    pub(super) fn status(&self) -> &'static str {
        match self.stage.get() {
            Stage::Passed => "PASSED",
            Stage::Bypassed => "BYPASSED",
            Stage::Rejected => "REJECTED",
            Stage::Released => "HELD",
            Stage::Expired => "EXPIRED",
            Stage::Held(_) | Stage::Granted | Stage::Left => "LEFT",
        }
    }

    /// How long it was held, if it was.
    pub(super) fn waited(&self) -> Option<Msec> {
        match self.stage.get() {
            Stage::Passed | Stage::Bypassed | Stage::Rejected => None,
            Stage::Held(_) | Stage::Granted => Some(now().monotonic.since(self.since.get())),
            Stage::Released | Stage::Expired | Stage::Left => Some(self.waited.get()),
        }
    }

    /// How many were ahead when it came, if it was held.
    pub(super) fn ahead(&self) -> Option<u32> {
        self.waited().map(|_| self.ahead.get())
    }

    /// It is out of the line; its turn comes.
    pub(super) fn grant(&self) {
        self.stage.set(Stage::Granted);
    }

    /// It is its turn: it goes on within this call, which may end it and others.
    ///
    /// # Safety
    /// The mark is live and granted. Neither it nor its request may be touched afterwards.
    pub(super) unsafe fn release(hold: *mut Self) {
        // SAFETY: the caller's; a granted request is parked on its connection.
        unsafe {
            (*hold).end(Stage::Released);
            let wev = (*(*(*hold).r).connection).write;
            stop_timer(&mut *wev);
            // The event's own handler: nginx sets the log's request and runs what it posts.
            if let Some(handler) = (*wev).handler {
                handler(wev);
            }
        }
    }

    fn end(&self, stage: Stage) {
        self.stage.set(stage);
        self.waited.set(now().monotonic.since(self.since.get()));
        if let Some(worker) = workers::this() {
            worker.held.set(worker.held.get().saturating_sub(1));
        }
    }

    fn cookie(&self) -> Cookie {
        Cookie(ptr::from_ref(self) as usize as u64)
    }
}

/// Puts the handlers into nginx's phases. Under `satisfy any` an OK from `allow` jumps over the
/// rest of the access phase, and a denial is still pending when we would run in it; so there the
/// next phase is the first to know who was let in.
pub(super) fn add_handlers(cf: *mut ngx_conf_t) -> Result<(), Failed> {
    let phases: [(_, ngx_http_handler_pt); 2] = [
        (
            nginx_sys::ngx_http_phases_NGX_HTTP_ACCESS_PHASE,
            Some(on_access),
        ),
        (
            nginx_sys::ngx_http_phases_NGX_HTTP_PRECONTENT_PHASE,
            Some(on_precontent),
        ),
    ];
    for (phase, handler) in phases {
        // SAFETY: in postconfiguration the core's main configuration is there, and the arrays of
        // handlers have been made.
        unsafe {
            let context = (*cf).ctx.cast::<nginx_sys::ngx_http_conf_ctx_t>();
            let index = nginx_sys::ngx_http_core_module.ctx_index;
            let core = (*context)
                .main_conf
                .add(index)
                .read()
                .cast::<ngx_http_core_main_conf_t>();
            let handlers = (*core).phases.get_mut(phase as usize).ok_or(Failed)?;
            let place = nginx_sys::ngx_array_push(&mut handlers.handlers);
            *place.cast::<ngx_http_handler_pt>().as_mut().ok_or(Failed)? = handler;
        }
    }
    Ok(())
}

extern "C" fn on_access(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a live request.
    let r = unsafe { &mut *r };
    if satisfies_any(r) {
        NGX_DECLINED as ngx_int_t
    } else {
        meet(r)
    }
}

extern "C" fn on_precontent(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a live request.
    let r = unsafe { &mut *r };
    let is_main = ptr::eq(r, r.main);
    if is_main && satisfies_any(r) {
        meet(r)
    } else {
        NGX_DECLINED as ngx_int_t
    }
}

fn satisfies_any(r: &ngx_http_request_t) -> bool {
    conf::core_loc_conf(r).is_some_and(|core| core.satisfy == NGX_HTTP_SATISFY_ANY as ngx_uint_t)
}

/// A request comes to its app's gate: returns what a phase handler returns.
fn meet(r: &mut ngx_http_request_t) -> ngx_int_t {
    const GOES_ON: ngx_int_t = NGX_DECLINED as ngx_int_t;
    let r_ptr = ptr::from_mut(r);
    // SAFETY: configurations outlive the requests that run on them.
    let (main, place) = unsafe { (conf::main_conf(&*r_ptr), conf::loc_conf(&*r_ptr)) };
    let (Some(main), Some(place)) = (main, place) else {
        return GOES_ON;
    };
    if place.control.is_some() || !holds(r, place) {
        return GOES_ON;
    }
    if let Some(hold) = find(r) {
        return if matches!(hold.stage.get(), Stage::Held(_) | Stage::Granted) {
            NGX_AGAIN as ngx_int_t
        } else {
            GOES_ON
        };
    }
    let (Some(worker), Some(hold)) = (workers::this(), mark(r)) else {
        return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
    };
    let gates = worker.zone.gates();
    if gates.all_open() {
        return GOES_ON;
    }
    let Some(name) = app_name(r, main) else {
        return GOES_ON;
    };
    let Some(app) = gates.find(NameHash::of(name.as_bytes())) else {
        return GOES_ON;
    };
    if bypasses(r, main) {
        if worker.zone.visit(|zone| zone.bypass(app, &name)) {
            hold.stage.set(Stage::Bypassed);
        }
        return GOES_ON;
    }
    arrive(r, main, hold, app, &name)
}

/// Whether this place holds its requests.
fn holds(r: &mut ngx_http_request_t, place: &LocConf) -> bool {
    match place.holds {
        Holds::Unset | Holds::Never => false,
        Holds::Always => true,
        Holds::If(complex) => {
            let mut value = ngx_str_t::empty();
            // SAFETY: compiled when the configuration was read; the value is the request's.
            let made = unsafe { ngx_http_complex_value(r, complex, &mut value) };
            made == NGX_OK as ngx_int_t && !matches!(value.as_bytes(), b"" | b"0" | b"off")
        }
    }
}

/// The request's app; none where its name is too long, which is logged.
fn app_name(r: &mut ngx_http_request_t, main: &MainConf) -> Option<AppName> {
    match AppName::new(variables::value(r, main.variables.app_name)) {
        Ok(name) => Some(name),
        Err(problem) => {
            let message = format_args!("intermission: \"$app_name\" {problem}: not held");
            complain(r, Complaint::AppName, Level::Error, message);
            None
        }
    }
}

/// Whether no pause holds this request.
fn bypasses(r: &mut ngx_http_request_t, main: &MainConf) -> bool {
    let r_ptr = ptr::from_mut(r);
    // SAFETY: the values live as long as the request, and asking for one does not touch another.
    let (uri, user_agent) = unsafe {
        let header = (*r_ptr).headers_in.user_agent.as_ref();
        (
            (*r_ptr).uri.as_bytes(),
            header.map_or(&[][..], |header| header.value.as_bytes()),
        )
    };
    // SAFETY: as above.
    let rules = unsafe {
        Rules {
            health_check_path: variables::value(&mut *r_ptr, main.variables.health_check_path),
            privileged_user_agent: variables::value(
                &mut *r_ptr,
                main.variables.privileged_user_agent,
            ),
        }
    };
    let pattern = rules.privileged_user_agent;
    if let Some(oddity) = agent::oddity(pattern) {
        let pattern = pattern.escape_ascii();
        let message = format_args!(
            "intermission: \"$intermission_privileged_user_agent\" is \"{pattern}\": \
             the pattern {oddity}"
        );
        complain(r, Complaint::OddPattern, Level::Warn, message);
    }
    match admit::admit(rules, uri, user_agent) {
        Admission::Usual => false,
        Admission::Bypasses => true,
        Admission::Undecided => {
            let pattern = pattern.escape_ascii();
            let message = format_args!(
                "intermission: the User-Agent is too costly to compare with \
                 \"$intermission_privileged_user_agent\" \"{pattern}\": held"
            );
            complain(r, Complaint::CostlyPattern, Level::Error, message);
            false
        }
    }
}

/// Takes a place in line for the request, if its app is still not open.
fn arrive(
    r: &mut ngx_http_request_t,
    main: &MainConf,
    hold: &Hold,
    app: AppId,
    name: &AppName,
) -> ngx_int_t {
    let Some(worker) = workers::this() else {
        return NGX_DECLINED as ngx_int_t;
    };
    let max_time = max_time(r, main);
    let cookie = hold.cookie();
    match worker
        .zone
        .visit(|zone| zone.arrive(app, name, worker.id, cookie))
    {
        Arrival::Passes => NGX_DECLINED as ngx_int_t,
        Arrival::Rejected { report } => {
            hold.stage.set(Stage::Rejected);
            if let Some(count) = report {
                let message =
                    format_args!("intermission: {}: no room, {count} rejected", Named(name));
                write(Level::Warn, log_of(r), message);
            }
            retry_after(r);
            NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t
        }
        Arrival::Held {
            slot,
            ticket: Ticket(ticket),
            ahead,
        } => {
            hold.stage.set(Stage::Held(slot));
            hold.ahead.set(ahead);
            hold.since.set(now().monotonic);
            worker.held.set(worker.held.get() + 1);
            let message = format_args!(
                "intermission: {}: held, ticket {ticket}, {ahead} ahead",
                Named(name)
            );
            write(Level::Info, log_of(r), message);
            park(r, max_time)
        }
    }
}

/// For how long the request may be held.
fn max_time(r: &mut ngx_http_request_t, main: &MainConf) -> MaxTime {
    let r_ptr = ptr::from_mut(r);
    match variables::value(r, main.variables.max_time) {
        [] => MaxTime::DEFAULT,
        value => MaxTime::parse(value).unwrap_or_else(|problem| {
            let (value, default) = (value.escape_ascii(), MaxTime::DEFAULT.msec().seconds());
            let message = format_args!(
                "intermission: \"$intermission_max_time\" \"{value}\" {problem}: {default} s"
            );
            // SAFETY: a live request, of which the value is no part.
            complain(
                unsafe { &*r_ptr },
                Complaint::MaxTime,
                Level::Error,
                message,
            );
            MaxTime::DEFAULT
        }),
    }
}

/// Writes a line about a request, unless this worker has just complained of the same.
fn complain(
    r: &ngx_http_request_t,
    what: Complaint,
    level: Level,
    message: core::fmt::Arguments<'_>,
) {
    if workers::this().is_some_and(|this| this.complaints.due(what, now().monotonic)) {
        write(level, log_of(r), message);
    }
}

/// Lets the request wait, as nginx's limit_req does.
fn park(r: &mut ngx_http_request_t, max_time: MaxTime) -> ngx_int_t {
    r.read_event_handler = Some(ngx_http_test_reading);
    r.write_event_handler = Some(on_write);
    // SAFETY: a live request's connection and its events.
    unsafe {
        let (rev, wev) = events(r);
        start_timer(
            wev,
            ngx_msec_t::try_from(max_time.msec().0).unwrap_or(ngx_msec_t::MAX),
        );
        if rev.ready() != 0 {
            // The client may have closed in the very event that brought the request.
            ngx_post_event(rev, &raw mut ngx_posted_events);
        } else if ngx_handle_read_event(rev, 0) != NGX_OK as ngx_int_t {
            return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
        }
    }
    workers::watch();
    NGX_AGAIN as ngx_int_t
}

/// The request's write event: its turn has come, it was held too long, or nothing at all.
extern "C" fn on_write(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes a live request, parked on its connection.
    let (r, wev) = unsafe { (&mut *r, events(&*r).1) };
    match find(r).map(|hold| hold.stage.get()) {
        Some(Stage::Held(slot)) if wev.delayed() == 0 => expire(r, slot),
        Some(Stage::Held(_) | Stage::Granted) => {
            // SAFETY: the request's own event.
            if unsafe { ngx_handle_write_event(wev, 0) } != NGX_OK as ngx_int_t {
                finalize(r, NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
            }
        }
        _ => go_on(r),
    }
}

/// The request was held for its max_time.
fn expire(r: &mut ngx_http_request_t, slot: SlotId) {
    let r_ptr = ptr::from_mut(r);
    // SAFETY: the mark and the configuration are not part of the request itself.
    let (hold, place) = unsafe { (find(&*r_ptr), conf::loc_conf(&*r_ptr)) };
    let (Some(worker), Some(hold)) = (workers::this(), hold) else {
        return go_on(r);
    };
    let answer = match place.map(|place| place.expired) {
        Some(Expired::Answer(code)) => Some(code),
        _ => None,
    };
    let why = if answer.is_some() {
        Leaving::Answered
    } else {
        Leaving::Passed
    };
    let cookie = hold.cookie();
    match worker
        .zone
        .visit(|zone| zone.depart(slot, worker.id, cookie, why))
    {
        Departure::Stays => {
            // SAFETY: a live request's events.
            let (_, wev) = unsafe { events(r) };
            start_timer(wev, ASK_AGAIN);
        }
        Departure::Gone { report } => {
            hold.end(Stage::Expired);
            if let Some(count) = report {
                let message = format_args!("intermission: {count} expired");
                write(Level::Warn, log_of(r), message);
            }
            match answer {
                Some(code) => {
                    if matches!(code, 503 | 504) {
                        retry_after(r);
                    }
                    finalize(r, ngx_int_t::from(code as i16));
                }
                None => go_on(r),
            }
        }
    }
}

/// The request goes on where it was stopped.
fn go_on(r: &mut ngx_http_request_t) {
    // SAFETY: a live request's connection and its events; the request may be gone afterwards.
    unsafe {
        let (rev, _) = events(r);
        if ngx_handle_read_event(rev, 0) != NGX_OK as ngx_int_t {
            return finalize(r, NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
        }
        r.read_event_handler = Some(ngx_http_block_reading);
        r.write_event_handler = Some(ngx_http_core_run_phases);
        ngx_http_core_run_phases(r);
    }
}

fn finalize(r: &mut ngx_http_request_t, code: ngx_int_t) {
    r.read_event_handler = Some(ngx_http_block_reading);
    // SAFETY: a live request that is parked: nothing else is under way for it.
    unsafe { ngx_http_finalize_request(r, code) };
}

/// Whoever is turned away is told when to come again.
fn retry_after(r: &mut ngx_http_request_t) {
    // SAFETY: a live request.
    let request = unsafe { ngx::http::Request::from_ngx_http_request(r) };
    // Without memory for it the answer goes out all the same.
    let _ = request.add_header_out("Retry-After", "10");
}

fn start_timer(wev: &mut ngx_event_t, duration: ngx_msec_t) {
    wev.set_delayed(1);
    // SAFETY: a live event of a connection.
    unsafe { ngx_add_timer(wev, duration) };
}

fn stop_timer(wev: &mut ngx_event_t) {
    wev.set_delayed(0);
    wev.set_timedout(0);
    if wev.timer_set() != 0 {
        // SAFETY: a live event of a connection, whose timer is set.
        unsafe { ngx_del_timer(wev) };
    }
}

/// # Safety
/// The request is live; the references do not outlive its connection.
unsafe fn events<'a>(r: &ngx_http_request_t) -> (&'a mut ngx_event_t, &'a mut ngx_event_t) {
    // SAFETY: the caller's: a connection has both events.
    unsafe { (&mut *(*r.connection).read, &mut *(*r.connection).write) }
}

fn log_of(r: &ngx_http_request_t) -> *mut nginx_sys::ngx_log_t {
    // SAFETY: a live request has a connection.
    unsafe { (*r.connection).log }
}

/// The mark that the request carries, if it has met its app's gate.
pub(super) fn find(r: &ngx_http_request_t) -> Option<&Hold> {
    let ours: unsafe extern "C" fn(*mut c_void) = on_cleanup;
    // SAFETY: a live request has a table of contexts; what stands in our place is from mark. The
    // pool's cleanups are a list, and those with our handler have a mark for data.
    unsafe {
        let context = r.ctx.add(module::context_index());
        if (*context).is_null() {
            let mut cleanup = (*r.pool).cleanup.as_ref()?;
            while !cleanup
                .handler
                .is_some_and(|handler| ptr::fn_addr_eq(handler, ours))
            {
                cleanup = cleanup.next.as_ref()?;
            }
            *context = cleanup.data;
        }
        (*context).cast::<Hold>().as_ref()
    }
}

/// Marks a request that has met its app's gate; none where there is no memory.
fn mark(r: &mut ngx_http_request_t) -> Option<&'static Hold> {
    // SAFETY: a live request's pool; the mark lives as long as it.
    unsafe {
        let cleanup = ngx_pool_cleanup_add(r.pool, size_of::<Hold>()).as_mut()?;
        let hold = cleanup.data.cast::<Hold>();
        hold.write(Hold {
            queue: core::mem::zeroed(),
            r,
            stage: Cell::new(Stage::Passed),
            ahead: Cell::new(0),
            since: Cell::new(Msec(0)),
            waited: Cell::new(Msec(0)),
        });
        cleanup.handler = Some(on_cleanup);
        *r.ctx.add(module::context_index()) = cleanup.data;
        hold.as_ref()
    }
}

/// The request's memory is about to go: its place goes with it.
extern "C" fn on_cleanup(data: *mut c_void) {
    // SAFETY: from mark.
    let hold = unsafe { &*data.cast::<Hold>() };
    let Some(worker) = workers::this() else {
        return;
    };
    match hold.stage.get() {
        Stage::Held(slot) => {
            hold.end(Stage::Left);
            let cookie = hold.cookie();
            worker
                .zone
                .visit(|zone| zone.depart(slot, worker.id, cookie, Leaving::Left));
        }
        Stage::Granted => {
            hold.end(Stage::Left);
            worker.left.set(worker.left.get() + 1);
            // SAFETY: a granted mark is linked into the run.
            unsafe { nginx_sys::ngx_queue_remove(hold.queue.get()) };
        }
        _ => {}
    }
}
