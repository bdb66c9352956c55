//! How a worker hears that its turn may have come: from its bell while it sleeps; while it is awake and
//! looks here, without one.
#![forbid(unsafe_code)]

use crate::sync::{AtomicU32, Ordering};

/// It sleeps, or does not look here. All zero is this.
const ASLEEP: u32 = 0;
/// It looks here again before it sleeps.
const AWAKE: u32 = 1;
/// Its turn may have come since it last looked.
const CALLED: u32 = 2;

/// One worker's word. Others only call; the rest is the worker's own.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Call(AtomicU32);

impl Call {
    /// Its turn may have come. Returns whether its bell must ring.
    ///
    /// If it was called before, that caller has rung the bell. One that died before it did is found by the
    /// workers that hold requests, and then all bells ring.
    pub fn call(&self) -> bool {
        // Pairs with the swaps in `hear` and `fall_asleep`: who is called sees what the caller did.
        self.0.swap(CALLED, Ordering::AcqRel) == ASLEEP
    }

    /// A worker has this word from now on. The one before it may have died while it was awake.
    pub fn begin(&self) {
        self.0.store(ASLEEP, Ordering::Release);
    }

    /// It is awake from now on, and looks here before it sleeps.
    pub fn wake_up(&self) {
        // Nothing changes if it is awake or called.
        let _ = self.0.compare_exchange(ASLEEP, AWAKE, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Whether it was called since it last heard.
    pub fn is_called(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CALLED
    }

    /// It is about to look whether it is its turn. `looks`: whether it looks here again before it sleeps.
    /// Returns whether it was called.
    pub fn hear(&self, looks: bool) -> bool {
        self.0.swap(if looks { AWAKE } else { ASLEEP }, Ordering::AcqRel) == CALLED
    }

    /// It is about to sleep, or looks here no more. Returns false if it was called: it must look first
    /// whether it is its turn.
    pub fn fall_asleep(&self) -> bool {
        match self.0.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(ASLEEP) => true,
            Err(_) => false,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_bell_rings_only_for_a_worker_that_sleeps() {
        let call = Call::default();
        assert!(call.call());
        assert!(!call.call(), "it has been rung for");
        assert!(call.hear(true));
        assert!(!call.call(), "it looks before it sleeps");
        assert!(call.is_called() && !call.fall_asleep());
        assert!(call.hear(true) && !call.is_called() && !call.hear(true));
        assert!(call.fall_asleep() && call.call());
    }

    #[test]
    fn a_worker_is_woken_whatever_the_one_before_it_did() {
        for died in [|call: &Call| call.wake_up(), |call: &Call| assert!(call.call())] {
            let call = Call::default();
            died(&call);
            call.begin();
            assert!(call.call());
        }
    }

    #[test]
    fn a_call_is_not_lost_when_the_worker_wakes_up() {
        let call = Call::default();
        assert!(call.call());
        call.wake_up();
        assert!(call.hear(false));
        assert!(call.fall_asleep() && call.call());
    }
}
