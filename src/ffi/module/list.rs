//! The modules in this library: nginx looks for these names. If nginx's own make links the module, it
//! makes them itself.

use core::ffi::c_char;
use core::ptr;

use nginx_sys::ngx_module_t;

use super::ngx_http_intermission_module;

/// A table of C strings for nginx.
#[repr(transparent)]
pub(crate) struct Table<const N: usize>([*const c_char; N]);

// SAFETY: the pointers lead to string literals, which never change.
unsafe impl<const N: usize> Sync for Table<N> {}

/// The modules, the last one null.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub(crate) static mut ngx_modules: [*const ngx_module_t; 2] =
    [ptr::addr_of!(ngx_http_intermission_module), ptr::null()];

/// Their names, the last one null.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub(crate) static ngx_module_names: Table<2> =
    Table([c"ngx_http_intermission_module".as_ptr(), ptr::null()]);
