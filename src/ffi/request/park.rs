//! Letting a request wait, and whatever ends its wait: its turn, its max_time, a stop.

use core::ptr;

use nginx_sys::{
    ngx_add_timer, ngx_del_timer, ngx_event_t, ngx_handle_read_event, ngx_handle_write_event,
    ngx_http_block_reading, ngx_http_core_run_phases, ngx_http_finalize_request,
    ngx_http_request_t, ngx_http_test_reading, ngx_int_t, ngx_msec_t, ngx_post_event,
    ngx_posted_events, NGX_AGAIN, NGX_HTTP_CLIENT_CLOSED_REQUEST, NGX_HTTP_INTERNAL_SERVER_ERROR,
    NGX_HTTP_SERVICE_UNAVAILABLE, NGX_OK,
};

use crate::ffi::conf;
use crate::ffi::module::variables;
use crate::ffi::module::Failed;
use crate::ffi::nginx::flags::{event, request};
use crate::ffi::nginx::log::{log_of, write};
use crate::ffi::request::in_flight;
use crate::ffi::request::mark::{find, Stage};
use crate::ffi::request::release;
use crate::ffi::worker::workers;
use crate::ids::SlotId;
use crate::log_lines::requests::RequestEvent;
use crate::log_lines::About;
use crate::settings::{ErrorStatus, PassOr};
use crate::time::MaxTime;
use crate::zone::{DepartReason, Departure};

/// One whose turn comes, but who has been held too long already, asks again after this, in ms.
const ASK_AGAIN: ngx_msec_t = 1000;

/// Lets the request wait for its turn.
pub(crate) fn park(r: &mut ngx_http_request_t, max_time: MaxTime) -> ngx_int_t {
    let time = (max_time.msec().0 as ngx_msec_t).min(workers::LONGEST_TIMER);
    if rest(r, on_write, time).is_err() {
        return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
    }
    workers::watch();
    NGX_AGAIN as ngx_int_t
}

/// Lets the request rest, as nginx's limit_req does, at most for so many ms: `on_write` is called
/// then, and whenever somebody has it go on; a client that closes ends it.
pub(crate) fn rest(
    r: &mut ngx_http_request_t,
    on_write: extern "C" fn(*mut ngx_http_request_t),
    time: ngx_msec_t,
) -> Result<(), Failed> {
    r.read_event_handler = Some(ngx_http_test_reading);
    r.write_event_handler = Some(on_write);
    // SAFETY: a live request's connection and its events.
    unsafe {
        let (rev, wev) = events(r);
        start_timer(wev, time);
        if event::ERROR.is_set(wev) {
            ngx_post_event(wev, &raw mut ngx_posted_events);
        }
        if event::READY.is_set(rev) {
            // The client may have closed in the very event that brought the request.
            ngx_post_event(rev, &raw mut ngx_posted_events);
        } else if ngx_handle_read_event(rev, 0) != NGX_OK as ngx_int_t {
            return Err(Failed);
        }
    }
    Ok(())
}

/// The request's write event: its turn has come, it was held too long, its client is gone, or
/// nothing at all.
extern "C" fn on_write(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes a live request, parked on its connection.
    let (r, wev) = unsafe { (&mut *r, events(&*r).1) };
    match find(r).map(|mark| mark.stage.get()) {
        Some(Stage::Held(slot)) if !event::DELAYED.is_set(wev) => expire(r, slot),
        Some(Stage::Stopped { retry_after: seconds }) => {
            let code = turn_away(r, ErrorStatus::UNAVAILABLE, seconds);
            finalize(r, code);
        }
        // HTTP/3: who wants no answer any more says so on the side that nginx writes to.
        Some(Stage::Held(_) | Stage::Granted) if event::ERROR.is_set(wev) => {
            finalize(r, NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t);
        }
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
    let (mark, place) = unsafe { (find(&*r_ptr), conf::loc_conf(&*r_ptr)) };
    let (Some(worker), Some(mark)) = (workers::this(), mark) else {
        return go_on(r);
    };
    let answer = match place.and_then(|place| place.expired) {
        Some(PassOr::Answer(code)) => Some(code),
        Some(PassOr::Pass) | None => None,
    };
    let why = if answer.is_some() { DepartReason::Answered } else { DepartReason::Passed };
    match worker.zone.visit(|zone| zone.depart(slot, worker.id(), mark.cookie(), why)) {
        Departure::Stays => {
            // SAFETY: a live request's events.
            let (_, wev) = unsafe { events(r) };
            start_timer(wev, ASK_AGAIN);
            // Whoever was to wake this worker may have died before he did.
            release::schedule();
            workers::watch();
        }
        Departure::Gone { report, retry_after: seconds } => {
            mark.end(Stage::Expired);
            if let Some(count) = report {
                let name = variables::app_name(r).and_then(Result::ok).unwrap_or_default();
                let event = match answer {
                    Some(_) => RequestEvent::Expired { count },
                    None => RequestEvent::ExpiredToApp { count },
                };
                write(log_of(r), &About(&name, event));
            }
            match answer {
                Some(code) => {
                    if code.is_temporary() {
                        retry_after(r, seconds);
                    }
                    finalize(r, status_of(code));
                }
                None => {
                    in_flight::set_out(worker, mark);
                    go_on(r);
                }
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

pub(crate) fn finalize(r: &mut ngx_http_request_t, code: ngx_int_t) {
    r.read_event_handler = Some(ngx_http_block_reading);
    // SAFETY: a live request that is parked: nothing else is under way for it.
    unsafe { ngx_http_finalize_request(r, code) };
}

/// Whoever is turned away is told when to come again.
pub(crate) fn retry_after(r: &mut ngx_http_request_t, seconds: u64) {
    // SAFETY: a live request.
    let request = unsafe { ngx::http::Request::from_ngx_http_request(r) };
    // Without memory for it the answer goes out all the same.
    let _ = request.add_header_out("Retry-After", &seconds.to_string());
}

pub(crate) fn start_timer(wev: &mut ngx_event_t, duration: ngx_msec_t) {
    event::DELAYED.set(wev);
    // SAFETY: a live event of a connection.
    unsafe { ngx_add_timer(wev, duration) };
}

pub(crate) fn stop_timer(wev: &mut ngx_event_t) {
    event::DELAYED.clear(wev);
    event::TIMEDOUT.clear(wev);
    if event::TIMER_SET.is_set(wev) {
        // SAFETY: a live event of a connection, whose timer is set.
        unsafe { ngx_del_timer(wev) };
    }
}

/// # Safety
/// The request is live; the references do not outlive its connection.
pub(crate) unsafe fn events<'a>(
    r: &ngx_http_request_t,
) -> (&'a mut ngx_event_t, &'a mut ngx_event_t) {
    // SAFETY: the caller's: a connection has both events.
    unsafe { (&mut *(*r.connection).read, &mut *(*r.connection).write) }
}

/// A request for which there is no room is not to keep its connection either.
pub(crate) fn turn_away(r: &mut ngx_http_request_t, code: ErrorStatus, seconds: u64) -> ngx_int_t {
    request::KEEPALIVE.clear(r);
    if code.is_temporary() {
        retry_after(r, seconds);
    }
    status_of(code)
}

/// What a phase handler returns for nginx to answer with this status.
pub(crate) fn status_of(code: ErrorStatus) -> ngx_int_t {
    ngx_int_t::try_from(code.number()).unwrap_or(NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t)
}
