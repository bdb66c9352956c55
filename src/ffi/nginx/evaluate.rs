//! Reads variables for a request, and puts back what this changes of the request.
//!
//! nginx makes a variable's value when it is first read. If that takes a regex in a `map`, the match
//! overwrites the request's captures (`$1`) and the variables of its named groups. They must stay as the
//! request's own location made them.

use core::cell::Cell;
use core::ptr;

use nginx_sys::{
    ngx_http_complex_value_t, ngx_http_get_variable_pt, ngx_http_request_t, ngx_http_variable_t,
    ngx_http_variable_value_t, ngx_int_t, ngx_str_t, ngx_uint_t, NGX_OK,
};
use ngx::http::{HttpModuleMainConf, NgxHttpCoreModule};

use super::per_worker::PerWorker;
use super::request::Request;
use super::{callbacks, flags, functions, pointers};

/// A variable's value; empty if it has none.
#[inline]
pub(crate) fn variable(r: &Request, index: ngx_uint_t) -> &[u8] {
    at_hand(r, index).unwrap_or_else(|| read(r, index))
}

/// As [`variable`]. The caller keeps the value no longer than the request.
#[inline]
pub(crate) fn lasting(r: Request, index: ngx_uint_t) -> &'static [u8] {
    let value = variable(&r, index);
    slice(value.as_ptr(), value.len())
}

/// The value that nginx makes; empty if it has none.
#[cold]
fn read(r: &Request, index: ngx_uint_t) -> &[u8] {
    // A copy: the value's own place is put back.
    let read = || functions::ngx_http_get_indexed_variable(*r, index).map(|value| *value);
    undisturbed(*r, read).and_then(|value| made(&value)).unwrap_or_default()
}

/// A variable's value, empty if it has none. None if nginx would have to make it first.
#[inline]
pub(crate) fn at_hand(r: &Request, index: ngx_uint_t) -> Option<&[u8]> {
    let made = values(*r).get(index).and_then(made);
    made.or_else(|| variables(r).get(index).is_some_and(is_unset).then_some(&[]))
}

/// A value with variables in it, for this request. None if nginx could not make it.
pub(crate) fn complex<'r>(r: &'r Request, complex: &ngx_http_complex_value_t) -> Option<&'r [u8]> {
    let mut value = ngx_str_t::empty();
    let made = undisturbed(*r, || functions::ngx_http_complex_value(*r, complex, &mut value));
    (made == NGX_OK as ngx_int_t).then(|| slice(value.data, value.len))
}

/// Empty if it has no value. None if nginx has not made it.
#[inline]
fn made<'r>(value: &ngx_http_variable_value_t) -> Option<&'r [u8]> {
    let made = functions::made(value);
    (!made.data.is_null()).then(|| slice(made.data, made.len))
}

/// The bytes of a value that nginx made.
#[inline]
pub(super) fn slice<'r>(data: *const u8, len: usize) -> &'r [u8] {
    match len {
        0 => &[],
        // SAFETY: nginx gives a value as many bytes as it says, in the memory of the request or of its
        // configuration. Both live as long as the request.
        _ => unsafe { core::slice::from_raw_parts(data, len) },
    }
}

/// The getter of a variable that has no value.
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

/// Whether the variable has our getter: only `set` gives it a value, if anything does.
fn is_unset(variable: &ngx_http_variable_t) -> bool {
    let both = variable.get_handler.zip(UNSET);
    both.is_some_and(|(handler, unset)| ptr::fn_addr_eq(handler, unset))
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

/// What is put back of a request. Used again for each request, so that none allocates.
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

    /// Variables that had a value get it again. Those that had none keep the new one, as nginx itself
    /// does: a random value (`$request_id`) would be another one the next time. Those that were not
    /// found now may be there later (`$request_body`): nginx is to look for them again.
    fn put_back(&self, r: Request) {
        self.captures.put_back(r);
        for (now, before) in values(r).iter_mut().zip(&self.variables) {
            if made(before).is_some() || flags::value::NOT_FOUND.is_set(now) {
                *now = *before;
            }
        }
    }
}

/// The variables that have an index.
#[inline]
fn variables(r: &ngx_http_request_t) -> &[ngx_http_variable_t] {
    NgxHttpCoreModule::main_conf(r).map_or(&[], pointers::variables)
}

/// The values that these variables have for a request. Callers use the reference before anything else
/// happens to the request.
#[inline]
pub(super) fn values<'r>(r: Request) -> &'r mut [ngx_http_variable_value_t] {
    match variables(&r).len() {
        0 => &mut [],
        // SAFETY: nginx makes a request with a value for each variable that has an index.
        count => unsafe { core::slice::from_raw_parts_mut(r.variables, count) },
    }
}

/// What the last regex that matched has captured.
#[cfg(ngx_feature = "pcre")]
#[derive(Default)]
struct Captures {
    count: ngx_uint_t,
    places: Vec<core::ffi::c_int>,
    data: Option<ptr::NonNull<u8>>,
}

#[cfg(ngx_feature = "pcre")]
impl Captures {
    const NONE: Self = Self { count: 0, places: Vec::new(), data: None };

    fn keep(&mut self, r: Request) {
        (self.count, self.data) = (r.ncaptures, ptr::NonNull::new(r.captures_data));
        self.places.clear();
        self.places.extend_from_slice(captures(r, r.ncaptures));
    }

    /// A match overwrites nginx's array. If a subrequest shares it, nginx takes a new array of the
    /// same size. In both cases what stood there before is copied back.
    fn put_back(&self, r: Request) {
        let data = self.data.map_or(ptr::null_mut(), ptr::NonNull::as_ptr);
        r.update(|r| (r.ncaptures, r.captures_data) = (self.count, data));
        let now = captures(r, self.places.len());
        now.iter_mut().zip(&self.places).for_each(|(now, before)| *now = *before);
    }
}

/// The first `count` of nginx's array of captures; none if the request has no array yet. Callers use the
/// reference before anything else happens to the request.
#[cfg(ngx_feature = "pcre")]
fn captures<'r>(r: Request, count: usize) -> &'r mut [core::ffi::c_int] {
    if r.captures.is_null() {
        return &mut [];
    }
    // SAFETY: nginx's array has room for the captures of any regex of the configuration, and `count` is
    // how many a match had.
    unsafe { core::slice::from_raw_parts_mut(r.captures, count) }
}

/// nginx was built without regexes: there are no captures.
#[cfg(not(ngx_feature = "pcre"))]
#[derive(Default)]
struct Captures;

#[cfg(not(ngx_feature = "pcre"))]
impl Captures {
    const NONE: Self = Self;

    fn keep(&mut self, _: Request) {}
    fn put_back(&self, _: Request) {}
}
