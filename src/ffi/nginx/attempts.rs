//! What nginx has tried to get a request's answer from its upstream.

use core::ptr;

use nginx_sys::{ngx_http_request_t, ngx_http_upstream_state_t, ngx_msec_t};

use super::pointers;
use super::request::Request;

/// nginx has this for a time that it has not measured.
const NEVER: ngx_msec_t = ngx_msec_t::MAX;

/// All attempts of a request, in order.
pub(crate) fn all(r: &ngx_http_request_t) -> &[ngx_http_upstream_state_t] {
    pointers::attempts(r).map_or(&[], pointers::states)
}

/// Forgets all attempts of a request but the first ones, so many of them.
pub(crate) fn keep_first(r: Request, count: usize) {
    if count == 0 {
        // nginx makes a new list then, and knows by it that the request was nowhere yet.
        return r.update(|r| r.upstream_states = ptr::null_mut());
    }
    // SAFETY: null or live as long as the request, and nobody else runs meanwhile.
    if let Some(attempts) = unsafe { r.upstream_states.as_mut() } {
        attempts.nelts = attempts.nelts.min(count);
    }
}

/// Whether the app has sent the header of an answer.
pub(crate) fn is_answered(attempt: &ngx_http_upstream_state_t) -> bool {
    attempt.header_time != NEVER
}

/// How long nginx read the answer after its header. None if it has not begun, or nginx is not done.
pub(crate) fn answering_time(attempt: &ngx_http_upstream_state_t) -> Option<ngx_msec_t> {
    let is_over = is_answered(attempt) && attempt.response_time != NEVER;
    is_over.then(|| attempt.response_time.saturating_sub(attempt.header_time))
}
