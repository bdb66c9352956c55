//! What nginx finds in the module when it loads it.

pub(crate) mod directives;
pub(crate) mod variables;

use core::ffi::c_char;
use core::ptr;

use nginx_sys::{
    ngx_conf_t, ngx_http_module_t, ngx_int_t, ngx_module_t, ngx_uint_t, NGX_HTTP_MODULE, NGX_OK,
};

use crate::ffi::conf;
use crate::ffi::request::gate;
use crate::ffi::worker::workers;
use crate::ffi::worker::zone;

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(variables::add),
    postconfiguration: Some(postconfiguration),
    create_main_conf: Some(conf::create_main),
    init_main_conf: Some(conf::init_main),
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(conf::create_location),
    merge_loc_conf: Some(conf::merge_location),
};

/// The module, as nginx knows it. nginx writes its indexes into it.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub(crate) static mut ngx_http_intermission_module: ngx_module_t = ngx_module_t {
    ctx: ptr::addr_of!(CONTEXT).cast_mut().cast(),
    commands: ptr::addr_of_mut!(directives::COMMANDS).cast(),
    type_: NGX_HTTP_MODULE as ngx_uint_t,
    init_module: Some(zone::init_module),
    init_process: Some(workers::init_process),
    exit_process: Some(workers::exit_process),
    exit_master: Some(zone::exit_master),
    ..ngx_module_t::default()
};

/// A table of pointers to what never changes.
#[repr(transparent)]
pub(crate) struct Table<const N: usize>([*const c_char; N]);

// SAFETY: the pointers are to string literals.
unsafe impl<const N: usize> Sync for Table<N> {}

/// The modules in this library; nginx asks for it by this name.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub(crate) static mut ngx_modules: [*const ngx_module_t; 2] =
    [ptr::addr_of!(ngx_http_intermission_module), ptr::null()];

/// Their names.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub(crate) static ngx_module_names: Table<2> =
    Table([c"ngx_http_intermission_module".as_ptr(), ptr::null()]);

/// The module's entry, for nginx's functions that want it.
pub(crate) fn this() -> *mut ngx_module_t {
    ptr::addr_of_mut!(ngx_http_intermission_module)
}

/// The module's place among the HTTP modules.
pub(crate) fn context_index() -> usize {
    // SAFETY: nginx writes it once, while it reads the configuration, before any callback of ours.
    unsafe { (*this()).ctx_index }
}

extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    let done =
        variables::find(cf).and_then(|()| gate::add_handler(cf)).and_then(|()| zone::add(cf));
    match done {
        Ok(()) => NGX_OK as ngx_int_t,
        Err(Failed) => nginx_sys::NGX_ERROR as ngx_int_t,
    }
}

/// nginx had no memory, or something was wrong that has been logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;
