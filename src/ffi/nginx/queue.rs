//! nginx's intrusive queues. The values in them stay where they are, and leave when they are dropped.

use core::cell::{Cell, UnsafeCell};
use core::ptr;

use nginx_sys::{ngx_queue_init, ngx_queue_insert_before, ngx_queue_remove, ngx_queue_t};

use super::per_worker::PerWorker;

/// A queue of values, each by one of its links. It is a static: so it stays where it is.
pub(crate) struct Queue<T: 'static> {
    head: PerWorker<UnsafeCell<ngx_queue_t>>,
    link: fn(&T) -> &Link<T>,
}

/// A value's place in a queue; at first it is in none. A link that is dropped leaves its queue.
#[repr(C)]
pub(crate) struct Link<T: 'static> {
    entry: UnsafeCell<ngx_queue_t>,
    value: Cell<Option<&'static T>>,
}

impl<T: 'static> Queue<T> {
    /// A queue by the link that `link` picks of a value.
    pub(crate) const fn new(link: fn(&T) -> &Link<T>) -> Self {
        Self { head: PerWorker::new(UnsafeCell::new(NOWHERE)), link }
    }

    /// Puts a value at the end. It leaves the queue that it was in by the same link.
    #[inline(always)]
    pub(crate) fn push(&'static self, value: &'static T) {
        let link = (self.link)(value);
        link.leave();
        link.value.set(Some(value));
        // SAFETY: the head and the value are `'static`, so both stay where they are. Values in a
        // request's memory are dropped before that goes, and leave the queue then.
        unsafe {
            if (*self.head.get()).next.is_null() {
                ngx_queue_init(self.head.get());
            }
            ngx_queue_insert_before(self.head.get(), link.entry.get());
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.next_of(self.head.get()).is_none()
    }

    /// Takes the first one out.
    pub(crate) fn pop(&self) -> Option<&'static T> {
        let first = self.iter().next()?;
        (self.link)(first).leave();
        Some(first)
    }

    /// The values, from the first on. Of the values that have not been given yet, none may leave
    /// meanwhile.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> + '_ {
        let mut next = self.next_of(self.head.get());
        core::iter::from_fn(move || {
            let link = next?;
            next = self.next_of(link.entry.get());
            link.value.get()
        })
    }

    /// The link behind an entry of this queue, or behind its head.
    fn next_of(&self, entry: *const ngx_queue_t) -> Option<&Link<T>> {
        // SAFETY: `entry` is the head or in the queue. Its next is another entry, which is the first
        // field of a link that lives, or the head, or null if nothing was ever put into the queue.
        unsafe {
            let next = (*entry).next;
            let is_end = next.is_null() || ptr::eq(next, self.head.get());
            (!is_end).then(|| &*next.cast::<Link<T>>())
        }
    }
}

impl<T: 'static> Link<T> {
    pub(crate) const fn new() -> Self {
        Self { entry: UnsafeCell::new(NOWHERE), value: Cell::new(None) }
    }

    /// Takes the value out of the queue that it is in by this link, if any.
    pub(crate) fn leave(&self) {
        if self.is_linked() {
            self.value.set(None);
            // SAFETY: the link is in a queue, and so are the entries on both sides of it: they live.
            unsafe { ngx_queue_remove(self.entry.get()) };
        }
    }

    /// Whether the value is in a queue by this link.
    pub(crate) fn is_linked(&self) -> bool {
        self.value.get().is_some()
    }
}

impl<T: 'static> Drop for Link<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// An entry that is in no queue.
const NOWHERE: ngx_queue_t = ngx_queue_t { prev: ptr::null_mut(), next: ptr::null_mut() };
