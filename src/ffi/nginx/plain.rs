//! Plain C data, which may begin as all zero.

use core::mem::MaybeUninit;

use nginx_sys::{
    ngx_buf_t, ngx_connection_t, ngx_event_t, ngx_http_compile_complex_value_t,
    ngx_http_complex_value_t, ngx_http_core_loc_conf_t,
};

/// # Safety
/// All zero is a value.
pub(crate) unsafe trait Plain {}

macro_rules! plain {
    ($($structure:ident)*) => {
        // SAFETY: numbers, pointers that may be null, and functions that there need not be.
        $(unsafe impl Plain for $structure {})*
    };
}

plain! {
    ngx_buf_t ngx_connection_t ngx_event_t ngx_http_compile_complex_value_t ngx_http_complex_value_t
    ngx_http_core_loc_conf_t
}

/// All zero.
pub(crate) const fn zero<T: Plain>() -> T {
    // SAFETY: as the type promises.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
