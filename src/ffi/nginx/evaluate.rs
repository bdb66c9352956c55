//! Reads values for a request, and puts back what of its state this changed.
//!
//! nginx makes a variable's value when somebody first reads it. A regex in a `map` then overwrites
//! the request's captures (`$1`), and the variables that its named groups set: they are to remain
//! what the request's own location made them.

use nginx_sys::{
    ngx_http_complex_value, ngx_http_complex_value_t, ngx_http_core_main_conf_t,
    ngx_http_get_indexed_variable, ngx_http_request_t, ngx_http_variable_t,
    ngx_http_variable_value_t, ngx_int_t, ngx_str_t, ngx_uint_t, NGX_OK,
};

use crate::ffi::module::variables;
use crate::ffi::nginx::flags;
use crate::ffi::worker::workers;

/// A variable's value, empty where it has none.
pub(crate) fn variable(r: &mut ngx_http_request_t, index: ngx_uint_t) -> &[u8] {
    // SAFETY: an index that nginx gave out.
    let read = |r: &mut ngx_http_request_t| unsafe { ngx_http_get_indexed_variable(r, index) };
    let value = if changes_nothing(r, index) { read(r) } else { undisturbed(r, read) };
    // SAFETY: null or the request's; the value lives as long as it.
    let value = unsafe { value.as_ref() };
    let Some(value) = value.filter(|value| !flags::value::NOT_FOUND.is_set(value)) else {
        return &[];
    };
    match flags::value::LEN.value(value) {
        0 => &[],
        // SAFETY: as above; a value of this length has data.
        len => unsafe { core::slice::from_raw_parts(value.data, len) },
    }
}

/// A variable's value, empty where it has none, if nothing is to be made for it.
pub(crate) fn at_hand(r: &mut ngx_http_request_t, index: ngx_uint_t) -> Option<&[u8]> {
    changes_nothing(r, index).then(|| variable(r, index))
}

/// What a value with variables in it is for this request; none where nginx could not make it.
pub(crate) fn complex(
    r: &mut ngx_http_request_t,
    complex: *mut ngx_http_complex_value_t,
) -> Option<&[u8]> {
    let mut value = ngx_str_t::empty();
    // SAFETY: compiled when the configuration was read.
    let made = undisturbed(r, |r| unsafe { ngx_http_complex_value(r, complex, &mut value) });
    match (made == NGX_OK as ngx_int_t, value.len) {
        (false, _) => None,
        (true, 0) => Some(&[]),
        // SAFETY: the value is the request's, and lives as long as it.
        (true, len) => Some(unsafe { core::slice::from_raw_parts(value.data, len) }),
    }
}

/// Whether nginx has the variable's value already, or nobody gave it one.
fn changes_nothing(r: &ngx_http_request_t, index: ngx_uint_t) -> bool {
    let Some(core) = core_main_conf(r) else { return false };
    // SAFETY: as many variables and values as nginx has indexes, of which this is one.
    let (variable, value) = unsafe {
        let all = core.variables.elts.cast::<ngx_http_variable_t>();
        (&*all.add(index), &*r.variables.add(index))
    };
    is_made(value) || variables::is_unset(variable)
}

fn is_made(value: &ngx_http_variable_value_t) -> bool {
    flags::value::VALID.is_set(value) || flags::value::NOT_FOUND.is_set(value)
}

pub(crate) fn core_main_conf(r: &ngx_http_request_t) -> Option<&ngx_http_core_main_conf_t> {
    // SAFETY: a live request has a table of main configurations; the core's is always there.
    unsafe {
        let index = nginx_sys::ngx_http_core_module.ctx_index;
        r.main_conf.add(index).read().cast::<ngx_http_core_main_conf_t>().as_ref()
    }
}

fn undisturbed<T>(
    r: &mut ngx_http_request_t,
    read: impl FnOnce(&mut ngx_http_request_t) -> T,
) -> T {
    let Some(worker) = workers::this() else { return read(r) };
    let mut kept = worker.kept.take();
    kept.keep(r);
    let value = read(r);
    kept.put_back(r);
    worker.kept.set(kept);
    value
}

/// What of a request's state is put back. Used over and over, so that no request allocates.
#[derive(Default)]
pub(crate) struct Kept {
    captures: Captures,
    variables: Vec<ngx_http_variable_value_t>,
}

impl Kept {
    fn keep(&mut self, r: &mut ngx_http_request_t) {
        self.captures.keep(r);
        self.variables.clear();
        self.variables.extend_from_slice(values(r));
    }

    /// What had a value has it again. What had none keeps the new one: nginx keeps what it has
    /// made, and a random one (`$request_id`) would be another the next time. What was not found
    /// may be there later (`$request_body`): it is looked for again.
    fn put_back(&self, r: &mut ngx_http_request_t) {
        self.captures.put_back(r);
        for (now, before) in values(r).iter_mut().zip(&self.variables) {
            if is_made(before) || flags::value::NOT_FOUND.is_set(now) {
                *now = *before;
            }
        }
    }
}

/// The values of all variables that have an index.
fn values(r: &mut ngx_http_request_t) -> &mut [ngx_http_variable_value_t] {
    let count = core_main_conf(r).map_or(0, |core| core.variables.nelts);
    if count == 0 || r.variables.is_null() {
        return &mut [];
    }
    // SAFETY: nginx made so many with the request.
    unsafe { core::slice::from_raw_parts_mut(r.variables, count) }
}

/// What the last regex that matched found.
#[cfg(ngx_feature = "pcre")]
struct Captures {
    count: ngx_uint_t,
    places: Vec<core::ffi::c_int>,
    data: *mut u8,
}

#[cfg(ngx_feature = "pcre")]
impl Default for Captures {
    fn default() -> Self {
        Self { count: 0, places: Vec::new(), data: core::ptr::null_mut() }
    }
}

#[cfg(ngx_feature = "pcre")]
impl Captures {
    fn keep(&mut self, r: &ngx_http_request_t) {
        (self.count, self.data) = (r.ncaptures, r.captures_data);
        self.places.clear();
        if !r.captures.is_null() {
            // SAFETY: nginx has so many there.
            let places = unsafe { core::slice::from_raw_parts(r.captures, r.ncaptures) };
            self.places.extend_from_slice(places);
        }
    }

    /// The next match writes over nginx's array, or into a new one of the same size where the old
    /// one is a subrequest's as well: so what stood there is copied back.
    fn put_back(&self, r: &mut ngx_http_request_t) {
        (r.ncaptures, r.captures_data) = (self.count, self.data);
        if !r.captures.is_null() {
            // SAFETY: the array has room for the captures of any regex of the configuration.
            unsafe { self.places.as_ptr().copy_to(r.captures, self.places.len()) };
        }
    }
}

/// Without regexes there are none.
#[cfg(not(ngx_feature = "pcre"))]
#[derive(Default)]
struct Captures;

#[cfg(not(ngx_feature = "pcre"))]
impl Captures {
    fn keep(&mut self, _: &ngx_http_request_t) {}
    fn put_back(&self, _: &mut ngx_http_request_t) {}
}
