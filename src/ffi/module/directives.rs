//! The directives: where each may stand, and what its values become.

use core::ffi::{c_char, c_void};

use nginx_sys::{
    ngx_command_t, ngx_conf_t, ngx_http_core_loc_conf_t, ngx_str_t, ngx_uint_t, NGX_CONF_1MORE,
    NGX_CONF_ANY, NGX_CONF_TAKE1, NGX_HTTP_LIF_CONF, NGX_HTTP_LOC_CONF, NGX_HTTP_LOC_CONF_OFFSET,
    NGX_HTTP_MAIN_CONF, NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_SRV_CONF,
};
use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};
use ngx::ngx_string;

use crate::control::command::Changes;
use crate::ffi::conf::{main_conf_of, Endpoint, Holds, LocConf, MainConf};
use crate::ffi::control::endpoint;
use crate::ffi::nginx::callbacks::{self, callbacks};
use crate::ffi::nginx::conf::{self, Conf};
use crate::ffi::nginx::flags;
use crate::ffi::nginx::server_names::Names;
use crate::ffi::worker::disk;
use crate::ffi::worker::zone::SharedZone;
use crate::refusals::Refusal;
use crate::settings::{self, Allowed, Control, ErrorStatus, PassOr, Switch};
use crate::shared::pace::Pace;

const EVERYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

callbacks! {
    /// A directive's handler that sets something of the http block.
    set_in_main: (Conf, &ngx_command_t, &mut MainConf)
        as (*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char;
    /// A directive's handler that sets something of a location.
    set_in_location: (Conf, &ngx_command_t, &mut LocConf)
        as (*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char;
}

type SetMain = extern "C" fn(Conf, &ngx_command_t, &mut MainConf) -> *mut c_char;
type SetLocation = extern "C" fn(Conf, &ngx_command_t, &mut LocConf) -> *mut c_char;

const fn in_main(name: ngx_str_t, set: SetMain) -> ngx_command_t {
    ngx_command_t {
        name,
        type_: (NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1) as ngx_uint_t,
        set: set_in_main(set),
        conf: NGX_HTTP_MAIN_CONF_OFFSET,
        ..ngx_command_t::empty()
    }
}

const fn in_location(name: ngx_str_t, contexts: u32, set: SetLocation) -> ngx_command_t {
    ngx_command_t {
        name,
        type_: contexts as ngx_uint_t,
        set: set_in_location(set),
        conf: NGX_HTTP_LOC_CONF_OFFSET,
        ..ngx_command_t::empty()
    }
}

pub(crate) static mut COMMANDS: [ngx_command_t; 13] = [
    in_location(
        ngx_string!("intermission"),
        EVERYWHERE | NGX_HTTP_LIF_CONF | NGX_CONF_TAKE1,
        set_intermission,
    ),
    in_location(ngx_string!("intermission_control"), NGX_HTTP_LOC_CONF | NGX_CONF_ANY, set_control),
    in_main(ngx_string!("intermission_zone"), set_zone),
    in_main(ngx_string!("intermission_state_file"), set_state_file),
    in_location(ngx_string!("intermission_lease"), EVERYWHERE | NGX_CONF_TAKE1, set_lease),
    in_location(ngx_string!("intermission_away"), EVERYWHERE | NGX_CONF_TAKE1, set_away),
    in_location(ngx_string!("intermission_max_held"), EVERYWHERE | NGX_CONF_TAKE1, set_max_held),
    in_location(ngx_string!("intermission_read_body"), EVERYWHERE | NGX_CONF_TAKE1, set_read_body),
    in_location(ngx_string!("intermission_overflow"), EVERYWHERE | NGX_CONF_TAKE1, set_overflow),
    in_location(ngx_string!("intermission_expired"), EVERYWHERE | NGX_CONF_TAKE1, set_expired),
    in_location(
        ngx_string!("intermission_health_check"),
        EVERYWHERE | NGX_CONF_TAKE1,
        set_health_check,
    ),
    in_location(ngx_string!("intermission_release"), EVERYWHERE | NGX_CONF_1MORE, set_release),
    ngx_command_t::empty(),
];

const DUPLICATE: *mut c_char = c"is duplicate".as_ptr().cast_mut();

extern "C" fn set_intermission(cf: Conf, _: &ngx_command_t, conf: &mut LocConf) -> *mut c_char {
    if conf.holds.is_some() {
        return DUPLICATE;
    }
    let mut value = cf.value();
    let holds = match settings::intermission(value.as_bytes()) {
        Ok(Switch::On) => Holds::Always,
        Ok(Switch::Off) => Holds::Never,
        Ok(Switch::Variable) => match cf.compile(&mut value) {
            Some(complex) => Holds::If(complex),
            None => return NGX_CONF_ERROR,
        },
        Err(allowed) => return cf.refuse(value, allowed),
    };
    conf.holds = Some(holds);
    if let Some(main) = main_conf_of(cf).filter(|_| !matches!(holds, Holds::Never)) {
        main.uses_gate = true;
    }
    NGX_CONF_OK
}

extern "C" fn set_control(cf: Conf, _: &ngx_command_t, conf: &mut LocConf) -> *mut c_char {
    if conf.control.is_some() {
        return DUPLICATE;
    }
    let Some(core) = NgxHttpCoreModule::location_conf_mut(&*cf) else {
        return NGX_CONF_ERROR;
    };
    if flags::location::NAMED.is_set(core) || is_regex(core) || is_predicate(core) {
        return cf.error(Refusal::ControlMisplaced { location: core.name.as_bytes() });
    }
    let (mut apps, mut changes) = (None, Changes::ByGetOrPost);
    for value in cf.arguments().iter().skip(1) {
        match settings::control(value.as_bytes()) {
            Ok(Control::Post) if changes != Changes::ByPost => changes = Changes::ByPost,
            Ok(Control::Apps(names)) if apps.is_none() => apps = Some(names),
            Ok(_) => return DUPLICATE,
            Err(allowed) => return cf.refuse(*value, allowed),
        }
    }
    conf.control = Some(Endpoint {
        location: core.name,
        exact: flags::location::EXACT_MATCH.is_set(core),
        apps: apps.map_or(ngx_str_t::empty(), |names| ngx_str_t {
            len: names.len(),
            data: names.as_ptr().cast_mut(),
        }),
        changes,
        names: Names::NONE,
    });
    core.handler = callbacks::handler(endpoint::handler);
    NGX_CONF_OK
}

#[cfg(ngx_feature = "pcre")]
fn is_regex(core: &ngx_http_core_loc_conf_t) -> bool {
    !core.regex.is_null()
}

#[cfg(not(ngx_feature = "pcre"))]
fn is_regex(_: &ngx_http_core_loc_conf_t) -> bool {
    false
}

/// Whether this is a `location $variable`, which nginx has from 1.31.5 on.
fn is_predicate(core: &ngx_http_core_loc_conf_t) -> bool {
    core.name.as_bytes().starts_with(b"$") && !flags::location::EXACT_MATCH.is_set(core)
}

extern "C" fn set_zone(cf: Conf, _: &ngx_command_t, conf: &mut MainConf) -> *mut c_char {
    if conf.zone_size.is_some() {
        return DUPLICATE;
    }
    let mut value = cf.value();
    match settings::zone(conf::size(&mut value), SharedZone::LEAST) {
        Ok(size) => conf.zone_size = Some(size),
        Err(allowed) => return cf.refuse(value, allowed),
    }
    NGX_CONF_OK
}

extern "C" fn set_state_file(cf: Conf, _: &ngx_command_t, conf: &mut MainConf) -> *mut c_char {
    if conf.state_path.is_some() {
        return DUPLICATE;
    }
    let mut path = cf.value();
    match settings::is_state_path(path.as_bytes()) {
        Ok(false) => path = ngx_str_t::empty(),
        Ok(true) if cf.full_name(&mut path).is_ok() => {}
        Ok(true) => return NGX_CONF_ERROR,
        Err(allowed) => return cf.refuse(path, allowed),
    }
    let folder = (!path.is_empty()).then(|| disk::check_folder(disk::path(path.as_bytes())));
    if let Some(Err(unfit)) = folder {
        return cf.error(Refusal::StateFolder { file: path.as_bytes(), unfit });
    }
    conf.state_path = Some(path);
    NGX_CONF_OK
}

/// Sets a directive that takes one value.
fn set<T>(
    cf: Conf,
    place: &mut Option<T>,
    parse: impl FnOnce(&[u8]) -> Result<T, Allowed>,
) -> *mut c_char {
    if place.is_some() {
        return DUPLICATE;
    }
    let value = cf.value();
    match parse(value.as_bytes()) {
        Ok(parsed) => *place = Some(parsed),
        Err(allowed) => return cf.refuse(value, allowed),
    }
    NGX_CONF_OK
}

macro_rules! setter {
    ($name:ident, $field:ident, $parse:expr) => {
        extern "C" fn $name(cf: Conf, _: &ngx_command_t, conf: &mut LocConf) -> *mut c_char {
            set(cf, &mut conf.$field, $parse)
        }
    };
}

setter!(set_lease, lease, settings::lease);
setter!(set_max_held, max_held, settings::max_held);
setter!(set_read_body, read_body, settings::read_body);
setter!(set_overflow, overflow, ErrorStatus::parse);
setter!(set_expired, expired, PassOr::<ErrorStatus>::parse);
setter!(set_health_check, health_check, PassOr::<settings::HealthCode>::parse);

extern "C" fn set_away(cf: Conf, _: &ngx_command_t, conf: &mut LocConf) -> *mut c_char {
    let answer = set(cf, &mut conf.away, settings::away);
    if let Some(main) = main_conf_of(cf).filter(|_| conf.away.flatten().is_some()) {
        main.uses_away = true;
    }
    answer
}

extern "C" fn set_release(cf: Conf, _: &ngx_command_t, conf: &mut LocConf) -> *mut c_char {
    if conf.release.is_some() {
        return DUPLICATE;
    }
    let mut pace = Pace::default();
    for value in cf.arguments().iter().skip(1) {
        match settings::release(pace, value.as_bytes()) {
            Ok(more) => pace = more,
            Err(allowed) => return cf.refuse(*value, allowed),
        }
    }
    conf.release = Some(pace);
    NGX_CONF_OK
}
