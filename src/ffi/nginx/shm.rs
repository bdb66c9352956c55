//! Shared memory: nginx's zones, and the slab pool that each begins with, whose lock is the zone's.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use nginx_sys::{
    ngx_cycle_t, ngx_list_part_t, ngx_pid_t, ngx_shared_memory_add, ngx_shm_zone_t,
    ngx_shmtx_force_unlock, ngx_shmtx_trylock, ngx_shmtx_unlock, ngx_slab_alloc, ngx_slab_pool_t,
    ngx_str_t,
};

use super::conf::Conf;
use super::{module, Failed};

/// Asks nginx for a zone of this module's.
pub(crate) fn add(
    cf: Conf,
    mut name: ngx_str_t,
    size: usize,
) -> Result<&'static mut ngx_shm_zone_t, Failed> {
    // SAFETY: a live cf; the zone lives as long as its cycle, and the name as the process.
    let zone = unsafe {
        ngx_shared_memory_add(cf.as_ptr(), &mut name, size, module::entry().cast()).as_mut()
    };
    zone.ok_or(Failed)
}

/// A cycle's zones.
pub(crate) fn zones(cycle: &ngx_cycle_t) -> impl Iterator<Item = &ngx_shm_zone_t> {
    let parts = core::iter::successors(Some(&cycle.shared_memory.part), |part| next(part));
    // SAFETY: each part of the list has so many zones.
    parts.flat_map(|part| unsafe {
        let zones = part.elts.cast::<ngx_shm_zone_t>();
        core::slice::from_raw_parts(zones, if zones.is_null() { 0 } else { part.nelts })
    })
}

fn next(part: &ngx_list_part_t) -> Option<&ngx_list_part_t> {
    // SAFETY: the list's next part, or null.
    unsafe { part.next.as_ref() }
}

/// The slab pool of a zone: in memory that is mapped before the workers are forked, at the same address
/// for all, and is not unmapped while one of them may use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlabPool(NonNull<ngx_slab_pool_t>);

impl SlabPool {
    /// None if the zone is not mapped yet.
    pub(crate) fn of(zone: &ngx_shm_zone_t) -> Option<Self> {
        NonNull::new(zone.shm.addr.cast()).map(Self)
    }

    /// What a module keeps in the zone; null at first.
    pub(crate) fn data(self) -> *mut c_void {
        // SAFETY: mapped.
        unsafe { (*self.0.as_ptr()).data }
    }

    /// All of a new zone, zeroed, and how many bytes that is. It is what a module keeps in the zone from
    /// now on. It begins with a page.
    pub(crate) fn take_all(self) -> Option<(NonNull<c_void>, usize)> {
        // SAFETY: nginx made the pool just now, and nobody else uses it.
        unsafe {
            let pool = self.0.as_ptr();
            let bytes = (*pool).pfree * nginx_sys::ngx_pagesize;
            let all = NonNull::new(ngx_slab_alloc(pool, bytes))?;
            // New memory is all zero, and most of it is better left untouched; a slab that is built
            // for debugging fills it with junk.
            let first = all.as_ptr().cast::<u8>();
            if *first != 0 || *first.add(bytes - 1) != 0 {
                first.write_bytes(0, bytes);
            }
            (*pool).data = all.as_ptr();
            Some((all, bytes))
        }
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_lock(self) -> bool {
        // SAFETY: mapped; nginx made the lock with the pool.
        unsafe { ngx_shmtx_trylock(&raw mut (*self.0.as_ptr()).mutex) != 0 }
    }

    /// Gives the lock up, which this process has.
    pub(crate) fn unlock(self) {
        // SAFETY: as above.
        unsafe { ngx_shmtx_unlock(&raw mut (*self.0.as_ptr()).mutex) };
    }

    /// The process that has the lock; 0 if none has.
    pub(crate) fn owner(self) -> ngx_pid_t {
        // SAFETY: as above; nginx's lock is a word with the number of the process.
        let word = unsafe { AtomicUsize::from_ptr((*self.0.as_ptr()).mutex.lock.cast()) };
        // Pairs with nginx's unlock: a process that sees this pid sees what earlier owners wrote.
        ngx_pid_t::try_from(word.load(Ordering::Acquire)).unwrap_or(0)
    }

    /// Gives the lock up that another process has, if it still has it.
    pub(crate) fn unlock_for(self, owner: ngx_pid_t) {
        // SAFETY: as above.
        unsafe { ngx_shmtx_force_unlock(&raw mut (*self.0.as_ptr()).mutex, owner) };
    }
}

/// Whether a zone is of this build of the module.
pub(crate) fn is_own(zone: &ngx_shm_zone_t) -> bool {
    ptr::eq(zone.tag, module::entry().cast())
}
