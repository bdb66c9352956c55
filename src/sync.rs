//! The atomics of shared memory (loom's own in loom's tests), and the points at which a worker may
//! die.
#![forbid(unsafe_code)]

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Stands between two writes under the lock that must not be reordered. A worker may be killed here;
/// the next one that takes the lock then repairs the tables.
#[inline]
pub fn crash_point() {
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
    #[cfg(any(test, feature = "faults"))]
    faults::crash_point();
}

/// Dies at a chosen crash point, for the tests.
#[cfg(any(test, feature = "faults"))]
pub mod faults {
    use core::cell::Cell;

    type Death = fn();

    std::thread_local! {
        static LEFT: Cell<Option<(u32, Death)>> = const { Cell::new(None) };
    }

    /// Calls `death` at a crash point of this thread, after `steps` others.
    pub fn arm(steps: u32, death: Death) {
        LEFT.set(Some((steps, death)));
    }

    /// Calls it off. Returns whether `death` had not been called yet.
    pub fn disarm() -> bool {
        LEFT.take().is_some()
    }

    pub(super) fn crash_point() {
        if let Some((left, death)) = LEFT.get() {
            LEFT.set(left.checked_sub(1).map(|left| (left, death)));
            if left == 0 {
                death();
            }
        }
    }
}
