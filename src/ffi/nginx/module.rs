//! The entry of this module, as nginx has it.

use nginx_sys::ngx_module_t;
use ngx::http::HttpModule;

extern "C" {
    static mut ngx_http_intermission_module: ngx_module_t;
}

/// This module, for the places of its configurations and contexts.
pub(crate) struct Module;

impl HttpModule for Module {
    fn module() -> &'static ngx_module_t {
        // SAFETY: nginx writes its indexes once, while it reads the configuration, before any callback
        // of ours.
        unsafe { &*entry() }
    }
}

/// For nginx's functions that want it.
pub(crate) fn entry() -> *mut ngx_module_t {
    &raw mut ngx_http_intermission_module
}
