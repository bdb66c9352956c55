//! The directives, and what a place of the configuration says.

use core::ffi::{c_char, c_void};
use core::fmt;
use core::ptr;

use nginx_sys::{
    ngx_command_t, ngx_conf_t, ngx_cycle_t, ngx_http_compile_complex_value,
    ngx_http_compile_complex_value_t, ngx_http_complex_value_t, ngx_http_conf_ctx_t,
    ngx_http_core_loc_conf_t, ngx_http_request_t, ngx_parse_size, ngx_pcalloc, ngx_pool_t,
    ngx_str_t, ngx_uint_t, NGX_CONF_NOARGS, NGX_CONF_TAKE1, NGX_HTTP_LIF_CONF, NGX_HTTP_LOC_CONF,
    NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF, NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_SRV_CONF,
    NGX_OK,
};
use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ngx_string;

use super::log::conf_error;
use super::variables::Indexes;
use super::zone::SharedZone;
use super::{control, module};

/// What the http block says.
#[derive(Debug)]
pub(super) struct MainConf {
    /// The zone's size in bytes; 0 where not said yet.
    pub zone_size: usize,
    pub zone: Option<SharedZone>,
    pub variables: Indexes,
    pub cycle: *mut ngx_cycle_t,
}

/// What a location says, after merging.
#[derive(Debug)]
pub(super) struct LocConf {
    pub holds: Holds,
    pub expired: Expired,
    /// Where the control endpoint is, if this is one.
    pub control: Option<Endpoint>,
}

/// Whether requests here are held while their app is paused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holds {
    Unset,
    Never,
    Always,
    /// Unless this is empty, `0` or `off`.
    If(*mut ngx_http_complex_value_t),
}

/// What happens to a request that was held for its max_time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    Unset,
    Pass,
    /// It is answered with this status.
    Answer(u16),
}

/// A control endpoint's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    /// The location's name, in the configuration's memory.
    pub location: ngx_str_t,
    pub exact: bool,
}

const DEFAULT_ZONE_SIZE: usize = 10 << 20;

const EVERYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

pub(super) static mut COMMANDS: [ngx_command_t; 5] = [
    ngx_command_t {
        name: ngx_string!("intermission"),
        type_: (EVERYWHERE | NGX_HTTP_LIF_CONF | NGX_CONF_TAKE1) as ngx_uint_t,
        set: Some(set_intermission),
        conf: NGX_HTTP_LOC_CONF_OFFSET,
        offset: 0,
        post: ptr::null_mut(),
    },
    ngx_command_t {
        name: ngx_string!("intermission_control"),
        type_: (NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS) as ngx_uint_t,
        set: Some(set_control),
        conf: NGX_HTTP_LOC_CONF_OFFSET,
        offset: 0,
        post: ptr::null_mut(),
    },
    ngx_command_t {
        name: ngx_string!("intermission_zone"),
        type_: (NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1) as ngx_uint_t,
        set: Some(set_zone),
        conf: NGX_HTTP_MAIN_CONF_OFFSET,
        offset: 0,
        post: ptr::null_mut(),
    },
    ngx_command_t {
        name: ngx_string!("intermission_expired"),
        type_: (EVERYWHERE | NGX_CONF_TAKE1) as ngx_uint_t,
        set: Some(set_expired),
        conf: NGX_HTTP_LOC_CONF_OFFSET,
        offset: 0,
        post: ptr::null_mut(),
    },
    ngx_command_t::empty(),
];

/// The main configuration that a request runs on.
pub(super) fn main_conf(r: &ngx_http_request_t) -> Option<&MainConf> {
    // SAFETY: a live request has a table of main configurations; ours is what create_main made.
    unsafe {
        r.main_conf
            .add(module::context_index())
            .read()
            .cast::<MainConf>()
            .as_ref()
    }
}

/// What the place says that a request has come to.
pub(super) fn loc_conf(r: &ngx_http_request_t) -> Option<&LocConf> {
    // SAFETY: a live request has a table of location configurations; ours is create_location's.
    unsafe {
        r.loc_conf
            .add(module::context_index())
            .read()
            .cast::<LocConf>()
            .as_ref()
    }
}

/// nginx's own view of the place that a request has come to.
pub(super) fn core_loc_conf(r: &ngx_http_request_t) -> Option<&ngx_http_core_loc_conf_t> {
    // SAFETY: a live request has a table of location configurations; the core's is always there.
    unsafe {
        let index = nginx_sys::ngx_http_core_module.ctx_index;
        r.loc_conf
            .add(index)
            .read()
            .cast::<ngx_http_core_loc_conf_t>()
            .as_ref()
    }
}

/// The main configuration that is being read.
pub(super) fn main_conf_of(cf: *mut ngx_conf_t) -> Option<&'static mut MainConf> {
    // SAFETY: after create_main, within the http block, cf has its table; nobody else has a
    // reference while nginx reads the configuration.
    unsafe {
        let context = cf.as_ref()?.ctx.cast::<ngx_http_conf_ctx_t>().as_ref()?;
        context
            .main_conf
            .add(module::context_index())
            .read()
            .cast::<MainConf>()
            .as_mut()
    }
}

/// nginx's own view of the location that is being read or merged.
fn core_loc_conf_of(cf: *mut ngx_conf_t) -> Option<&'static mut ngx_http_core_loc_conf_t> {
    // SAFETY: within the http block cf has its tables; nobody else has a reference meanwhile.
    unsafe {
        let context = cf.as_ref()?.ctx.cast::<ngx_http_conf_ctx_t>().as_ref()?;
        let index = nginx_sys::ngx_http_core_module.ctx_index;
        context
            .loc_conf
            .add(index)
            .read()
            .cast::<ngx_http_core_loc_conf_t>()
            .as_mut()
    }
}

/// Puts a value into the configuration's memory, which is never dropped piecewise.
pub(super) fn allocate<T>(pool: *mut ngx_pool_t, value: T) -> *mut T {
    // SAFETY: a live pool; what it gives is aligned for anything that C has.
    unsafe {
        let place = ngx_pcalloc(pool, size_of::<T>()).cast::<T>();
        if !place.is_null() {
            place.write(value);
        }
        place
    }
}

fn pool_of(cf: *mut ngx_conf_t) -> *mut ngx_pool_t {
    // SAFETY: nginx passes a live cf to every configuration callback.
    unsafe { (*cf).pool }
}

pub(super) extern "C" fn create_main(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx passes a live cf.
    let cycle = unsafe { (*cf).cycle };
    let conf = MainConf {
        zone_size: 0,
        zone: None,
        variables: Indexes::default(),
        cycle,
    };
    allocate(pool_of(cf), conf).cast()
}

pub(super) extern "C" fn init_main(_: *mut ngx_conf_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: conf is what create_main made.
    let conf = unsafe { &mut *conf.cast::<MainConf>() };
    if conf.zone_size == 0 {
        conf.zone_size = DEFAULT_ZONE_SIZE;
    }
    NGX_CONF_OK
}

pub(super) extern "C" fn create_location(cf: *mut ngx_conf_t) -> *mut c_void {
    let conf = LocConf {
        holds: Holds::Unset,
        expired: Expired::Unset,
        control: None,
    };
    allocate(pool_of(cf), conf).cast()
}

pub(super) extern "C" fn merge_location(
    cf: *mut ngx_conf_t,
    parent: *mut c_void,
    child: *mut c_void,
) -> *mut c_char {
    // SAFETY: both are what create_location made, and different ones.
    let (parent, child) = unsafe { (&*parent.cast::<LocConf>(), &mut *child.cast::<LocConf>()) };
    if matches!(child.holds, Holds::Unset) {
        child.holds = parent.holds;
    }
    if child.expired == Expired::Unset {
        child.expired = parent.expired;
    }
    // `if` and limit_except make a nameless location inside, which is the same place.
    if let Some(core) = core_loc_conf_of(cf).filter(|core| core.noname() != 0) {
        if child.control.is_none() && parent.control.is_some() {
            child.control = parent.control;
            core.handler = Some(control::handler);
        }
    }
    NGX_CONF_OK
}

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
fn refuse(cf: *mut ngx_conf_t, allowed: fmt::Arguments<'_>) -> *mut c_char {
    let name = arguments(cf).first().copied().unwrap_or(ngx_str_t::empty());
    let (name, value) = (name.as_bytes().escape_ascii(), value_of(cf));
    let value = value.as_bytes().escape_ascii();
    conf_error(
        cf,
        format_args!("invalid value \"{value}\" in \"{name}\" directive: {allowed}"),
    )
}

const DUPLICATE: *mut c_char = c"is duplicate".as_ptr().cast_mut();

extern "C" fn set_intermission(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx passes our own LocConf.
    let conf = unsafe { &mut *conf.cast::<LocConf>() };
    if !matches!(conf.holds, Holds::Unset) {
        return DUPLICATE;
    }
    let mut value = value_of(cf);
    conf.holds = match value.as_bytes() {
        b"on" => Holds::Always,
        b"off" => Holds::Never,
        [b'$', _, ..] => match compile(cf, &mut value) {
            Some(complex) => Holds::If(complex),
            None => return NGX_CONF_ERROR,
        },
        _ => return refuse(cf, format_args!("it must be \"on\", \"off\" or a variable")),
    };
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
    if core.named() != 0 || is_regex(core) {
        return conf_error(
            cf,
            format_args!(
                "\"intermission_control\" directive is not allowed in location \"{location}\": \
                 it must be in a prefix or \"=\" location"
            ),
        );
    }
    conf.control = Some(Endpoint {
        location: core.name,
        exact: core.exact_match() != 0,
    });
    core.handler = Some(control::handler);
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
            return refuse(cf, format_args!("it must be a size of at least {least}k"));
        }
    }
    NGX_CONF_OK
}

extern "C" fn set_expired(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx passes our own LocConf.
    let conf = unsafe { &mut *conf.cast::<LocConf>() };
    if conf.expired != Expired::Unset {
        return DUPLICATE;
    }
    let value = value_of(cf);
    conf.expired = match (value.as_bytes(), status(value.as_bytes())) {
        (b"pass", _) => Expired::Pass,
        (_, Some(code)) => Expired::Answer(code),
        _ => {
            return refuse(
                cf,
                format_args!(
                    "it must be \"pass\" or a status from 400 to 599, but not 401, 408, 444 or \
                     494 to 499"
                ),
            );
        }
    };
    NGX_CONF_OK
}

/// A status that a held request may be answered with: nginx gives the missing ones a meaning of
/// their own.
fn status(value: &[u8]) -> Option<u16> {
    let digits = core::str::from_utf8(value)
        .ok()
        .filter(|text| text.len() == 3)?;
    let code = digits.parse().ok()?;
    match code {
        401 | 408 | 444 | 494..=499 => None,
        400..=599 => Some(code),
        _ => None,
    }
}
