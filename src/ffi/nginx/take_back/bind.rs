//! Where nginx asks before it connects a request: `proxy_bind` and the like. It evaluates them for
//! each request and each upstream, when all but the connection is made. A value of ours stands there,
//! which gives what the operator's own gives.

use core::cell::Cell;
use core::ffi::{c_char, c_void, CStr};
use core::mem::offset_of;
use core::ptr;

use nginx_sys::{
    ngx_command_t, ngx_conf_t, ngx_http_complex_value_t, ngx_http_script_code_pt,
    ngx_http_script_engine_t, ngx_http_script_len_code_pt, ngx_http_upstream_bind_set_slot,
    ngx_http_upstream_conf_t, ngx_http_upstream_local_t, ngx_int_t, ngx_str_t, NGX_ERROR, NGX_OK,
};

use super::{arm, Owner};
use crate::ffi::nginx::callbacks::callbacks;
use crate::ffi::nginx::conf::Conf;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::plain::zero;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{functions, modules, pointers, Failed};

/// The modules that pass requests on to servers. How others do that is not known.
const MODULES: [&CStr; 7] = [
    c"ngx_http_proxy_module",
    c"ngx_http_fastcgi_module",
    c"ngx_http_uwsgi_module",
    c"ngx_http_scgi_module",
    c"ngx_http_grpc_module",
    c"ngx_http_memcached_module",
    c"ngx_http_tunnel_module",
];

pub(crate) enum Unprepared {
    /// This module of nginx's has another place for its bind than the one that is known.
    Unknown(&'static CStr),
    NoMemory,
}

/// Stands in for the operator's bind.
#[repr(C)]
struct Bind {
    local: ngx_http_upstream_local_t,
    value: ngx_http_complex_value_t,
    lengths: [Code<ngx_http_script_len_code_pt>; 2],
    values: [Code<ngx_http_script_code_pt>; 2],
    /// The operator's own.
    own: Option<&'static ngx_http_upstream_local_t>,
    owner: &'static Owner,
}

/// A step of nginx's scripts; the last one has nothing to run.
#[repr(C)]
struct Code<F> {
    run: F,
    bind: *const Bind,
}

callbacks! {
    /// How long a part of a value is.
    length: (&mut ngx_http_script_engine_t) as (*mut ngx_http_script_engine_t) -> usize;
    /// Writes a part of a value.
    part: (&mut ngx_http_script_engine_t) as (*mut ngx_http_script_engine_t);
}

/// The type of nginx's functions that set a directive.
type NgxSet =
    Option<unsafe extern "C" fn(*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char>;

/// The operator's bind for the request that is about to connect: nginx asks for its length, and in the
/// same call for the text.
static TEXT: PerWorker<Cell<ngx_str_t>> = PerWorker::new(Cell::new(ngx_str_t::empty()));

/// The requests of the location that is being merged are this owner's from now on. All modules that
/// pass requests on must have merged it.
pub(crate) fn prepare(cf: Conf, owner: &'static Owner) -> Result<(), Unprepared> {
    for name in MODULES {
        let Some(module) = modules::http(&cf).find(|module| modules::name(module) == name) else {
            continue;
        };
        if !modules::directives(module).any(is_bind) {
            return Err(Unprepared::Unknown(name));
        }
        let Some(conf) = modules::location_conf(cf, module) else { continue };
        // SAFETY: nginx keeps the module's configuration for this location, and nothing else uses it
        // now. By the offset in the module's own directive its bind lies there, as in nginx's
        // configuration for upstreams.
        let place = unsafe {
            Cell::from_mut(&mut (*conf.cast::<ngx_http_upstream_conf_t>().as_ptr()).local)
        };
        // NGX_CONF_UNSET_PTR: the module does not use it here.
        if place.get() as usize == usize::MAX || is_ours(place.get()) {
            continue;
        }
        place.set(bind(cf, place.get(), owner).ok_or(Unprepared::NoMemory)?);
    }
    Ok(())
}

/// Whether a directive is `proxy_bind` or the like, and its value is where we know it to be.
fn is_bind(directive: &ngx_command_t) -> bool {
    const SET: NgxSet = Some(ngx_http_upstream_bind_set_slot);
    directive.offset == offset_of!(ngx_http_upstream_conf_t, local)
        && directive.set.zip(SET).is_some_and(|(one, bind)| ptr::fn_addr_eq(one, bind))
}

/// Whether this is one of ours, which the location has from the one around it.
fn is_ours(local: *const ngx_http_upstream_local_t) -> bool {
    const LENGTH: ngx_http_script_len_code_pt = length(on_length);
    // SAFETY: null, or a bind that nginx keeps in the configuration's memory.
    let value = unsafe { local.as_ref() }.and_then(pointers::bind_value);
    // SAFETY: null, or codes, each of which begins with its function.
    let first = value
        .and_then(|value| unsafe { value.lengths.cast::<ngx_http_script_len_code_pt>().as_ref() });
    first.copied().flatten().zip(LENGTH).is_some_and(|(one, ours)| ptr::fn_addr_eq(one, ours))
}

/// A bind that stands in for this one.
fn bind(
    cf: Conf,
    own: *mut ngx_http_upstream_local_t,
    owner: &'static Owner,
) -> Option<*mut ngx_http_upstream_local_t> {
    // SAFETY: null, or a bind that nginx keeps in the configuration's memory.
    let own = unsafe { own.as_ref() };
    let lengths = [Code::new(length(on_length)), Code::new(None)];
    let values = [Code::new(part(on_part)), Code::new(None)];
    let local = own.copied().unwrap_or(zero());
    let bind = cf.keep(Bind { local, value: zero(), lengths, values, own, owner });
    // SAFETY: null, or in the configuration's memory, where nothing else uses it yet.
    let bind = unsafe { bind.as_mut()? };
    let this = ptr::from_ref(bind);
    bind.lengths.iter_mut().for_each(|code| code.bind = this);
    bind.value.lengths = ptr::from_mut(&mut bind.lengths).cast();
    bind.value.values = ptr::from_mut(&mut bind.values).cast();
    bind.local.addr = ptr::null_mut();
    bind.local.value = &mut bind.value;
    Some(&mut bind.local)
}

impl<F> Code<F> {
    const fn new(run: F) -> Self {
        Self { run, bind: ptr::null() }
    }
}

extern "C" fn on_length(e: &mut ngx_http_script_engine_t) -> usize {
    let code = e.ip.cast::<Code<ngx_http_script_len_code_pt>>();
    e.ip = code.wrapping_add(1).cast();
    // SAFETY: nginx runs the code that it has come to: one of a bind, which leads to that.
    let bind = unsafe { &*(*code).bind };
    let Some(r) = Request::of(e) else { return 0 };
    arm::arm(r, bind.owner);
    let text = bind.own.map_or(Ok(ngx_str_t::empty()), |own| text(r, own));
    if text.is_err() {
        e.status = NGX_ERROR as ngx_int_t;
    }
    let text = text.unwrap_or(ngx_str_t::empty());
    TEXT.set(text);
    text.len
}

/// What a bind of the operator's is for a request.
fn text(r: Request, own: &ngx_http_upstream_local_t) -> Result<ngx_str_t, Failed> {
    let Some(value) = pointers::bind_value(own) else {
        return Ok(pointers::bind_address(own).map_or(ngx_str_t::empty(), |address| address.name));
    };
    let mut text = ngx_str_t::empty();
    match functions::ngx_http_complex_value(r, value, &mut text) as u32 {
        NGX_OK => Ok(text),
        _ => Err(Failed),
    }
}

extern "C" fn on_part(e: &mut ngx_http_script_engine_t) {
    let code = e.ip.cast::<Code<ngx_http_script_code_pt>>();
    e.ip = code.wrapping_add(1).cast();
    let text = TEXT.get();
    // SAFETY: nginx has made room for as many bytes as on_length has just said.
    unsafe { e.pos.copy_from_nonoverlapping(text.as_bytes().as_ptr(), text.len) };
    e.pos = e.pos.wrapping_add(text.len);
}
