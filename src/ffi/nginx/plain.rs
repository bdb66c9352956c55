//! C structures of which all zero is a value.

use core::mem::MaybeUninit;

use nginx_sys::{
    ngx_buf_t, ngx_connection_t, ngx_event_t, ngx_http_compile_complex_value_t,
    ngx_http_complex_value_t, ngx_http_core_loc_conf_t, ngx_http_upstream_local_t,
    ngx_peer_connection_t,
};

/// # Safety
/// All zero must be a value of the type.
pub(crate) unsafe trait Plain {}

macro_rules! plain {
    ($($structure:ident)*) => {
        // SAFETY: these have numbers, raw pointers and optional functions: zero, null and none are
        // values.
        $(unsafe impl Plain for $structure {})*
    };
}

plain! {
    ngx_buf_t ngx_connection_t ngx_event_t ngx_http_compile_complex_value_t ngx_http_complex_value_t
    ngx_http_core_loc_conf_t ngx_http_upstream_local_t ngx_peer_connection_t
}

/// All zero.
pub(crate) const fn zero<T: Plain>() -> T {
    // SAFETY: `Plain` promises that all zero is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
