//! What nginx finds in the library when it loads it, and calls.
//!
//! The directives and what they set: `directives`, `configurations`. The variables: `variables`. What a
//! start and a reload do: `zone`. A worker's start and end, what it does when its bell rings, and where
//! a lease ends: `process`.

mod variables;
mod zone;

mod process;

mod product;

mod configurations;
mod directives;

#[cfg(not(feature = "linked"))]
mod list;

use core::ptr;

use nginx_sys::{
    ngx_array_push, ngx_http_handler_pt, ngx_http_module_t, ngx_int_t, ngx_module_t, ngx_uint_t,
    NGX_HTTP_MODULE, NGX_OK,
};
use ngx::http::{HttpModule, HttpModuleMainConf, NgxHttpCoreModule};

use crate::ffi::conf::main_conf_of;
use crate::ffi::nginx::conf::Conf;
use crate::ffi::nginx::module::Module;
use crate::ffi::nginx::{callbacks, flags, Failed};
use crate::ffi::request::gate;

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: callbacks::on_configuration(variables::add),
    postconfiguration: callbacks::on_configuration(postconfiguration),
    create_main_conf: configurations::creates(configurations::create_main),
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: configurations::creates(configurations::create_location),
    merge_loc_conf: configurations::merges(configurations::merge_location),
};

/// The module, as nginx knows it. nginx writes its indexes into it.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub(crate) static mut ngx_http_intermission_module: ngx_module_t = ngx_module_t {
    ctx: ptr::addr_of!(CONTEXT).cast_mut().cast(),
    commands: ptr::addr_of_mut!(directives::COMMANDS).cast(),
    type_: NGX_HTTP_MODULE as ngx_uint_t,
    init_module: callbacks::on_cycle(zone::init_module),
    init_process: callbacks::on_cycle(process::init),
    exit_process: callbacks::on_exit(process::exit),
    exit_master: callbacks::on_exit(zone::exit_master),
    version: flags::MODULE_VERSION as ngx_uint_t,
    spare1: flags::MODULE_SIGN as ngx_uint_t,
    ..ngx_module_t::default()
};

impl HttpModule for Module {
    fn module() -> &'static ngx_module_t {
        // SAFETY: nginx writes the indexes once, before it calls anything of this module. Nothing else
        // of it is read here.
        unsafe { &*ptr::addr_of!(ngx_http_intermission_module) }
    }
}

extern "C" fn postconfiguration(cf: Conf) -> ngx_int_t {
    let done = variables::find(cf).and_then(|()| add_gate(cf)).and_then(|()| zone::add(cf));
    match done {
        Ok(()) => NGX_OK as ngx_int_t,
        Err(Failed) => nginx_sys::NGX_ERROR as ngx_int_t,
    }
}

/// Puts the gate into nginx's precontent phase: by then all modules that may turn a request away have
/// let it in. nginx runs the handlers of a phase in the reverse order of its modules: this module stands
/// behind mirror and try_files, so the gate comes before them.
fn add_gate(cf: Conf) -> Result<(), Failed> {
    if !main_conf_of(cf).is_some_and(|main| main.uses_gate) {
        return Ok(());
    }
    let phase = nginx_sys::ngx_http_phases_NGX_HTTP_PRECONTENT_PHASE as usize;
    let core = NgxHttpCoreModule::main_conf_mut(&*cf).ok_or(Failed)?;
    let handlers = &mut core.phases.get_mut(phase).ok_or(Failed)?.handlers;
    // SAFETY: nginx makes the arrays of handlers before it calls postconfiguration. An element of this
    // one is a handler; null if there is no memory.
    let place = unsafe { ngx_array_push(handlers).cast::<ngx_http_handler_pt>().as_mut() };
    *place.ok_or(Failed)? = callbacks::handler(gate::on_precontent);
    Ok(())
}
