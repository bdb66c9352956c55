//! Marks of requests in nginx's intrusive queues: whoever dies takes itself out.

use core::cell::UnsafeCell;

use nginx_sys::{
    ngx_queue_data, ngx_queue_empty, ngx_queue_init, ngx_queue_insert_before, ngx_queue_remove,
    ngx_queue_t,
};

use super::hold::Hold;

/// A queue of marks, in this process's own memory.
pub(super) struct Queue(UnsafeCell<ngx_queue_t>);

/// A mark's place in a queue.
pub(super) struct Link(UnsafeCell<ngx_queue_t>);

impl Queue {
    pub(super) fn new() -> Self {
        Self(Link::new().0)
    }

    /// Once it is where it stays.
    pub(super) fn init(&self) {
        // SAFETY: our own, and its address does not change any more.
        unsafe { ngx_queue_init(self.0.get()) };
    }

    /// Puts a live mark that is in no queue at the end.
    pub(super) fn push(&self, hold: &Hold) {
        // SAFETY: the queue is initialized, and its members are live: each leaves when it dies.
        unsafe { ngx_queue_insert_before(self.0.get(), hold.link.0.get()) };
    }

    /// The first, which stays in the queue.
    pub(super) fn first(&self) -> Option<*const Hold> {
        // SAFETY: as in push.
        unsafe { (!ngx_queue_empty(self.0.get())).then(|| Self::mark((*self.0.get()).next)) }
    }

    /// The members, from the first. None may leave meanwhile, but the one that was just given.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Hold> {
        let end = self.0.get();
        // SAFETY: as in push.
        let mut next = unsafe { (*end).next };
        core::iter::from_fn(move || {
            if core::ptr::eq(next, end) {
                return None;
            }
            // SAFETY: as in push.
            unsafe {
                let hold = Self::mark(next);
                next = (*next).next;
                hold.as_ref()
            }
        })
    }

    /// # Safety
    /// The link is a mark's, and not the queue's own.
    unsafe fn mark(link: *mut ngx_queue_t) -> *const Hold {
        // SAFETY: the caller's.
        unsafe { ngx_queue_data!(link, Hold, link).cast_const() }
    }
}

impl Link {
    pub(super) fn new() -> Self {
        // SAFETY: plain C data, for which all zero is a value.
        Self(UnsafeCell::new(unsafe { core::mem::zeroed() }))
    }

    /// Takes the mark out of the queue that it is in.
    pub(super) fn leave(&self) {
        // SAFETY: a link that is in no queue is all null.
        unsafe {
            if !(*self.0.get()).next.is_null() {
                ngx_queue_remove(self.0.get());
            }
        }
    }

    /// Whether it is in a queue.
    pub(super) fn is_linked(&self) -> bool {
        // SAFETY: as above.
        unsafe { !(*self.0.get()).next.is_null() }
    }
}
