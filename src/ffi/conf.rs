//! What a place of the configuration says.

use core::cell::Cell;
use core::ffi::{c_char, c_void};
use core::ptr;

use nginx_sys::{
    ngx_conf_t, ngx_cycle_t, ngx_http_complex_value_t, ngx_http_conf_ctx_t,
    ngx_http_core_loc_conf_t, ngx_http_request_t, ngx_pcalloc, ngx_pool_cleanup_add, ngx_pool_t,
    ngx_str_t,
};
use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};

use crate::control::command::Changes;
use crate::ffi::control::endpoint;
use crate::ffi::module;
use crate::ffi::module::variables::Indexes;
use crate::ffi::nginx::flags;
use crate::ffi::nginx::pages::OwnHandlers;
use crate::ffi::nginx::server_names;
use crate::ffi::worker::doorbell::OpenBells;
use crate::ffi::worker::state_file::StateFile;
use crate::ffi::worker::unlisted::Roll;
use crate::ffi::worker::zone::{Retired, SharedZone};
use crate::settings::{Apps, ErrorStatus, HealthCode, PassOr};
use crate::shared::pace::Pace;
use crate::time::Msec;

/// What the http block says.
pub(crate) struct MainConf {
    /// The zone's size in bytes; 0 where not said yet.
    pub zone_size: usize,
    pub zone: Option<SharedZone>,
    /// Where pauses are kept over a restart; empty where they are not.
    pub state_path: Option<ngx_str_t>,
    pub state: Option<StateFile>,
    /// The zone's doorbells, in the configuration that serves it last.
    pub bells: Cell<Option<OpenBells>>,
    /// Where workers without an entry are known by, likewise.
    pub roll: Cell<Option<Roll>>,
    /// The zone that this configuration replaces by its own, until it is accepted.
    pub replaced: Cell<Option<Retired>>,
    /// The configuration before, whose zone this one took over.
    pub before: Cell<*const MainConf>,
    pub variables: Indexes,
    pub own_handlers: OwnHandlers,
    pub cycle: *mut ngx_cycle_t,
}

/// What a location says; none where it says nothing, and its parent's after merging.
#[derive(Debug, Default)]
pub(crate) struct LocConf {
    pub holds: Option<Holds>,
    pub expired: Option<PassOr<ErrorStatus>>,
    pub overflow: Option<ErrorStatus>,
    pub health_check: Option<PassOr<HealthCode>>,
    pub max_held: Option<u32>,
    /// Whether a request comes when all of its body is there.
    pub read_body: Option<bool>,
    /// For a control endpoint: how long a pause lasts where its `enable` does not say.
    pub lease: Option<Option<Msec>>,
    /// For a control endpoint: how those held go on.
    pub release: Option<Pace>,
    /// Where the control endpoint is, if this is one.
    pub control: Option<Endpoint>,
}

/// Whether requests here are held while their app is paused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holds {
    Never,
    Always,
    /// Unless this is empty, `0` or `off`.
    If(*mut ngx_http_complex_value_t),
}

/// A control endpoint's place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    /// The location's name, in the configuration's memory.
    pub location: ngx_str_t,
    pub exact: bool,
    /// What follows `apps=`, if anything, in the configuration's memory.
    pub apps: ngx_str_t,
    pub changes: Changes,
    /// The names of its server.
    pub names: server_names::Names,
}

impl Endpoint {
    /// The apps that it may touch beside its place's own.
    pub(crate) fn apps(&self) -> Apps<'_> {
        // It was checked when the configuration was read.
        Apps::parse(self.apps.as_bytes()).unwrap_or_default()
    }
}

const DEFAULT_ZONE_SIZE: usize = 10 << 20;

/// The main configuration that a request runs on.
pub(crate) fn main_conf(r: &ngx_http_request_t) -> Option<&MainConf> {
    // SAFETY: a live request has a table of main configurations; ours is what create_main made.
    unsafe { r.main_conf.add(module::context_index()).read().cast::<MainConf>().as_ref() }
}

/// The main configuration of a cycle; none where it has no http block.
pub(crate) fn main_conf_in(cycle: &ngx_cycle_t) -> Option<&MainConf> {
    // SAFETY: a cycle's table has a place for every module; the http core's is null without an
    // http block, else its context, whose main configurations include ours.
    unsafe {
        let context = cycle.conf_ctx.add(nginx_sys::ngx_http_module.index).read();
        let context = context.cast::<ngx_http_conf_ctx_t>().as_ref()?;
        context.main_conf.add(module::context_index()).read().cast::<MainConf>().as_ref()
    }
}

/// The main configuration that this process runs on.
pub(crate) fn of_this_process() -> Option<&'static MainConf> {
    // SAFETY: nginx sets the cycle before it loads any module and never unsets it.
    unsafe { nginx_sys::ngx_cycle.cast_const().as_ref() }.and_then(main_conf_in)
}

/// What the place says that a request has come to.
pub(crate) fn loc_conf(r: &ngx_http_request_t) -> Option<&LocConf> {
    // SAFETY: a live request has a table of location configurations; ours is create_location's.
    unsafe { r.loc_conf.add(module::context_index()).read().cast::<LocConf>().as_ref() }
}

/// nginx's own view of the place that a request has come to.
pub(crate) fn core_loc_conf(r: &ngx_http_request_t) -> Option<&ngx_http_core_loc_conf_t> {
    // SAFETY: a live request has a table of location configurations; the core's is always there.
    unsafe {
        let index = nginx_sys::ngx_http_core_module.ctx_index;
        r.loc_conf.add(index).read().cast::<ngx_http_core_loc_conf_t>().as_ref()
    }
}

/// The main configuration that is being read.
pub(crate) fn main_conf_of(cf: *mut ngx_conf_t) -> Option<&'static mut MainConf> {
    // SAFETY: after create_main, within the http block, cf has its table; nobody else has a
    // reference while nginx reads the configuration.
    unsafe {
        let context = cf.as_ref()?.ctx.cast::<ngx_http_conf_ctx_t>().as_ref()?;
        context.main_conf.add(module::context_index()).read().cast::<MainConf>().as_mut()
    }
}

/// nginx's own view of the location that is being read or merged.
pub(crate) fn core_loc_conf_of(
    cf: *mut ngx_conf_t,
) -> Option<&'static mut ngx_http_core_loc_conf_t> {
    // SAFETY: within the http block cf has its tables; nobody else has a reference meanwhile.
    unsafe {
        let context = cf.as_ref()?.ctx.cast::<ngx_http_conf_ctx_t>().as_ref()?;
        let index = nginx_sys::ngx_http_core_module.ctx_index;
        context.loc_conf.add(index).read().cast::<ngx_http_core_loc_conf_t>().as_mut()
    }
}

/// Puts a value into the configuration's memory, which is never dropped piecewise.
pub(crate) fn allocate<T>(pool: *mut ngx_pool_t, value: T) -> *mut T {
    // SAFETY: a live pool; what it gives is aligned for anything that C has.
    unsafe {
        let place = ngx_pcalloc(pool, size_of::<T>()).cast::<T>();
        if !place.is_null() {
            place.write(value);
        }
        place
    }
}

pub(crate) fn pool_of(cf: *mut ngx_conf_t) -> *mut ngx_pool_t {
    // SAFETY: nginx passes a live cf to every configuration callback.
    unsafe { (*cf).pool }
}

pub(crate) extern "C" fn create_main(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx passes a live cf; the cleanup's data becomes a value before it can run.
    unsafe {
        let cleanup = ngx_pool_cleanup_add((*cf).pool, size_of::<MainConf>());
        let Some(cleanup) = cleanup.as_mut() else { return ptr::null_mut() };
        cleanup.data.cast::<MainConf>().write(MainConf {
            zone_size: 0,
            zone: None,
            state_path: None,
            state: None,
            bells: Cell::new(None),
            roll: Cell::new(None),
            replaced: Cell::new(None),
            before: Cell::new(ptr::null()),
            variables: Indexes::default(),
            own_handlers: OwnHandlers::default(),
            cycle: (*cf).cycle,
        });
        cleanup.handler = Some(drop_main);
        cleanup.data
    }
}

/// The configuration's memory is about to go: closes what it has open.
extern "C" fn drop_main(conf: *mut c_void) {
    // SAFETY: what create_main made, once.
    unsafe { ptr::drop_in_place(conf.cast::<MainConf>()) };
}

pub(crate) extern "C" fn init_main(_: *mut ngx_conf_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: conf is what create_main made.
    let conf = unsafe { &mut *conf.cast::<MainConf>() };
    if conf.zone_size == 0 {
        conf.zone_size = DEFAULT_ZONE_SIZE;
    }
    NGX_CONF_OK
}

pub(crate) extern "C" fn create_location(cf: *mut ngx_conf_t) -> *mut c_void {
    allocate(pool_of(cf), LocConf::default()).cast()
}

pub(crate) extern "C" fn merge_location(
    cf: *mut ngx_conf_t,
    parent: *mut c_void,
    child: *mut c_void,
) -> *mut c_char {
    // SAFETY: both are what create_location made, and different ones.
    let (parent, child) = unsafe { (&*parent.cast::<LocConf>(), &mut *child.cast::<LocConf>()) };
    child.holds = child.holds.or(parent.holds);
    child.expired = child.expired.or(parent.expired);
    child.overflow = child.overflow.or(parent.overflow);
    child.health_check = child.health_check.or(parent.health_check);
    child.max_held = child.max_held.or(parent.max_held);
    child.read_body = child.read_body.or(parent.read_body);
    child.lease = child.lease.or(parent.lease);
    child.release = child.release.or(parent.release);
    // `if` and limit_except make a nameless location inside, which is the same place.
    if let Some(core) = core_loc_conf_of(cf).filter(|core| flags::location::NONAME.is_set(core)) {
        if child.control.is_none() && parent.control.is_some() {
            child.control = parent.control;
            core.handler = Some(endpoint::handler);
        }
    }
    if let Some(endpoint) = &mut child.control {
        match server_names::Names::of(cf) {
            Ok(names) => endpoint.names = names,
            Err(module::Failed) => return NGX_CONF_ERROR,
        }
    }
    NGX_CONF_OK
}

/// How many worker processes a cycle's configuration asks for; nginx has read all of it.
pub(crate) fn worker_processes(cycle: *const ngx_cycle_t) -> usize {
    // SAFETY: a live cycle has the core's configuration.
    let number = unsafe { core_of(cycle).worker_processes };
    usize::try_from(number).unwrap_or(1)
}

/// # Safety
/// The cycle is live, and its configuration outlives the reference.
pub(crate) unsafe fn core_of<'a>(cycle: *const ngx_cycle_t) -> &'a nginx_sys::ngx_core_conf_t {
    // SAFETY: the caller's; the core module always has a configuration.
    unsafe { &*(*cycle).conf_ctx.add(nginx_sys::ngx_core_module.index).read().cast() }
}
