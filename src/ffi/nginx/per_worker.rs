//! What a process keeps for itself.

use core::ops::Deref;

/// A static's value that only nginx's callbacks touch: all of a process's run on one thread, and no
/// other thread of ours uses such a static.
#[repr(transparent)]
pub(crate) struct PerWorker<T>(T);

// SAFETY: as its description says.
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
