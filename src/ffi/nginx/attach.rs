//! Values of our own that live in a request's memory, and are dropped when that goes.

use core::any::TypeId;
use core::ffi::c_void;
use core::ptr;

use nginx_sys::{ngx_http_request_t, ngx_palloc, ngx_pool_cleanup_pt, ngx_pool_cleanup_t};

use super::request::Request;
use super::{pointers, Failed};

/// A value that can be attached to a request.
pub(crate) trait Attached: 'static {
    /// The request's memory is about to go; after this call the value is dropped. The request is
    /// finished: its fields can be read, but nginx has set its `pool` to null, so nothing can be
    /// attached, found or allocated. Values that were attached later are dropped by now.
    fn gone(&self) {}
}

/// A value, and the cleanup that leads to it: one piece of memory, as each request to an app needs one.
#[repr(C)]
struct Holder<T> {
    /// With our handler. Its data is the holder.
    cleanup: ngx_pool_cleanup_t,
    /// The value's.
    kind: TypeId,
    end: fn(*mut c_void),
    value: T,
}

const ON_CLEANUP: ngx_pool_cleanup_pt = Some(on_cleanup);

/// Attaches a value to a request: it lives in the request's memory. Fails if there is no memory.
pub(crate) fn attach<T: Attached>(r: Request, value: T) -> Result<&'static T, Failed> {
    place(r, value).map(|holder| &holder.value)
}

/// As [`attach`]. Also notes the value in the request's context of this module, for [`at_hand`].
pub(crate) fn attach_at_hand<T: Attached>(r: Request, value: T) -> Result<&'static T, Failed> {
    let holder = place(r, value)?;
    r.context().set(ptr::from_ref(holder).cast_mut().cast());
    Ok(&holder.value)
}

/// Places a value into the request's memory, with a cleanup that drops it.
#[inline]
fn place<T: Attached>(r: Request, value: T) -> Result<&'static Holder<T>, Failed> {
    const { assert!(align_of::<Holder<T>>() <= align_of::<usize>()) };
    // SAFETY: a request that is not finished has a pool. It gives memory that is aligned to a machine
    // word. The cleanup is put in front of the pool's others, as nginx itself does it; by then the memory
    // is a holder.
    unsafe {
        let holder = ngx_palloc(r.pool, size_of::<Holder<T>>()).cast::<Holder<T>>();
        if holder.is_null() {
            return Err(Failed);
        }
        let next = (*r.pool).cleanup;
        let cleanup = ngx_pool_cleanup_t { handler: ON_CLEANUP, data: holder.cast(), next };
        holder.write(Holder { cleanup, kind: TypeId::of::<T>(), end: end::<T>, value });
        (*r.pool).cleanup = &raw mut (*holder).cleanup;
        Ok(&*holder)
    }
}

/// The newest value of this type that is attached to a request. None if there is none.
pub(crate) fn attached<T: Attached>(r: Request) -> Option<&'static T> {
    cleanups(&r).find_map(|cleanup| value_of(cleanup.data))
}

/// As [`attached`], but quick if the request's context of this module has the value. An internal
/// redirect clears the contexts: then the value is looked for once more.
pub(crate) fn at_hand<T: Attached>(r: Request) -> Option<&'static T> {
    let context = r.context();
    if context.get().is_null() {
        let found = cleanups(&r).find(|cleanup| value_of::<T>(cleanup.data).is_some())?;
        context.set(found.data);
    }
    value_of(context.get())
}

/// A request's cleanups with our handler, the newest first. None if its pool is null.
fn cleanups(r: &ngx_http_request_t) -> impl Iterator<Item = &ngx_pool_cleanup_t> {
    let first = pointers::pool(r).and_then(pointers::cleanup);
    let all = core::iter::successors(first, |one| pointers::next_cleanup(one));
    all.filter(|one| {
        one.handler.zip(ON_CLEANUP).is_some_and(|(one, ours)| ptr::fn_addr_eq(one, ours))
    })
}

/// A holder's value, if it is of this type.
fn value_of<T: Attached>(holder: *const c_void) -> Option<&'static T> {
    // SAFETY: `attach` made the holder, in the memory of a request that is not finished. Each type has
    // its own kind, so the value is of this type if the kind is this type's.
    unsafe {
        let is_of_type = (*holder.cast::<Holder<()>>()).kind == TypeId::of::<T>();
        is_of_type.then(|| &(*holder.cast::<Holder<T>>()).value)
    }
}

fn end<T: Attached>(holder: *mut c_void) {
    // SAFETY: nginx calls this once for each holder that `attach` made for this type, when the memory
    // goes.
    unsafe {
        let value = &raw mut (*holder.cast::<Holder<T>>()).value;
        (*value).gone();
        ptr::drop_in_place(value);
    }
}

extern "C" fn on_cleanup(holder: *mut c_void) {
    // SAFETY: nginx passes the data of a cleanup with this handler: a holder that `attach` made.
    // Holders of all types begin alike.
    let end = unsafe { (*holder.cast::<Holder<()>>()).end };
    end(holder);
}
