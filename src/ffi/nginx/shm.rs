//! Shared memory: nginx's zones, and the slab pool that each begins with, whose lock is the zone's.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use nginx_sys::{
    ngx_cycle_t, ngx_pid_t, ngx_shared_memory_add, ngx_shm_zone_t, ngx_slab_alloc, ngx_slab_pool_t,
    ngx_str_t,
};

use super::conf::Conf;
use super::{functions, module, pointers, Failed};

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
    let first = Some(&cycle.shared_memory.part);
    core::iter::successors(first, |part| pointers::next_part(part)).flat_map(pointers::zones)
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

    fn get(&self) -> &ngx_slab_pool_t {
        // SAFETY: mapped, as its description says. Its lock is a word elsewhere.
        unsafe { self.0.as_ref() }
    }

    /// What a module keeps in the zone; null at first.
    pub(crate) fn data(self) -> *mut c_void {
        self.get().data
    }

    /// Takes all of a new zone, zeroed: it is what a module keeps there from now on, and begins with a
    /// page. Returns how many bytes that is; None if the zone is too small.
    pub(crate) fn take_all(self) -> Option<usize> {
        // SAFETY: nginx made the pool just now, and nobody else uses it.
        unsafe {
            let pool = self.0.as_ptr();
            let bytes = (*pool).pfree * nginx_sys::ngx_pagesize;
            let all = ngx_slab_alloc(pool, bytes);
            if all.is_null() {
                return None;
            }
            // New memory is all zero, and most of it is better left untouched; a slab that is built
            // for debugging fills it with junk.
            let first = all.cast::<u8>();
            if *first != 0 || *first.add(bytes - 1) != 0 {
                first.write_bytes(0, bytes);
            }
            (*pool).data = all;
            Some(bytes)
        }
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_lock(self) -> bool {
        functions::ngx_shmtx_trylock(&self.get().mutex) != 0
    }

    /// Gives the lock up, which this process has.
    pub(crate) fn unlock(self) {
        functions::ngx_shmtx_unlock(&self.get().mutex);
    }

    /// The process that has the lock; 0 if none has.
    pub(crate) fn owner(self) -> ngx_pid_t {
        // Pairs with nginx's unlock: a process that sees this pid sees what earlier owners wrote.
        let owner =
            pointers::lock_word(&self.get().mutex).map_or(0, |word| word.load(Ordering::Acquire));
        ngx_pid_t::try_from(owner).unwrap_or(0)
    }

    /// Gives the lock up that another process has, if it still has it.
    pub(crate) fn unlock_for(self, owner: ngx_pid_t) {
        functions::ngx_shmtx_force_unlock(&self.get().mutex, owner);
    }
}

/// Whether a zone is of this build of the module.
pub(crate) fn is_own(zone: &ngx_shm_zone_t) -> bool {
    ptr::eq(zone.tag, module::entry().cast())
}
