//! Where nginx's structures lead: fields that are null, or point to what lives as long as the
//! structure that has them.

use nginx_sys::{
    ngx_array_t, ngx_buf_t, ngx_chain_t, ngx_connection_t, ngx_event_pipe_t, ngx_http_headers_in_t,
    ngx_http_request_body_t, ngx_http_request_t, ngx_http_upstream_conf_t,
    ngx_http_upstream_resolved_t, ngx_http_upstream_state_t, ngx_http_upstream_t,
    ngx_pool_cleanup_t, ngx_pool_t, ngx_table_elt_t,
};

macro_rules! pointers {
    ($($name:ident: $structure:ty, $($field:ident).+ => $target:ty;)*) => {
        $(#[inline]
        pub(crate) fn $name(of: &$structure) -> Option<&$target> {
            // SAFETY: nginx has null in these fields, or what lives as long as the structure.
            unsafe { of.$($field).+.as_ref() }
        })*
    };
}

pointers! {
    upstream: ngx_http_request_t, upstream => ngx_http_upstream_t;
    request_body: ngx_http_request_t, request_body => ngx_http_request_body_t;
    attempts: ngx_http_request_t, upstream_states => ngx_array_t;
    connection: ngx_http_request_t, connection => ngx_connection_t;
    pool: ngx_http_request_t, pool => ngx_pool_t;
    cleanup: ngx_pool_t, cleanup => ngx_pool_cleanup_t;
    next_cleanup: ngx_pool_cleanup_t, next => ngx_pool_cleanup_t;
    host: ngx_http_headers_in_t, host => ngx_table_elt_t;
    user_agent: ngx_http_headers_in_t, user_agent => ngx_table_elt_t;
    content_type: ngx_http_headers_in_t, content_type => ngx_table_elt_t;
    body_chain: ngx_http_request_body_t, bufs => ngx_chain_t;
    next_link: ngx_chain_t, next => ngx_chain_t;
    buffer: ngx_chain_t, buf => ngx_buf_t;
    attempt: ngx_http_upstream_t, state => ngx_http_upstream_state_t;
    upstream_conf: ngx_http_upstream_t, conf => ngx_http_upstream_conf_t;
    resolved: ngx_http_upstream_t, resolved => ngx_http_upstream_resolved_t;
    pipe: ngx_http_upstream_t, pipe => ngx_event_pipe_t;
    upstream_connection: ngx_http_upstream_t, peer.connection => ngx_connection_t;
}
