//! Reads values for a request, and puts back what of its state this changed.
//!
//! nginx makes a variable's value when somebody first reads it. A regex in a `map` then overwrites
//! the request's captures (`$1`), and the variables that its named groups set: they are to remain
//! what the request's own location made them.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use nginx_sys::{
    ngx_http_complex_value_t, ngx_http_get_variable_pt, ngx_http_request_t, ngx_http_variable_t,
    ngx_http_variable_value_t, ngx_int_t, ngx_str_t, ngx_uint_t, NGX_OK,
};
use ngx::http::{HttpModuleMainConf, NgxHttpCoreModule};

use super::per_worker::PerWorker;
use super::request::Request;
use super::{callbacks, flags, functions, pointers};

/// A variable's value; empty if it has none.
pub(crate) fn variable(r: &Request, index: ngx_uint_t) -> &[u8] {
    at_hand(r, index).unwrap_or_else(|| {
        let read = || functions::ngx_http_get_indexed_variable(*r, index);
        undisturbed(*r, read).map_or(&[], |value| bytes(value))
    })
}

/// A variable's value, empty if it has none. None if nginx would have to make it first.
pub(crate) fn at_hand(r: &Request, index: ngx_uint_t) -> Option<&[u8]> {
    match values(*r).get(index) {
        Some(value) if is_made(value) => Some(bytes(value)),
        _ => variables(r).get(index).is_some_and(is_unset).then_some(&[]),
    }
}

/// What a value with variables in it is for this request. None if nginx could not make it.
pub(crate) fn complex<'r>(r: &'r Request, complex: &ngx_http_complex_value_t) -> Option<&'r [u8]> {
    let mut value = ngx_str_t::empty();
    let made = undisturbed(*r, || functions::ngx_http_complex_value(*r, complex, &mut value));
    (made == NGX_OK as ngx_int_t).then(|| slice(value.data, value.len))
}

fn bytes(value: &ngx_http_variable_value_t) -> &[u8] {
    if flags::value::NOT_FOUND.is_set(value) {
        return &[];
    }
    slice(value.data, flags::value::LEN.value(value))
}

/// So many bytes in the memory of a request or of its configuration.
fn slice<'r>(data: *const u8, len: usize) -> &'r [u8] {
    match len {
        0 => &[],
        // SAFETY: a value of this length has data, which lives as long as the request.
        _ => unsafe { core::slice::from_raw_parts(data, len) },
    }
}

/// A variable that nobody gave a value: this stands in for one.
pub(crate) extern "C" fn get_unset(
    _: Request,
    value: &mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    flags::value::NOT_FOUND.set(value);
    NGX_OK as ngx_int_t
}

/// [`get_unset`], as nginx has it.
pub(crate) const UNSET: ngx_http_get_variable_pt = callbacks::getter(get_unset);

/// Whether nothing in the configuration gives the variable a value but `set`.
fn is_unset(variable: &ngx_http_variable_t) -> bool {
    let both = variable.get_handler.zip(UNSET);
    both.is_some_and(|(handler, unset)| ptr::fn_addr_eq(handler, unset))
}

fn is_made(value: &ngx_http_variable_value_t) -> bool {
    flags::value::VALID.is_set(value) || flags::value::NOT_FOUND.is_set(value)
}

fn undisturbed<T>(r: Request, read: impl FnOnce() -> T) -> T {
    static KEPT: PerWorker<Cell<Kept>> = PerWorker::new(Cell::new(Kept::NONE));
    let mut kept = KEPT.take();
    kept.keep(r);
    let value = read();
    kept.put_back(r);
    KEPT.set(kept);
    value
}

/// What of a request's state is put back. Used over and over, so that no request allocates.
#[derive(Default)]
struct Kept {
    captures: Captures,
    variables: Vec<ngx_http_variable_value_t>,
}

impl Kept {
    const NONE: Self = Self { captures: Captures::NONE, variables: Vec::new() };

    fn keep(&mut self, r: Request) {
        self.captures.keep(r);
        self.variables.clear();
        self.variables.extend_from_slice(values(r));
    }

    /// What had a value has it again. What had none keeps the new one: nginx keeps what it has made,
    /// and a random one (`$request_id`) would be another the next time. What was not found may be
    /// there later (`$request_body`): it is looked for again.
    fn put_back(&self, r: Request) {
        self.captures.put_back(r);
        for (now, before) in values(r).iter_mut().zip(&self.variables) {
            if is_made(before) || flags::value::NOT_FOUND.is_set(now) {
                *now = *before;
            }
        }
    }
}

/// The variables that have an index.
fn variables(r: &ngx_http_request_t) -> &[ngx_http_variable_t] {
    NgxHttpCoreModule::main_conf(r).map_or(&[], pointers::variables)
}

/// Their values for a request. The reference is used at once.
fn values<'r>(r: Request) -> &'r mut [ngx_http_variable_value_t] {
    match variables(&r).len() {
        0 => &mut [],
        // SAFETY: nginx made so many with the request.
        count => unsafe { core::slice::from_raw_parts_mut(r.variables, count) },
    }
}

/// What the last regex that matched found.
#[cfg(ngx_feature = "pcre")]
#[derive(Default)]
struct Captures {
    count: ngx_uint_t,
    places: Vec<core::ffi::c_int>,
    data: Option<NonNull<u8>>,
}

#[cfg(ngx_feature = "pcre")]
impl Captures {
    const NONE: Self = Self { count: 0, places: Vec::new(), data: None };

    fn keep(&mut self, r: Request) {
        (self.count, self.data) = (r.ncaptures, NonNull::new(r.captures_data));
        self.places.clear();
        self.places.extend_from_slice(captures(r, r.ncaptures));
    }

    /// The next match writes over nginx's array, or into a new one of the same size where the old one
    /// is a subrequest's as well: so what stood there is copied back.
    fn put_back(&self, r: Request) {
        let data = self.data.map_or(ptr::null_mut(), NonNull::as_ptr);
        r.update(|r| (r.ncaptures, r.captures_data) = (self.count, data));
        let now = captures(r, self.places.len());
        now.iter_mut().zip(&self.places).for_each(|(now, before)| *now = *before);
    }
}

/// So many of nginx's array of captures, which has room for those of any regex of the configuration;
/// none if a request has no array yet. The reference is used at once.
#[cfg(ngx_feature = "pcre")]
fn captures<'r>(r: Request, count: usize) -> &'r mut [core::ffi::c_int] {
    if r.captures.is_null() {
        return &mut [];
    }
    // SAFETY: nginx has so many there, and had when they were counted.
    unsafe { core::slice::from_raw_parts_mut(r.captures, count) }
}

/// Without regexes there are none.
#[cfg(not(ngx_feature = "pcre"))]
#[derive(Default)]
struct Captures;

#[cfg(not(ngx_feature = "pcre"))]
impl Captures {
    const NONE: Self = Self;

    fn keep(&mut self, _: Request) {}
    fn put_back(&self, _: Request) {}
}
