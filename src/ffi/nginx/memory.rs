//! Values in nginx's pools. ngx-rust's own function for that writes to null if there is no memory.

use core::ffi::c_void;
use core::ptr;

use nginx_sys::{ngx_pool_cleanup_add, ngx_pool_t};
use ngx::core::Pool;

/// Copies values that need no drop into a pool. None if it has no memory left.
pub(super) fn copy<T: Copy>(pool: &Pool, values: &[T]) -> Option<&'static mut [T]> {
    let place = pool.alloc(size_of_val(values)).cast::<T>();
    if place.is_null() {
        return None;
    }
    // SAFETY: the pool has just given room for these values, aligned to a machine word, which is all
    // that nginx's structures want. Callers use the copy only while the pool is there.
    unsafe {
        place.copy_from_nonoverlapping(values.as_ptr(), values.len());
        Some(core::slice::from_raw_parts_mut(place, values.len()))
    }
}

/// Puts a value into a pool, which drops it when it goes. Returns null if it has no memory left.
///
/// # Safety
/// The pool is live.
pub(super) unsafe fn keep<T>(pool: *mut ngx_pool_t, value: T) -> *mut T {
    // SAFETY: the caller promises a live pool. It gives memory that is aligned to a machine word,
    // which is all that our configurations want. nginx runs no cleanup before this returns: by then
    // the memory is a value.
    unsafe {
        let cleanup = ngx_pool_cleanup_add(pool, size_of::<T>());
        let Some(cleanup) = cleanup.as_mut() else { return ptr::null_mut() };
        let place = cleanup.data.cast::<T>();
        place.write(value);
        cleanup.handler = Some(drop_value::<T>);
        place
    }
}

extern "C" fn drop_value<T>(value: *mut c_void) {
    // SAFETY: nginx calls this once, with what `keep` has put there.
    unsafe { value.cast::<T>().drop_in_place() };
}
