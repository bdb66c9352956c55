//! Requests that nginx is done with while their app may still be at them.

use core::ptr;

use nginx_sys::{
    ngx_http_request_t, ngx_http_upstream_state_t, ngx_http_upstream_t, ngx_msec_t, ngx_palloc,
    ngx_uint_t, NGX_HTTP_BAD_GATEWAY, NGX_HTTP_GATEWAY_TIME_OUT,
};

use crate::ffi::nginx::attempts;
use crate::ffi::nginx::flags::{self, request};
use crate::ffi::request::in_flight;
use crate::ffi::request::mark::{find, Mark};
use crate::ffi::worker::workers::ThisWorker;
use crate::time::Msec;

/// A subrequest (SSI, mirror, addition) of a request that has met its app's gate, in the memory of
/// both.
pub(crate) struct Part {
    r: *const ngx_http_request_t,
    next: *const Part,
}

/// A subrequest is about to be answered: it is a part of what its main request asks the app for.
pub(crate) fn is_part(r: &ngx_http_request_t) {
    // SAFETY: a live subrequest's main request is live.
    let Some(mark) = find(unsafe { &*r.main }) else { return };
    let next = mark.parts.get();
    if parts(mark).any(|part| ptr::eq(part, r)) {
        return;
    }
    // SAFETY: a live request's pool, which is its main request's, and goes after the mark.
    unsafe {
        // Without memory for it one fewer may be counted.
        if let Some(place) = ngx_palloc(r.pool, size_of::<Part>()).cast::<Part>().as_mut() {
            ptr::from_mut(place).write(Part { r, next });
            mark.parts.set(place);
        }
    }
}

fn parts(mark: &Mark) -> impl Iterator<Item = &ngx_http_request_t> {
    let mut next = mark.parts.get();
    core::iter::from_fn(move || {
        // SAFETY: null, or from is_part: it lives as long as the mark, and the subrequest as well.
        let part = unsafe { next.as_ref()? };
        next = part.next;
        // SAFETY: as above.
        unsafe { part.r.as_ref() }
    })
}

/// A request is finished, and still counted if it ever was.
pub(crate) fn finished(this: &ThisWorker, mark: &Mark) {
    let was_passed_on = mark.set_out_at.get() != Msec(0);
    let given_up = |r: &ngx_http_request_t| {
        // SAFETY: a live request has an upstream or null.
        unsafe { r.upstream.as_ref() }.is_some_and(|upstream| is_given_up(r, upstream))
    };
    if was_passed_on && (given_up(mark.request()) || parts(mark).any(given_up)) {
        in_flight::given_up(this, mark);
    }
}

/// Whether some of the request was sent to an app that has not answered all of it, for nginx closed
/// the connection: its client left, or the app took too long.
fn is_given_up(r: &ngx_http_request_t, upstream: &ngx_http_upstream_t) -> bool {
    let Some(last) = attempts::last(upstream) else { return false };
    let left_alone = if attempts::is_answered(last) {
        breaks_off(r, upstream, last)
    } else {
        // An attempt that failed has nginx's status; the app's own may be there before its header is.
        last.bytes_sent > 0 && last.status != NGX_HTTP_BAD_GATEWAY as ngx_uint_t
    };
    left_alone || attempts::all(r).iter().any(timed_out)
}

/// Whether nginx waited in vain for the header of an answer.
fn timed_out(attempt: &ngx_http_upstream_state_t) -> bool {
    !attempts::is_answered(attempt)
        && attempt.bytes_sent > 0
        && attempt.status == NGX_HTTP_GATEWAY_TIME_OUT as ngx_uint_t
}

/// Whether nginx broke off an answer that had begun.
fn breaks_off(
    r: &ngx_http_request_t,
    upstream: &ngx_http_upstream_t,
    last: &ngx_http_upstream_state_t,
) -> bool {
    // A header may be all that is wanted of an answer.
    if !flags::upstream::HEADER_SENT.is_set(upstream)
        || flags::upstream::UPGRADE.is_set(upstream)
        || request::HEADER_ONLY.is_set(r)
    {
        return false;
    }
    // SAFETY: a live request's connection; an upstream's configuration outlives it.
    let (connection, read_timeout) =
        unsafe { (&*r.connection, upstream.conf.as_ref().map_or(0, |conf| conf.read_timeout)) };
    // nginx does not keep why it could not read on: what comes to an end before a timeout can have
    // passed was the app's doing. A timer that is to be later by less than this is left as it was.
    let least = read_timeout.saturating_sub(flags::NGX_TIMER_LAZY_DELAY as ngx_msec_t);
    let waited = attempts::answering_time(last).is_some_and(|time| time >= least);
    if !flags::upstream::BUFFERING.is_set(upstream) {
        let client_failed = flags::connection::ERROR.is_set(connection)
            || flags::connection::TIMEDOUT.is_set(connection);
        // Below 0: whole when the app closes the connection.
        return match upstream.length {
            0 => false,
            1.. => client_failed || waited,
            _ => client_failed,
        };
    }
    // SAFETY: a pipe is the request's, or null.
    let Some(pipe) = (unsafe { upstream.pipe.as_ref() }) else { return false };
    let is_whole = flags::pipe::UPSTREAM_DONE.is_set(pipe) || pipe.length == 0;
    !is_whole
        && !flags::pipe::UPSTREAM_EOF.is_set(pipe)
        && (!flags::pipe::UPSTREAM_ERROR.is_set(pipe) || waited)
}
