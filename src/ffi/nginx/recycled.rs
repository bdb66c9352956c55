//! Values of our own that go with a request, in this worker's memory: the place of one that is gone is
//! taken by a later one.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use nginx_sys::{ngx_pool_cleanup_pt, ngx_pool_cleanup_t};

use super::per_worker::PerWorker;
use super::request::Request;
use super::{cleanups, Failed};

/// How many places are made at a time.
const MADE: usize = 32;

/// A value that goes with a request.
pub(crate) trait Recycle: Sized + 'static {
    /// Where its places are.
    fn places() -> &'static Recycled<Self>;

    fn new(r: Request) -> Self;

    /// The value is this request's from now on. It is what [`Self::new`] or [`Self::gone`] left.
    fn take(&self, r: Request);

    /// The request's memory is about to go. The request is finished: its fields can be read, but nginx has
    /// set its `pool` to null, so nothing can be attached, found or allocated. Nothing may lead to the
    /// value when this returns.
    fn gone(&self);
}

/// The places for values of one type. It is a static.
pub(crate) struct Recycled<T: 'static> {
    free: PerWorker<Cell<Option<&'static Place<T>>>>,
    on_gone: ngx_pool_cleanup_pt,
}

/// A place for a value. Its memory is never given back.
struct Place<T: 'static> {
    /// With our handler. Its data is the place, or the next free one while this is free. nginx reads
    /// `next` after the call of the handler, so that is not touched while the place is free.
    cleanup: Cell<ngx_pool_cleanup_t>,
    value: T,
}

impl<T: Recycle> Recycled<T> {
    pub(crate) const fn new() -> Self {
        Self { free: PerWorker::new(Cell::new(None)), on_gone: Some(on_gone::<T>) }
    }

    /// A value for a request, until its memory goes. Fails if there is no memory.
    #[inline(always)]
    pub(crate) fn attach(&self, r: Request) -> Result<&'static T, Failed> {
        if self.free.get().is_none() {
            self.make(r)?;
        }
        let place = self.free.get().ok_or(Failed)?;
        self.free.set(self::place(place.cleanup.replace(place.with_data(Some(place))).data));
        place.value.take(r);
        cleanups::push(r, &place.cleanup);
        Ok(&place.value)
    }

    /// The value of a request. None if it has none.
    #[inline]
    pub(crate) fn find(&self, r: Request) -> Option<&'static T> {
        let cleanup = cleanups::with(&r, self.on_gone).next()?;
        Some(&place::<T>(cleanup.data)?.value)
    }

    /// Makes free places.
    #[cold]
    fn make(&self, r: Request) -> Result<(), Failed> {
        let mut places = Vec::new();
        places.try_reserve_exact(MADE).map_err(|_| Failed)?;
        places.resize_with(MADE, || Place {
            cleanup: Cell::new(ngx_pool_cleanup_t {
                handler: self.on_gone,
                data: ptr::null_mut(),
                next: ptr::null_mut(),
            }),
            value: T::new(r),
        });
        for place in &*places.leak() {
            self.give_back(place);
        }
        Ok(())
    }

    fn give_back(&self, place: &'static Place<T>) {
        place.cleanup.set(place.with_data(self.free.replace(Some(place))));
    }
}

impl<T: 'static> Place<T> {
    /// The cleanup, with a place as its data.
    fn with_data(&self, place: Option<&'static Self>) -> ngx_pool_cleanup_t {
        let data = place.map_or(ptr::null_mut(), |place| ptr::from_ref(place).cast_mut().cast());
        ngx_pool_cleanup_t { data, ..self.cleanup.get() }
    }
}

/// The place that a cleanup with our handler has as its data.
fn place<T: Recycle>(data: *const c_void) -> Option<&'static Place<T>> {
    // SAFETY: such a cleanup is a place's own, which has a place of the same type as its data, or null. Each
    // type has a handler of its own.
    unsafe { data.cast::<Place<T>>().as_ref() }
}

/// The request's memory goes: its place is free.
extern "C" fn on_gone<T: Recycle>(data: *mut c_void) {
    if let Some(place) = place::<T>(data) {
        place.value.gone();
        watched::is_free(&place.value);
        if !cfg!(memcheck) {
            T::places().give_back(place);
        }
    }
}

/// `scripts/memcheck` finds a value that is read or written when its request is gone: then no other request
/// has its place.
mod watched {
    #[cfg(memcheck)]
    mod asan {
        use core::ffi::c_void;

        // SAFETY: AddressSanitizer's own function. It changes nothing but what that reports.
        unsafe extern "C" {
            #[link_name = "__asan_poison_memory_region"]
            pub(super) safe fn poison(from: *const c_void, bytes: usize);
        }
    }

    pub(super) fn is_free<T>(_value: &T) {
        #[cfg(memcheck)]
        asan::poison(core::ptr::from_ref(_value).cast(), size_of::<T>());
    }
}
