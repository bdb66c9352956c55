//! The entry of this module, as nginx has it.

use core::ptr;

use nginx_sys::ngx_module_t;
use ngx::http::HttpModule;

/// This module, for the places of its configurations and contexts.
///
/// Its entry names everything, and so stands on the highest floor: there `HttpModule` is implemented
/// for this. It must not be found by its symbol: nginx may have two builds of the module loaded, and
/// the loader would take the first one's for both.
pub(crate) struct Module;

/// For nginx's functions that want it.
pub(crate) fn entry() -> *mut ngx_module_t {
    ptr::from_ref(Module::module()).cast_mut()
}
