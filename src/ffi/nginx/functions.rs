//! nginx's functions that are safe to call for what is live, as their C declarations have them.

use nginx_sys::{
    ngx_chain_t, ngx_event_t, ngx_http_complex_value_t, ngx_http_variable_value_t, ngx_int_t,
    ngx_str_t, ngx_uint_t,
};

use super::request::Request;

// SAFETY: each takes a live request or event, changes what is its own, and keeps no pointer to what
// the caller has.
unsafe extern "C" {
    /// Within the call nginx may free the request, and run others.
    pub(crate) safe fn ngx_http_finalize_request(r: Request, code: ngx_int_t);
    /// Within the call nginx may free the request, and run others.
    pub(crate) safe fn ngx_http_core_run_phases(r: Request);
    pub(crate) safe fn ngx_handle_read_event(rev: &mut ngx_event_t, flags: ngx_uint_t)
        -> ngx_int_t;
    pub(crate) safe fn ngx_handle_write_event(wev: &mut ngx_event_t, least: usize) -> ngx_int_t;
    /// Calls `f` within the call or later, when all of the body is there.
    pub(crate) safe fn ngx_http_read_client_request_body(
        r: Request,
        f: extern "C" fn(Request),
    ) -> ngx_int_t;
    pub(crate) safe fn ngx_http_discard_request_body(r: Request) -> ngx_int_t;
    pub(crate) safe fn ngx_http_send_header(r: Request) -> ngx_int_t;
    /// nginx copies the chain; its buffers must be in the request's memory.
    pub(crate) safe fn ngx_http_output_filter(r: Request, chain: &mut ngx_chain_t) -> ngx_int_t;
    /// Finds the user's name and password, if the client sent any.
    pub(crate) safe fn ngx_http_auth_basic_user(r: Request) -> ngx_int_t;
    /// The index must be one that nginx gave out.
    pub(crate) safe fn ngx_http_get_indexed_variable(
        r: Request,
        index: ngx_uint_t,
    ) -> Option<&'static mut ngx_http_variable_value_t>;
    pub(crate) safe fn ngx_http_complex_value(
        r: Request,
        complex: &ngx_http_complex_value_t,
        value: &mut ngx_str_t,
    ) -> ngx_int_t;
}
