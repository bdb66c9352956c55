//! What a place of the configuration says.

use core::cell::Cell;

use nginx_sys::{ngx_cycle_t, ngx_http_complex_value_t, ngx_http_request_t, ngx_str_t, ngx_uint_t};
use ngx::http::{HttpModuleLocationConf, HttpModuleMainConf};

use crate::control::command::Changes;
use crate::ffi::nginx::conf::Conf;
use crate::ffi::nginx::cycle;
use crate::ffi::nginx::module::Module;
use crate::ffi::nginx::pages::OwnHandlers;
use crate::ffi::nginx::server_names::Names;
use crate::ffi::worker::doorbell::OpenBells;
use crate::ffi::worker::state_file::StateFile;
use crate::ffi::worker::unlisted::Roll;
use crate::ffi::worker::zone::{Retired, SharedZone};
use crate::settings::{Apps, ErrorStatus, HealthCode, PassOr};
use crate::shared::pace::Pace;
use crate::time::Msec;

// SAFETY: these are what the module makes for its configurations.
unsafe impl HttpModuleMainConf for Module {
    type MainConf = MainConf;
}

// SAFETY: as above.
unsafe impl HttpModuleLocationConf for Module {
    type LocationConf = LocConf;
}

/// What the http block says.
pub(crate) struct MainConf {
    /// The zone's size in bytes, if it is said.
    pub zone_size: Option<usize>,
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
    pub before: Cell<Option<&'static MainConf>>,
    pub variables: Indexes,
    pub own_handlers: OwnHandlers,
    cycle: *const ngx_cycle_t,
}

impl MainConf {
    /// That of a cycle that is being made.
    pub(crate) fn new(cycle: *const ngx_cycle_t) -> Self {
        Self {
            zone_size: None,
            zone: None,
            state_path: None,
            state: None,
            bells: Cell::new(None),
            roll: Cell::new(None),
            replaced: Cell::new(None),
            before: Cell::new(None),
            variables: Indexes::default(),
            own_handlers: OwnHandlers::default(),
            cycle,
        }
    }

    /// The cycle that it is a part of.
    pub(crate) fn cycle(&self) -> &ngx_cycle_t {
        // SAFETY: a configuration lives as long as its cycle.
        unsafe { &*self.cycle }
    }
}

/// What a location says; none where it says nothing, and its parent's after merging.
#[derive(Default)]
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
#[derive(Clone, Copy)]
pub(crate) enum Holds {
    Never,
    Always,
    /// Unless this is empty, `0` or `off`.
    If(&'static ngx_http_complex_value_t),
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
    pub names: Names,
}

impl Endpoint {
    /// The apps that it may touch beside its place's own.
    pub(crate) fn apps(&self) -> Apps<'_> {
        // It was checked when the configuration was read.
        Apps::parse(self.apps.as_bytes()).unwrap_or_default()
    }
}

/// Where nginx keeps the operator's variables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Indexes {
    pub app_name: ngx_uint_t,
    pub max_time: ngx_uint_t,
    pub health_check_path: ngx_uint_t,
    pub privileged_user_agent: ngx_uint_t,
}

/// The main configuration that a request runs on.
pub(crate) fn main_conf(r: &ngx_http_request_t) -> Option<&'static MainConf> {
    Module::main_conf(r)
}

/// The main configuration of a cycle. None if it has no http block.
pub(crate) fn main_conf_in(cycle: &ngx_cycle_t) -> Option<&'static MainConf> {
    Module::main_conf(cycle)
}

/// The main configuration that this process runs on.
pub(crate) fn of_this_process() -> Option<&'static MainConf> {
    cycle::running().and_then(main_conf_in)
}

/// What the location says that a request has come to.
pub(crate) fn loc_conf(r: &ngx_http_request_t) -> Option<&'static LocConf> {
    Module::location_conf(r)
}

/// The main configuration that is being read.
pub(crate) fn main_conf_of(cf: Conf) -> Option<&'static mut MainConf> {
    Module::main_conf_mut(&*cf)
}
