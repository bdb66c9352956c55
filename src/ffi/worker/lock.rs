//! The zone's lock, which is nginx's own, taken even from a holder that died.
//!
//! The master unlocks what a dead worker held, but only in zones of the present configuration, and
//! an old worker's may be another. So whoever waits for long looks whether the holder lives.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{sleep, yield_now};
use std::time::Duration;

use nginx_sys::{
    ngx_pid_t, ngx_shmtx_force_unlock, ngx_shmtx_t, ngx_shmtx_trylock, ngx_shmtx_unlock,
};

use crate::ffi::worker::reap;
use crate::shared::holder::{Holder, Name};

/// So many tries a round, as nginx has: each with twice as many pauses as the one before.
const TRIES: u32 = 11;
/// In these rounds others are let run; later ones sleep as well.
const YIELDS: u32 = 4;
/// How often the holder is looked at, in rounds: some 25 ms.
const PATIENCE: u32 = 16;

/// Takes the lock, and leaves in `holder` who has it.
///
/// # Safety
/// The mutex is in live shared memory, and this process does not hold it.
pub(crate) unsafe fn lock(mutex: *mut ngx_shmtx_t, holder: &Holder) {
    let mut round = 0_u32;
    // SAFETY: the caller's.
    while !unsafe { try_for_a_round(mutex) } {
        match round.checked_sub(YIELDS) {
            None => yield_now(),
            Some(later) => sleep(Duration::from_micros(50 << later.min(5))),
        }
        round = round.saturating_add(1);
        if round.is_multiple_of(PATIENCE) {
            // SAFETY: the caller's.
            unsafe { take_from_the_dead(mutex, holder) };
        }
    }
    holder.begins(this());
}

/// Gives the lock up.
///
/// # Safety
/// The mutex is in live shared memory, and this process holds it.
pub(crate) unsafe fn unlock(mutex: *mut ngx_shmtx_t, holder: &Holder) {
    holder.ends();
    // SAFETY: the caller's.
    unsafe { ngx_shmtx_unlock(mutex) };
}

/// # Safety
/// As for [`lock`].
unsafe fn try_for_a_round(mutex: *mut ngx_shmtx_t) -> bool {
    for doubled in 0..TRIES {
        // SAFETY: the caller's; nginx counts the processors before anything else.
        unsafe {
            if ngx_shmtx_trylock(mutex) != 0 {
                return true;
            }
            if nginx_sys::ngx_ncpu > 1 {
                (0..1_u32 << doubled).for_each(|_| spin_loop());
            }
        }
    }
    false
}

/// # Safety
/// As for [`lock`].
unsafe fn take_from_the_dead(mutex: *mut ngx_shmtx_t, holder: &Holder) {
    // SAFETY: the caller's; nginx's lock holds the number of the process that has it.
    let pid = unsafe { AtomicUsize::from_ptr((*mutex).lock.cast()) };
    // Pairs with nginx's unlock: who sees this pid sees that earlier holders erased their names.
    let Ok(pid) = ngx_pid_t::try_from(pid.load(Ordering::Acquire)) else { return };
    let process = holder.process(pid);
    // A name that has gone meanwhile was that of one that gave the lock up before it ended.
    if pid != 0 && reap::is_gone(process) && holder.process(pid) == process {
        // SAFETY: the caller's. It unlocks nothing that this process does not hold.
        unsafe { ngx_shmtx_force_unlock(mutex, pid) };
    }
}

/// This process. What a fork has from its parent is looked up anew.
fn this() -> Name {
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    let known = Name(KNOWN.load(Ordering::Relaxed));
    // SAFETY: nginx sets it as soon as a process has begun.
    if known.pid() == unsafe { nginx_sys::ngx_pid } {
        return known;
    }
    let this = Name::of(reap::this());
    KNOWN.store(this.0, Ordering::Relaxed);
    this
}
