//! What the configuration says: the http block, and each location.

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
use crate::ffi::worker::familiar::Familiar;
use crate::ffi::worker::state_file::StateFile;
use crate::ffi::worker::unlisted::Roll;
use crate::ffi::worker::zone::{Retired, SharedZone};
use crate::settings::{Apps, ErrorStatus, HealthCode, PassOr};
use crate::shared::pace::Pace;
use crate::time::Msec;

// SAFETY: `create_main` makes this type for each http block.
unsafe impl HttpModuleMainConf for Module {
    type MainConf = MainConf;
}

// SAFETY: `create_location` makes this type for each location.
unsafe impl HttpModuleLocationConf for Module {
    type LocationConf = LocConf;
}

/// What the http block says.
pub(crate) struct MainConf {
    /// The zone's size in bytes, if there is a directive for it.
    pub zone_size: Option<usize>,
    /// None until nginx has mapped it.
    pub zone: Option<SharedZone>,
    /// Where pauses are kept over a restart; empty if the directive says `off`.
    pub state_path: Option<ngx_str_t>,
    pub state: Option<StateFile>,
    /// Whether a location may hold requests while their app is paused. If not, no request comes to the
    /// gate.
    pub uses_gate: bool,
    /// Whether a location holds requests that nginx could not send to their app.
    pub uses_away: bool,
    /// Keeps the zone's doorbells open. Only the newest configuration of a zone has them.
    pub bells: Cell<Option<OpenBells>>,
    /// Keeps the zone's roll open, in the same way.
    pub roll: Cell<Option<Roll>>,
    /// The zone that this configuration replaces by a new one; None once it is accepted.
    pub replaced: Cell<Option<Retired>>,
    /// The configuration whose zone this one took over; None once it is accepted.
    pub before: Cell<Option<&'static MainConf>>,
    pub variables: Indexes,
    pub own_handlers: OwnHandlers,
    cycle: *const ngx_cycle_t,
}

impl MainConf {
    /// The configuration of a cycle that nginx is making.
    pub(crate) fn new(cycle: *const ngx_cycle_t) -> Self {
        Self {
            zone_size: None,
            zone: None,
            state_path: None,
            state: None,
            uses_gate: false,
            uses_away: false,
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
        // SAFETY: this lies in the memory of its cycle, which has one pool for both.
        unsafe { &*self.cycle }
    }
}

/// What a location says. A field is None if the location does not say it, and after merging if no
/// location around it does either.
#[derive(Default)]
pub(crate) struct LocConf {
    pub holds: Option<Holds>,
    pub expired: Option<PassOr<ErrorStatus>>,
    pub overflow: Option<ErrorStatus>,
    pub health_check: Option<PassOr<HealthCode>>,
    pub max_held: Option<u32>,
    /// For how long at most a request is held that nginx could not send to its app; `Some(None)` if it
    /// is not held.
    pub away: Option<Option<Msec>>,
    /// Whether a request comes to the gate only when all of its body has been read.
    pub read_body: Option<bool>,
    /// For a control endpoint: how long a pause lasts if its `enable` does not say; `Some(None)` if it
    /// has no end then.
    pub lease: Option<Option<Msec>>,
    /// For a control endpoint: how fast held requests are released.
    pub release: Option<Pace>,
    /// What the worker knows of the last request that passed here.
    pub familiar: Familiar,
    /// Some if this is a control endpoint.
    pub control: Option<Endpoint>,
}

impl LocConf {
    /// Whether requests here are held, whatever they are, as soon as they come.
    #[inline]
    pub(crate) fn holds_at_once(&self) -> bool {
        matches!(self.holds, Some(Holds::Always)) && self.read_body != Some(true)
    }
}

/// Whether requests here are held while their app is paused.
#[derive(Clone, Copy)]
pub(crate) enum Holds {
    Never,
    Always,
    /// Unless this value is empty, `0` or `off`.
    If(&'static ngx_http_complex_value_t),
}

/// A control endpoint.
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
    /// The apps that it may change besides the `$app_name` of its location.
    pub(crate) fn apps(&self) -> Apps<'_> {
        // The directive's handler has refused a list that is malformed.
        Apps::parse(self.apps.as_bytes()).unwrap_or_default()
    }
}

/// nginx's indexes of the operator's variables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Indexes {
    pub app_name: ngx_uint_t,
    pub max_time: ngx_uint_t,
    pub health_check_path: ngx_uint_t,
    pub privileged_user_agent: ngx_uint_t,
}

/// The http block that a request came through.
pub(crate) fn main_conf(r: &ngx_http_request_t) -> Option<&'static MainConf> {
    Module::main_conf(r)
}

/// The http block of a cycle. None if there is none.
pub(crate) fn main_conf_in(cycle: &ngx_cycle_t) -> Option<&'static MainConf> {
    Module::main_conf(cycle)
}

/// The http block of the configuration that this process runs on.
pub(crate) fn of_this_process() -> Option<&'static MainConf> {
    cycle::running().and_then(main_conf_in)
}

/// The location that a request has come to.
pub(crate) fn loc_conf(r: &ngx_http_request_t) -> Option<&'static LocConf> {
    Module::location_conf(r)
}

/// The http block that nginx is reading.
pub(crate) fn main_conf_of(cf: Conf) -> Option<&'static mut MainConf> {
    Module::main_conf_mut(&*cf)
}
