//! Statics that only nginx's one thread uses.

use core::ops::Deref;

/// A value of a static that need not be `Sync`: only nginx's callbacks use it, and all of them run on
/// one thread. The writer's thread must use none of these.
#[repr(transparent)]
pub(crate) struct PerWorker<T>(T);

// SAFETY: nginx runs all callbacks of a process on one thread, and the jobs of the writer's thread use
// no such static.
unsafe impl<T> Sync for PerWorker<T> {}

impl<T> PerWorker<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for PerWorker<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}
