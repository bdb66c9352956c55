//! The zone's lock, which is nginx's own, taken even from a holder that died.
//!
//! The master unlocks what a dead worker held, but only in zones of the present configuration, and
//! an old worker's may be another. So whoever waits for long looks whether the holder lives.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};
use std::thread::{sleep, yield_now};
use std::time::Duration;

use nginx_sys::{ngx_pid_t, ngx_shmtx_force_unlock, ngx_shmtx_t, ngx_shmtx_trylock};

use super::processes;
use crate::ids::Process;

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
pub(super) unsafe fn lock(mutex: *mut ngx_shmtx_t, holder: &AtomicU64) {
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
    holder.store(this(), Ordering::Relaxed);
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
unsafe fn take_from_the_dead(mutex: *mut ngx_shmtx_t, holder: &AtomicU64) {
    // SAFETY: the caller's; nginx's lock holds the number of the process that has it.
    let pid = unsafe { (*mutex).lock.read_volatile() };
    let Ok(pid) = ngx_pid_t::try_from(pid) else { return };
    // It may have died before it left its name.
    let named = unpacked(holder.load(Ordering::Relaxed));
    let started = if named.pid == pid { named.started } else { 0 };
    if pid != 0 && processes::is_gone(Process { pid, started }) {
        // SAFETY: the caller's. It unlocks nothing that this process does not hold.
        unsafe { ngx_shmtx_force_unlock(mutex, pid) };
    }
}

/// How many bits the number of a process has at the most (proc(5), pid_max).
const PID_BITS: u32 = 22;

fn packed(process: Process) -> u64 {
    process.started << PID_BITS | u64::from(process.pid.unsigned_abs())
}

fn unpacked(word: u64) -> Process {
    let pid = i32::try_from(word & ((1 << PID_BITS) - 1)).unwrap_or(0);
    Process { pid, started: word >> PID_BITS }
}

/// This process. What a fork has from its parent is looked up anew.
fn this() -> u64 {
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    let known = KNOWN.load(Ordering::Relaxed);
    // SAFETY: nginx sets it as soon as a process has begun.
    if unpacked(known).pid == unsafe { nginx_sys::ngx_pid } {
        return known;
    }
    let this = packed(processes::this());
    KNOWN.store(this, Ordering::Relaxed);
    this
}
