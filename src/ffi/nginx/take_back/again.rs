//! A request that was taken back is tried again.

use core::ptr;

use nginx_sys::{
    ngx_connection_log_error_e_NGX_ERROR_ERR as ERROR_ERR, ngx_http_block_reading,
    ngx_http_request_empty_handler, ngx_http_upstream_t, ngx_int_t, ngx_log_t, ngx_uint_t,
    NGX_HTTP_INTERNAL_SERVER_ERROR,
};

use super::{hasty, headers, watch};
use crate::ffi::nginx::flags::peer;
use crate::ffi::nginx::plain::zero;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{attempts, functions, pointers};

/// nginx makes the request's answer once more, by the same upstream. Within the call it may take the
/// request back again, and may free it and run others.
pub(crate) fn try_again(r: Request) {
    r.stop_timer();
    // nginx sets its own, but where it is not to notice that a client leaves.
    r.update(|r| {
        r.read_event_handler = Some(ngx_http_block_reading);
        r.write_event_handler = Some(ngx_http_request_empty_handler);
    });
    if r.rearm_read().is_err() {
        return r.finalize(NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
    }
    // nginx avoids servers that have failed for a while, whether they are back or not.
    if let Some(upstream) = pointers::upstream(&r) {
        functions::forget_fails(upstream);
    }
    functions::forget_cache(r);
    let log = r.log();
    r.update_upstream(|u| begin_anew(u, log));
    if let Some(watch) = watch::find(r) {
        headers::cut(r, watch.headers);
        hasty::begin(r, &watch.hasty);
        if let Some(first) = watch.first.get() {
            attempts::keep_first(r, first);
        }
    }
    functions::ngx_http_upstream_init(r);
}

/// As nginx's ngx_http_upstream_create leaves it.
fn begin_anew(u: &mut ngx_http_upstream_t, log: *mut ngx_log_t) {
    u.peer = zero();
    u.peer.log = log;
    peer::LOG_ERROR.put(&mut u.peer, ERROR_ERR as ngx_uint_t);
    u.buffer = zero();
    u.state = ptr::null_mut();
}
