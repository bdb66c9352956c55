//! The atomics that are read without the lock, loom's under its tests, and the steps between which
//! a worker may die.
#![forbid(unsafe_code)]

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Between two writes that must not change places: a worker may be killed here, and whoever takes
/// the lock next repairs what it finds.
#[inline]
pub fn crash_point() {
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
    #[cfg(any(test, feature = "faults"))]
    faults::crash_point();
}

/// Dying at a chosen step, for the tests.
#[cfg(any(test, feature = "faults"))]
pub mod faults {
    use core::cell::Cell;

    type Death = fn();

    std::thread_local! {
        static LEFT: Cell<Option<(u32, Death)>> = const { Cell::new(None) };
    }

    /// Calls `death` at the step after `steps` more.
    pub fn arm(steps: u32, death: Death) {
        LEFT.set(Some((steps, death)));
    }

    /// Lives on; returns whether the death was still to come.
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
