//! How our configurations are made, and what a location inherits from the one around it.

use core::ffi::{c_char, c_void};
use core::ptr;

use nginx_sys::ngx_conf_t;
use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};

use crate::ffi::conf::{self, LocConf, MainConf};
use crate::ffi::control::endpoint;
use crate::ffi::nginx::callbacks::{self, callbacks};
use crate::ffi::nginx::conf::Conf;
use crate::ffi::nginx::server_names::Names;
use crate::ffi::nginx::take_back::{self, Unprepared};
use crate::ffi::nginx::{flags, Failed};
use crate::ffi::request::away;
use crate::refusals::Refusal;

use super::product;

callbacks! {
    /// Makes a configuration; null if there is no memory.
    pub(crate) creates: (Conf) as (*mut ngx_conf_t) -> *mut c_void;
    /// Sets in the inner location (the last argument) what it does not say itself.
    pub(crate) merges: (Conf, &LocConf, &mut LocConf)
        as (*mut ngx_conf_t, *mut c_void, *mut c_void) -> *mut c_char;
}

/// The http block's. What it has open is closed when the configuration's memory goes. Nothing of ours is
/// called earlier.
pub(crate) extern "C" fn create_main(cf: Conf) -> *mut c_void {
    if product::check(cf).is_err() {
        return ptr::null_mut();
    }
    cf.keep(MainConf::new(cf.cycle)).cast()
}

pub(crate) extern "C" fn create_location(cf: Conf) -> *mut c_void {
    cf.keep(LocConf::default()).cast()
}

pub(crate) extern "C" fn merge_location(
    cf: Conf,
    parent: &LocConf,
    child: &mut LocConf,
) -> *mut c_char {
    child.holds = child.holds.or(parent.holds);
    child.expired = child.expired.or(parent.expired);
    child.overflow = child.overflow.or(parent.overflow);
    child.health_check = child.health_check.or(parent.health_check);
    child.max_held = child.max_held.or(parent.max_held);
    child.away = child.away.or(parent.away);
    child.read_body = child.read_body.or(parent.read_body);
    child.lease = child.lease.or(parent.lease);
    child.release = child.release.or(parent.release);
    // `if` and limit_except make a nameless location inside, which is the same endpoint.
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
    match conf::main_conf_of(cf) {
        Some(main) if main.uses_away => prepare_away(cf),
        _ => NGX_CONF_OK,
    }
}

/// Requests of a location are watched: those of every location, because any may be the head of the line
/// of an app that is away. The module stands behind those that pass requests on in nginx's list, so they
/// have merged it already.
fn prepare_away(cf: Conf) -> *mut c_char {
    match take_back::prepare(cf, &away::OWNER) {
        Ok(()) => NGX_CONF_OK,
        Err(Unprepared::NoMemory) => NGX_CONF_ERROR,
        Err(Unprepared::Unknown(module)) => {
            cf.error(Refusal::AwayUnknown { module: module.to_bytes() })
        }
    }
}
