//! The zone's lock, which is nginx's own; it is also taken from a process that died with it.
//!
//! The master unlocks what a dead worker had locked, but only in the zones of its present configuration.
//! The zone of an old worker may be another. So a worker that waits for long looks whether the holder of
//! the lock lives.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};
use std::thread::{sleep, yield_now};
use std::time::Duration;

use crate::ffi::nginx::cycle;
use crate::ffi::nginx::shm::SlabPool;
use crate::ffi::os::process;
use crate::shared::holder::{Holder, Name};

/// How often the lock is tried in a round, as in nginx's own `ngx_shmtx_lock`. After each try the
/// processor pauses twice as long as after the one before.
const TRIES: u32 = 11;
/// Between the first rounds, this many, it yields the processor; between later ones it sleeps.
const YIELDS: u32 = 4;
/// After this many rounds it looks whether the holder lives: after some 25 ms.
const PATIENCE: u32 = 16;

/// This process has the lock, until this is dropped.
pub(crate) struct Locked<'z> {
    pool: SlabPool,
    holder: &'z Holder,
}

impl<'z> Locked<'z> {
    /// Takes the lock, and notes in `holder` which process has it. This process must not have it yet.
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
    // If the name is another one by now, the process gave the lock up before it ended.
    if pid != 0 && process::is_gone(process) && holder.process(pid) == process {
        // nginx unlocks only if this pid still has the lock.
        pool.unlock_for(pid);
    }
}

/// This process. A forked process has its parent's name here, and looks up its own.
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
