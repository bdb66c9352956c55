//! Values of our own that live in a request's memory, and are dropped when that goes.

use core::any::TypeId;
use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use nginx_sys::{ngx_palloc, ngx_pool_cleanup_pt, ngx_pool_cleanup_t};

use super::callbacks::callbacks;
use super::request::Request;
use super::{cleanups, Failed};

/// A value that can be attached to a request.
pub(crate) trait Attached: 'static {
    /// The request's memory is about to go; after this call the value is dropped. The request is
    /// finished: its fields can be read, but nginx has set its `pool` to null, so nothing can be
    /// attached, found or allocated. Values that were attached later are dropped by now.
    fn gone(&self) {}
}

/// A value, and the cleanup that leads to it.
#[repr(C)]
struct Holder<T> {
    /// With our handler. Its data is the holder.
    cleanup: Cell<ngx_pool_cleanup_t>,
    /// The value's.
    kind: TypeId,
    end: fn(*mut c_void),
    value: T,
}

callbacks! {
    /// What nginx calls when the memory goes.
    cleanup: (&Holder<()>) as (*mut c_void);
}

const ON_CLEANUP: ngx_pool_cleanup_pt = cleanup(on_cleanup);

/// Attaches a value to a request: it lives in the request's memory. Fails if there is no memory.
pub(crate) fn attach<T: Attached>(r: Request, value: T) -> Result<&'static T, Failed> {
    const { assert!(align_of::<Holder<T>>() <= align_of::<usize>()) };
    // SAFETY: a request that is not finished has a pool. It gives memory that is aligned to a machine
    // word. By the time that it is used it is a holder.
    let holder = unsafe {
        let holder = ngx_palloc(r.pool, size_of::<Holder<T>>()).cast::<Holder<T>>();
        if holder.is_null() {
            return Err(Failed);
        }
        let data = holder.cast();
        let cleanup = ngx_pool_cleanup_t { handler: ON_CLEANUP, data, next: ptr::null_mut() };
        let (cleanup, kind) = (Cell::new(cleanup), TypeId::of::<T>());
        holder.write(Holder { cleanup, kind, end: end::<T>, value });
        &*holder
    };
    cleanups::push(r, &holder.cleanup);
    Ok(&holder.value)
}

/// The newest value of this type that is attached to a request. None if there is none.
pub(crate) fn attached<T: Attached>(r: Request) -> Option<&'static T> {
    cleanups::with(&r, ON_CLEANUP).find_map(|cleanup| value_of(cleanup.data))
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

/// Holders of all types begin alike.
extern "C" fn on_cleanup(holder: &Holder<()>) {
    (holder.end)(holder.cleanup.get().data);
}
