//! This module's entry in nginx, `ngx_module_t`, by a type.

use core::ptr;

use nginx_sys::ngx_module_t;
use ngx::http::HttpModule;

/// This module. The entry has the indexes of its configurations and contexts.
///
/// The entry also names all that nginx calls, so it stands on the highest floor: `HttpModule` is
/// implemented for this type there. Nothing here may find it by its symbol: nginx may have loaded two
/// builds of the module, and the loader would take the first one's entry for both.
pub(crate) struct Module;

/// The entry, as nginx's functions take it.
pub(crate) fn entry() -> *mut ngx_module_t {
    ptr::from_ref(Module::module()).cast_mut()
}
