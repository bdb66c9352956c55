//! nginx's intrusive queues: whoever dies takes itself out.

use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::ptr;

use nginx_sys::{
    ngx_queue_empty, ngx_queue_init, ngx_queue_insert_before, ngx_queue_remove, ngx_queue_t,
};

/// A queue in this process's own memory.
pub(crate) struct Queue<T>(UnsafeCell<ngx_queue_t>, PhantomData<*const T>);

/// A member's place in a queue.
#[repr(C)]
pub(crate) struct Link<T> {
    place: UnsafeCell<ngx_queue_t>,
    member: Cell<*const T>,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(nowhere()), PhantomData)
    }

    /// Once it is where it stays.
    pub(crate) fn init(&self) {
        // SAFETY: our own, and its address does not change any more.
        unsafe { ngx_queue_init(self.0.get()) };
    }

    /// Puts a live member at the end, by a link of its own that is in no queue.
    pub(crate) fn push(&self, member: &T, link: &Link<T>) {
        link.member.set(member);
        // SAFETY: the queue is initialized, and its members are live: each leaves when it dies.
        unsafe { ngx_queue_insert_before(self.0.get(), link.place.get()) };
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// The first, which stays in the queue.
    pub(crate) fn first(&self) -> Option<*const T> {
        // SAFETY: as in push.
        unsafe { (!ngx_queue_empty(self.0.get())).then(|| Self::member((*self.0.get()).next)) }
    }

    /// The members, from the first. None may leave meanwhile, but the one that was just given.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let end = self.0.get();
        // SAFETY: as in push.
        let mut next = unsafe { (*end).next };
        core::iter::from_fn(move || {
            if ptr::eq(next, end) {
                return None;
            }
            // SAFETY: as in push.
            unsafe {
                let member = Self::member(next);
                next = (*next).next;
                member.as_ref()
            }
        })
    }

    /// # Safety
    /// The place is a link's, and not the queue's own.
    unsafe fn member(place: *mut ngx_queue_t) -> *const T {
        // SAFETY: the caller's; a link begins with its place.
        unsafe { (*place.cast::<Link<T>>()).member.get() }
    }
}

impl<T> Link<T> {
    pub(crate) fn new() -> Self {
        Self { place: UnsafeCell::new(nowhere()), member: Cell::new(ptr::null()) }
    }

    /// Takes the member out of the queue that it is in.
    pub(crate) fn leave(&self) {
        if self.is_linked() {
            // SAFETY: it is in a queue, which is live as long as the process.
            unsafe { ngx_queue_remove(self.place.get()) };
        }
    }

    /// Whether it is in a queue.
    pub(crate) fn is_linked(&self) -> bool {
        // SAFETY: our own; a link that is in no queue is all null.
        unsafe { !(*self.place.get()).next.is_null() }
    }
}

fn nowhere() -> ngx_queue_t {
    ngx_queue_t { prev: ptr::null_mut(), next: ptr::null_mut() }
}
