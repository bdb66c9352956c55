//! The directives: their contexts, and what their values become.

use core::ffi::{c_char, c_void};
use core::fmt;
use core::ptr;

use nginx_sys::{
    ngx_command_t, ngx_conf_full_name, ngx_conf_t, ngx_http_compile_complex_value,
    ngx_http_compile_complex_value_t, ngx_http_complex_value_t, ngx_http_core_loc_conf_t,
    ngx_parse_size, ngx_str_t, ngx_uint_t, NGX_CONF_1MORE, NGX_CONF_ANY, NGX_CONF_TAKE1,
    NGX_HTTP_LIF_CONF, NGX_HTTP_LOC_CONF, NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF,
    NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_SRV_CONF, NGX_OK,
};
use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ngx_string;

use crate::control::command::Changes;
use crate::ffi::conf::{allocate, core_loc_conf_of, pool_of, Endpoint, Holds, LocConf, MainConf};
use crate::ffi::control::endpoint;
use crate::ffi::nginx::flags;
use crate::ffi::nginx::log::conf_error;
use crate::ffi::nginx::server_names::Names;
use crate::ffi::worker::disk;
use crate::ffi::worker::zone::SharedZone;
use crate::settings::{self, Allowed, Control, ErrorStatus, PassOr};
use crate::shared::pace::Pace;

const EVERYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

type Set = extern "C" fn(*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char;

const fn directive(name: ngx_str_t, contexts: u32, set: Set, conf: usize) -> ngx_command_t {
    let type_ = contexts as ngx_uint_t;
    ngx_command_t { name, type_, set: Some(set), conf, offset: 0, post: ptr::null_mut() }
}

const fn in_location(name: ngx_str_t, contexts: u32, set: Set) -> ngx_command_t {
    directive(name, contexts, set, NGX_HTTP_LOC_CONF_OFFSET)
}

pub(crate) static mut COMMANDS: [ngx_command_t; 12] = [
    in_location(
        ngx_string!("intermission"),
        EVERYWHERE | NGX_HTTP_LIF_CONF | NGX_CONF_TAKE1,
        set_intermission,
    ),
    in_location(ngx_string!("intermission_control"), NGX_HTTP_LOC_CONF | NGX_CONF_ANY, set_control),
    directive(
        ngx_string!("intermission_zone"),
        NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
        set_zone,
        NGX_HTTP_MAIN_CONF_OFFSET,
    ),
    directive(
        ngx_string!("intermission_state_file"),
        NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
        set_state_file,
        NGX_HTTP_MAIN_CONF_OFFSET,
    ),
    in_location(ngx_string!("intermission_lease"), EVERYWHERE | NGX_CONF_TAKE1, set_lease),
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

/// A directive's arguments: its own name first.
fn arguments(cf: *mut ngx_conf_t) -> &'static [ngx_str_t] {
    // SAFETY: nginx passes a live cf with the words of the directive, each an ngx_str_t.
    unsafe { (*cf).args.as_ref().map_or(&[], |args| args.as_slice()) }
}

/// The value of a directive that takes one.
fn value_of(cf: *mut ngx_conf_t) -> ngx_str_t {
    arguments(cf).get(1).copied().unwrap_or(ngx_str_t::empty())
}

/// Refuses a directive's value, saying what is allowed.
fn refuse(cf: *mut ngx_conf_t, value: ngx_str_t, allowed: impl fmt::Display) -> *mut c_char {
    let name = arguments(cf).first().copied().unwrap_or(ngx_str_t::empty());
    let (name, value) = (name.as_bytes().escape_ascii(), value.as_bytes().escape_ascii());
    conf_error(cf, format_args!("invalid value \"{value}\" in \"{name}\" directive: {allowed}"))
}

const DUPLICATE: *mut c_char = c"is duplicate".as_ptr().cast_mut();

extern "C" fn set_intermission(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx passes our own LocConf.
    let conf = unsafe { &mut *conf.cast::<LocConf>() };
    if conf.holds.is_some() {
        return DUPLICATE;
    }
    let mut value = value_of(cf);
    let holds = match value.as_bytes() {
        b"on" => Holds::Always,
        b"off" => Holds::Never,
        [b'$', _, ..] => match compile(cf, &mut value) {
            Some(complex) => Holds::If(complex),
            None => return NGX_CONF_ERROR,
        },
        _ => return refuse(cf, value, "it must be \"on\", \"off\" or a variable"),
    };
    conf.holds = Some(holds);
    NGX_CONF_OK
}

/// A value with variables; none where it is malformed, which nginx has logged.
fn compile(cf: *mut ngx_conf_t, value: &mut ngx_str_t) -> Option<*mut ngx_http_complex_value_t> {
    // SAFETY: ngx_http_complex_value_t is plain C data, for which all zero is a value.
    let complex = allocate(pool_of(cf), unsafe { core::mem::zeroed() });
    // SAFETY: as above.
    let mut compiler: ngx_http_compile_complex_value_t = unsafe { core::mem::zeroed() };
    compiler.cf = cf;
    compiler.value = value;
    compiler.complex_value = complex;
    // SAFETY: the three are live, and complex is not null.
    let compiled = !complex.is_null()
        && unsafe { ngx_http_compile_complex_value(&mut compiler) } == NGX_OK as isize;
    compiled.then_some(complex)
}

extern "C" fn set_control(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx passes our own LocConf.
    let conf = unsafe { &mut *conf.cast::<LocConf>() };
    if conf.control.is_some() {
        return DUPLICATE;
    }
    let Some(core) = core_loc_conf_of(cf) else {
        return NGX_CONF_ERROR;
    };
    let location = core.name.as_bytes().escape_ascii();
    if flags::location::NAMED.is_set(core) || is_regex(core) || is_predicate(core) {
        return conf_error(
            cf,
            format_args!(
                "\"intermission_control\" directive is not allowed in location \"{location}\": \
                 it must be in a prefix or \"=\" location"
            ),
        );
    }
    let (mut apps, mut changes) = (None, Changes::ByGetOrPost);
    for value in arguments(cf).iter().skip(1) {
        match settings::control(value.as_bytes()) {
            Ok(Control::Post) if changes != Changes::ByPost => changes = Changes::ByPost,
            Ok(Control::Apps(names)) if apps.is_none() => apps = Some(names),
            Ok(_) => return DUPLICATE,
            Err(allowed) => return refuse(cf, *value, allowed),
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
    core.handler = Some(endpoint::handler);
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

/// Whether a variable leads to it: from nginx 1.31.5 on.
fn is_predicate(core: &ngx_http_core_loc_conf_t) -> bool {
    core.name.as_bytes().starts_with(b"$") && !flags::location::EXACT_MATCH.is_set(core)
}

extern "C" fn set_zone(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx passes our own MainConf.
    let conf = unsafe { &mut *conf.cast::<MainConf>() };
    if conf.zone_size != 0 {
        return DUPLICATE;
    }
    let mut value = value_of(cf);
    // SAFETY: it reads the value only.
    let size = unsafe { ngx_parse_size(&mut value) };
    match usize::try_from(size) {
        Ok(size) if size >= SharedZone::LEAST => conf.zone_size = size,
        _ => {
            let least = SharedZone::LEAST / 1024;
            return refuse(cf, value, format_args!("it must be a size of at least {least}k"));
        }
    }
    NGX_CONF_OK
}

extern "C" fn set_state_file(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx passes our own MainConf.
    let conf = unsafe { &mut *conf.cast::<MainConf>() };
    if conf.state_path.is_some() {
        return DUPLICATE;
    }
    let mut path = value_of(cf);
    match path.as_bytes() {
        b"off" => path = ngx_str_t::empty(),
        b"" => return refuse(cf, path, "it must be a path or \"off\""),
        // SAFETY: a live cf; a relative path becomes one from nginx's prefix.
        _ => unsafe {
            if ngx_conf_full_name((*cf).cycle, &mut path, 0) != NGX_OK as isize {
                return NGX_CONF_ERROR;
            }
        },
    }
    let folder = (!path.is_empty()).then(|| disk::check_folder(disk::path(path.as_bytes())));
    if let Some(Err(unfit)) = folder {
        let path = path.as_bytes().escape_ascii();
        return conf_error(cf, format_args!("\"intermission_state_file\" \"{path}\": {unfit}"));
    }
    conf.state_path = Some(path);
    NGX_CONF_OK
}

/// Sets a directive that takes one value.
fn set<T>(
    cf: *mut ngx_conf_t,
    place: &mut Option<T>,
    parse: impl FnOnce(&[u8]) -> Result<T, Allowed>,
) -> *mut c_char {
    if place.is_some() {
        return DUPLICATE;
    }
    let value = value_of(cf);
    match parse(value.as_bytes()) {
        Ok(parsed) => *place = Some(parsed),
        Err(allowed) => return refuse(cf, value, allowed),
    }
    NGX_CONF_OK
}

macro_rules! setter {
    ($name:ident, $field:ident, $parse:expr) => {
        extern "C" fn $name(
            cf: *mut ngx_conf_t,
            _: *mut ngx_command_t,
            conf: *mut c_void,
        ) -> *mut c_char {
            // SAFETY: nginx passes our own LocConf.
            let conf = unsafe { &mut *conf.cast::<LocConf>() };
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

extern "C" fn set_release(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx passes our own LocConf.
    let conf = unsafe { &mut *conf.cast::<LocConf>() };
    if conf.release.is_some() {
        return DUPLICATE;
    }
    let mut pace = Pace::default();
    for value in arguments(cf).iter().skip(1) {
        match settings::release(pace, value.as_bytes()) {
            Ok(more) => pace = more,
            Err(allowed) => return refuse(cf, *value, allowed),
        }
    }
    conf.release = Some(pace);
    NGX_CONF_OK
}
