//! Reading a request's body before it comes to its app's gate.

use nginx_sys::{
    ngx_http_core_run_phases, ngx_http_finalize_request, ngx_http_read_client_request_body,
    ngx_http_request_t, ngx_int_t, NGX_DONE, NGX_HTTP_SPECIAL_RESPONSE,
};

use crate::ffi::nginx::flags::{headers_in, request};

/// Whether the request has a body that nobody has begun to read, or to throw away.
pub(crate) fn is_to_come(r: &ngx_http_request_t) -> bool {
    let headers = &r.headers_in;
    (headers.content_length_n > 0 || headers_in::CHUNKED.is_set(headers))
        && r.request_body.is_null()
        && !request::DISCARD_BODY.is_set(r)
}

/// Reads the body, as nginx's mirror module does: returns what a phase handler returns. The phases
/// go on when all of it is there, with the handler that asked for it, within this call if nothing
/// is missing. nginx itself answers one that is too large, and a client that stalls or leaves.
pub(crate) fn read(r: &mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: a live request; it may be gone after the second call, which gives back the reference
    // that the first one takes.
    unsafe {
        let read = ngx_http_read_client_request_body(r, Some(on_body));
        if read >= NGX_HTTP_SPECIAL_RESPONSE as ngx_int_t {
            return read;
        }
        ngx_http_finalize_request(r, NGX_DONE as ngx_int_t);
    }
    NGX_DONE as ngx_int_t
}

/// All of the body is there.
extern "C" fn on_body(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes a live request, whose phases stand still; it may be gone afterwards.
    unsafe {
        (*r).write_event_handler = Some(ngx_http_core_run_phases);
        ngx_http_core_run_phases(r);
    }
}
