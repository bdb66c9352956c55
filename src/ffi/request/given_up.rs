//! Requests that nginx is done with although the app may still work on them.

use nginx_sys::{
    ngx_http_upstream_state_t, ngx_http_upstream_t, ngx_msec_t, ngx_uint_t, NGX_HTTP_BAD_GATEWAY,
    NGX_HTTP_GATEWAY_TIME_OUT,
};

use super::in_flight;
use super::mark::{find, Mark, Part};
use crate::ffi::nginx::attach;
use crate::ffi::nginx::flags::{self, request};
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{attempts, pointers};
use crate::time::Msec;

/// Adds a subrequest that may go to the app to its main request's parts, once.
pub(crate) fn add_part(r: Request) {
    let Some(mark) = find(r.main()) else { return };
    if parts(mark).any(|part| part.r == r) {
        return;
    }
    // If there is no memory for it, a request may be missing from the count.
    if let Ok(part) = attach::attach(r, Part { r, next: mark.parts.get() }) {
        mark.parts.set(Some(part));
    }
}

fn parts(mark: &Mark) -> impl Iterator<Item = &'static Part> {
    core::iter::successors(mark.parts.get(), |part| part.next)
}

/// A request is finished: counts it if the app may still work on it, or on a part of it. Called while it
/// is still in flight.
#[inline]
pub(crate) fn count_if_given_up(mark: &Mark) {
    let may_be = mark.upstream().is_some() || mark.parts.get().is_some();
    if may_be && mark.passed_on_at.get() != Msec(0) {
        look_closely(mark);
    }
}

#[inline(never)]
fn look_closely(mark: &Mark) {
    if is_given_up(mark.r()) || parts(mark).any(|part| is_given_up(part.r)) {
        in_flight::count_given_up(mark);
    }
}

/// Whether some of the request was sent to an app, and nginx closed the connection before it had all of
/// the answer: because the client left, or the app took too long.
#[inline]
fn is_given_up(r: Request) -> bool {
    pointers::upstream(&r).is_some_and(|upstream| is_last_given_up(r, upstream))
}

fn is_last_given_up(r: Request, upstream: &ngx_http_upstream_t) -> bool {
    let Some(last) = pointers::attempt(upstream) else { return false };
    let last_is_given_up = if attempts::is_answered(last) {
        breaks_off(r, upstream, last)
    } else {
        // If the app failed, the status is nginx's own. The app's status may be there before all of its
        // header is.
        last.bytes_sent > 0 && last.status != NGX_HTTP_BAD_GATEWAY as ngx_uint_t
    };
    last_is_given_up || attempts::all(&r).iter().any(timed_out)
}

/// Whether nginx waited for the header of an answer until the time was over.
fn timed_out(attempt: &ngx_http_upstream_state_t) -> bool {
    !attempts::is_answered(attempt)
        && attempt.bytes_sent > 0
        && attempt.status == NGX_HTTP_GATEWAY_TIME_OUT as ngx_uint_t
}

/// Whether nginx broke off an answer that had begun.
fn breaks_off(
    r: Request,
    upstream: &ngx_http_upstream_t,
    last: &ngx_http_upstream_state_t,
) -> bool {
    // Only the header may be wanted of an answer.
    if !flags::upstream::HEADER_SENT.is_set(upstream)
        || flags::upstream::UPGRADE.is_set(upstream)
        || request::HEADER_ONLY.is_set(&r)
    {
        return false;
    }
    let read_timeout = pointers::upstream_conf(upstream).map_or(0, |conf| conf.read_timeout);
    // nginx does not keep why it stopped reading. If it stopped before the timeout can have passed,
    // the app ended the answer. nginx moves a timer only if it moves by more than the lazy delay.
    let least = read_timeout.saturating_sub(flags::NGX_TIMER_LAZY_DELAY as ngx_msec_t);
    let waited = attempts::answering_time(last).is_some_and(|time| time >= least);
    if !flags::upstream::BUFFERING.is_set(upstream) {
        let client_failed = pointers::connection(&r).is_some_and(|client| {
            flags::connection::ERROR.is_set(client) || flags::connection::TIMEDOUT.is_set(client)
        });
        // How much is still to come. Below 0: the app closes the connection at the end.
        return match upstream.length {
            0 => false,
            1.. => client_failed || waited,
            _ => client_failed,
        };
    }
    let Some(pipe) = pointers::pipe(upstream) else { return false };
    let is_whole = flags::pipe::UPSTREAM_DONE.is_set(pipe) || pipe.length == 0;
    !is_whole
        && !flags::pipe::UPSTREAM_EOF.is_set(pipe)
        && (!flags::pipe::UPSTREAM_ERROR.is_set(pipe) || waited)
}
