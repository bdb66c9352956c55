//! What nginx has tried to get a request's answer from its upstream.

use nginx_sys::{ngx_http_upstream_state_t, ngx_http_upstream_t, ngx_msec_t};

/// What nginx has for a time that it did not take.
const NEVER: ngx_msec_t = ngx_msec_t::MAX;

/// The last attempt; none where nginx made none, as where a cache answers.
pub(super) fn last(upstream: &ngx_http_upstream_t) -> Option<&ngx_http_upstream_state_t> {
    // SAFETY: an upstream has the state of its last attempt, in its request's memory, or null.
    unsafe { upstream.state.as_ref() }
}

/// Whether the app has sent the header of an answer.
pub(super) fn is_answered(attempt: &ngx_http_upstream_state_t) -> bool {
    attempt.header_time != NEVER
}
