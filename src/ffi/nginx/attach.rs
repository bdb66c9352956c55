//! Values of our own in a request's memory.

use core::ffi::c_void;
use core::ptr;

use nginx_sys::{
    ngx_http_request_t, ngx_pool_cleanup_add, ngx_pool_cleanup_pt, ngx_pool_cleanup_t,
};

use super::callbacks::callbacks;
use super::request::Request;
use super::{pointers, Failed};

/// Tells the values of one type from those of another: a static for each type.
pub(crate) struct Kind(#[allow(dead_code)] u8);

impl Kind {
    pub(crate) const fn new() -> Self {
        Self(0)
    }
}

/// A value that can be attached to a request; it is dropped when the request's memory goes.
pub(crate) trait Attached: 'static {
    /// The type's own.
    const KIND: &'static Kind;

    /// The request is about to go: called before the value is dropped. nginx finds nothing in the request's
    /// memory any more.
    fn gone(&self) {}
}

/// What a cleanup with our handler has.
#[repr(C)]
struct Holder<T> {
    kind: &'static Kind,
    end: fn(*mut c_void),
    value: T,
}

callbacks! {
    /// What happens when a request's memory goes.
    handler: (&Holder<()>) as (*mut c_void);
}

const ON_CLEANUP: ngx_pool_cleanup_pt = handler(on_cleanup);

/// Attaches a value to a request, in whose memory it lives until that goes.
pub(crate) fn attach<T: Attached>(r: Request, value: T) -> Result<&'static T, Failed> {
    hold(r, value).map(|holder| &holder.value)
}

/// As [`attach`], and keeps the value at hand for [`at_hand`].
pub(crate) fn attach_at_hand<T: Attached>(r: Request, value: T) -> Result<&'static T, Failed> {
    let holder = hold(r, value)?;
    r.context().set(ptr::from_ref(holder).cast_mut().cast());
    Ok(&holder.value)
}

#[inline]
fn hold<T: Attached>(r: Request, value: T) -> Result<&'static Holder<T>, Failed> {
    // SAFETY: a live request has a pool; what nginx allocates is aligned for anything that C has, and
    // becomes a value before the cleanup can run.
    unsafe {
        let cleanup =
            ngx_pool_cleanup_add(r.pool, size_of::<Holder<T>>()).as_mut().ok_or(Failed)?;
        let holder = cleanup.data.cast::<Holder<T>>();
        holder.write(Holder { kind: T::KIND, end: end::<T>, value });
        cleanup.handler = ON_CLEANUP;
        Ok(&*holder)
    }
}

/// The newest value of this type that is attached to a request.
pub(crate) fn attached<T: Attached>(r: Request) -> Option<&'static T> {
    cleanups(&r).find_map(|cleanup| value_of(cleanup.data))
}

/// As [`attached`], quickly where the request has the value at hand: as long as no internal redirect
/// made it forget.
pub(crate) fn at_hand<T: Attached>(r: Request) -> Option<&'static T> {
    let context = r.context();
    if context.get().is_null() {
        let found = cleanups(&r).find(|cleanup| value_of::<T>(cleanup.data).is_some())?;
        context.set(found.data);
    }
    value_of(context.get())
}

/// A request's cleanups with our handler, the newest first.
fn cleanups(r: &ngx_http_request_t) -> impl Iterator<Item = &ngx_pool_cleanup_t> {
    let first = pointers::pool(r).and_then(pointers::cleanup);
    let all = core::iter::successors(first, |one| pointers::next_cleanup(one));
    all.filter(|one| {
        one.handler.zip(ON_CLEANUP).is_some_and(|(one, ours)| ptr::fn_addr_eq(one, ours))
    })
}

/// What a holder has, if it is of this type.
fn value_of<T: Attached>(holder: *const c_void) -> Option<&'static T> {
    // SAFETY: from attach, in a live request's memory; the kind tells the value's type.
    unsafe {
        let is_of_type = ptr::eq((*holder.cast::<Holder<()>>()).kind, T::KIND);
        is_of_type.then(|| &(*holder.cast::<Holder<T>>()).value)
    }
}

fn end<T: Attached>(holder: *mut c_void) {
    // SAFETY: from attach, once, when the request's memory goes.
    unsafe {
        let value = &raw mut (*holder.cast::<Holder<T>>()).value;
        (*value).gone();
        ptr::drop_in_place(value);
    }
}

extern "C" fn on_cleanup(holder: &Holder<()>) {
    (holder.end)(ptr::from_ref(holder).cast_mut().cast());
}
