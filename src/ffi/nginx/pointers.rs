//! The pointers in nginx's structures, as references: to what lives as long as the structure does.

use core::slice;
use core::sync::atomic::AtomicUsize;

use nginx_sys::{
    ngx_addr_t, ngx_array_t, ngx_buf_t, ngx_chain_t, ngx_conf_t, ngx_connection_t, ngx_cycle_t,
    ngx_event_pipe_t, ngx_http_complex_value_t, ngx_http_core_main_conf_t,
    ngx_http_core_srv_conf_t, ngx_http_headers_in_t, ngx_http_request_body_t, ngx_http_request_t,
    ngx_http_server_name_t, ngx_http_upstream_conf_t, ngx_http_upstream_local_t,
    ngx_http_upstream_main_conf_t, ngx_http_upstream_resolved_t, ngx_http_upstream_server_t,
    ngx_http_upstream_srv_conf_t, ngx_http_upstream_state_t, ngx_http_upstream_t,
    ngx_http_variable_t, ngx_list_part_t, ngx_log_t, ngx_pool_cleanup_t, ngx_pool_t,
    ngx_shm_zone_t, ngx_shmtx_t, ngx_str_t, ngx_table_elt_t,
};

macro_rules! pointers {
    ($($name:ident: $structure:ty, $($field:ident).+ => $target:ty;)*) => {
        $(#[inline]
        pub(crate) fn $name(of: &$structure) -> Option<&$target> {
            // SAFETY: for each field listed below: nginx keeps null in it, or a pointer to what it
            // frees no earlier than the structure, or sets the field to null before.
            unsafe { of.$($field).+.cast::<$target>().as_ref() }
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
    bind_address: ngx_http_upstream_local_t, addr => ngx_addr_t;
    bind_value: ngx_http_upstream_local_t, value => ngx_http_complex_value_t;
    next_part: ngx_list_part_t, next => ngx_list_part_t;
    directive: ngx_conf_t, args => ngx_array_t;
    cycle: ngx_conf_t, cycle => ngx_cycle_t;
    lock_word: ngx_shmtx_t, lock => AtomicUsize;
    servers: ngx_http_upstream_srv_conf_t, servers => ngx_array_t;
    next_log: ngx_log_t, next => ngx_log_t;
    upstream_connection: ngx_http_upstream_t, peer.connection => ngx_connection_t;
}

macro_rules! slices {
    ($($name:ident: $structure:ty, $($first:ident).+, $($count:ident).+ => $target:ty;)*) => {
        $(#[inline]
        pub(crate) fn $name(of: &$structure) -> &[$target] {
            match of.$($count).+ {
                0 => &[],
                // SAFETY: for each pair listed below: nginx keeps this many elements of this type there,
                // no shorter than the structure.
                count => unsafe { slice::from_raw_parts(of.$($first).+.cast(), count) },
            }
        })*
    };
}

slices! {
    upstreams: ngx_http_upstream_main_conf_t, upstreams.elts, upstreams.nelts => Option<&'static ngx_http_upstream_srv_conf_t>;
    servers_of: ngx_array_t, elts, nelts => ngx_http_upstream_server_t;
    states: ngx_array_t, elts, nelts => ngx_http_upstream_state_t;
    words: ngx_array_t, elts, nelts => ngx_str_t;
    zones: ngx_list_part_t, elts, nelts => ngx_shm_zone_t;
    connections: ngx_cycle_t, connections, connection_n => ngx_connection_t;
    server_names: ngx_http_core_srv_conf_t, server_names.elts, server_names.nelts => ngx_http_server_name_t;
    variables: ngx_http_core_main_conf_t, variables.elts, variables.nelts => ngx_http_variable_t;
}
