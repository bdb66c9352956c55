//! What the configurations begin with, and what a location takes from the one around it.

use core::ffi::{c_char, c_void};
use core::ptr;

use nginx_sys::{ngx_conf_t, ngx_pool_cleanup_add};
use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};

use crate::ffi::conf::{LocConf, MainConf};
use crate::ffi::control::endpoint;
use crate::ffi::nginx::callbacks::{self, callbacks};
use crate::ffi::nginx::conf::Conf;
use crate::ffi::nginx::server_names::Names;
use crate::ffi::nginx::{flags, Failed};

type Create = Option<unsafe extern "C" fn(*mut ngx_conf_t) -> *mut c_void>;
type Merge = Option<unsafe extern "C" fn(*mut ngx_conf_t, *mut c_void, *mut c_void) -> *mut c_char>;

callbacks! {
    creates: extern "C" fn(Conf) -> *mut c_void, Create;
    merges: extern "C" fn(Conf, &LocConf, &mut LocConf) -> *mut c_char, Merge;
}

pub(crate) const CREATE_MAIN: Create = creates(create_main);
pub(crate) const CREATE_LOCATION: Create = creates(create_location);
pub(crate) const MERGE_LOCATION: Merge = merges(merge_location);

extern "C" fn create_main(cf: Conf) -> *mut c_void {
    // SAFETY: a live pool; the cleanup's data becomes a value before it can run.
    unsafe {
        let cleanup = ngx_pool_cleanup_add(cf.pool, size_of::<MainConf>());
        let Some(cleanup) = cleanup.as_mut() else { return ptr::null_mut() };
        cleanup.data.cast::<MainConf>().write(MainConf::new(cf.cycle));
        cleanup.handler = Some(drop_main);
        cleanup.data
    }
}

/// The configuration's memory is about to go: closes what it has open.
extern "C" fn drop_main(conf: *mut c_void) {
    // SAFETY: what create_main made, once.
    unsafe { ptr::drop_in_place(conf.cast::<MainConf>()) };
}

extern "C" fn create_location(cf: Conf) -> *mut c_void {
    cf.allocate(LocConf::default()).map_or(ptr::null_mut(), |conf| ptr::from_mut(conf).cast())
}

extern "C" fn merge_location(cf: Conf, parent: &LocConf, child: &mut LocConf) -> *mut c_char {
    child.holds = child.holds.or(parent.holds);
    child.expired = child.expired.or(parent.expired);
    child.overflow = child.overflow.or(parent.overflow);
    child.health_check = child.health_check.or(parent.health_check);
    child.max_held = child.max_held.or(parent.max_held);
    child.read_body = child.read_body.or(parent.read_body);
    child.lease = child.lease.or(parent.lease);
    child.release = child.release.or(parent.release);
    // `if` and limit_except make a nameless location inside, which is the same place.
    let nameless = NgxHttpCoreModule::location_conf_mut(&*cf)
        .filter(|core| flags::location::NONAME.is_set(core));
    if let Some(core) = nameless.filter(|_| child.control.is_none() && parent.control.is_some()) {
        child.control = parent.control;
        core.handler = callbacks::handler(endpoint::handler);
    }
    if let Some(endpoint) = &mut child.control {
        match Names::of(cf) {
            Ok(names) => endpoint.names = names,
            Err(Failed) => return NGX_CONF_ERROR,
        }
    }
    NGX_CONF_OK
}
