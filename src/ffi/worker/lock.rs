//! The zone's lock, which is nginx's own, taken even from a holder that died.
//!
//! The master unlocks what a dead worker held, but only in zones of the present configuration, and
//! an old worker's may be another. So a worker that waits for long looks whether the holder lives.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};
use std::thread::{sleep, yield_now};
use std::time::Duration;

use crate::ffi::nginx::cycle;
use crate::ffi::nginx::shm::SlabPool;
use crate::ffi::os::process;
use crate::shared::holder::{Holder, Name};

/// So many tries a round, as nginx has: each with twice as many pauses as the one before.
const TRIES: u32 = 11;
/// In these rounds others are let run; later ones sleep as well.
const YIELDS: u32 = 4;
/// How often the holder is looked at, in rounds: some 25 ms.
const PATIENCE: u32 = 16;

/// This process has the lock, until this is dropped.
pub(crate) struct Locked<'z> {
    pool: SlabPool,
    holder: &'z Holder,
}

impl<'z> Locked<'z> {
    /// Takes the lock, which this process must not have, and leaves in `holder` who has it.
    pub(crate) fn new(pool: SlabPool, holder: &'z Holder) -> Self {
        let mut round = 0_u32;
        while !try_for_a_round(pool) {
            match round.checked_sub(YIELDS) {
                None => yield_now(),
                Some(later) => sleep(Duration::from_micros(50 << later.min(5))),
            }
            round = round.saturating_add(1);
            if round.is_multiple_of(PATIENCE) {
                take_from_the_dead(pool, holder);
            }
        }
        holder.begins(own_name());
        Self { pool, holder }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.holder.ends();
        self.pool.unlock();
    }
}

fn try_for_a_round(pool: SlabPool) -> bool {
    for doubled in 0..TRIES {
        if pool.try_lock() {
            return true;
        }
        if cycle::process().processors > 1 {
            (0..1_u32 << doubled).for_each(|_| spin_loop());
        }
    }
    false
}

fn take_from_the_dead(pool: SlabPool, holder: &Holder) {
    let pid = pool.owner();
    let process = holder.process(pid);
    // A name that has gone meanwhile was that of one that gave the lock up before it ended.
    if pid != 0 && process::is_gone(process) && holder.process(pid) == process {
        // It unlocks nothing that this process does not hold.
        pool.unlock_for(pid);
    }
}

/// This process. What a fork has from its parent is looked up anew.
fn own_name() -> Name {
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    let known = Name(KNOWN.load(Ordering::Relaxed));
    if known.pid() == cycle::process().pid {
        return known;
    }
    let own = Name::of(process::own());
    KNOWN.store(own.0, Ordering::Relaxed);
    own
}
