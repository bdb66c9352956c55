//! nginx's zones of shared memory. Each begins with a slab pool, which has the zone's lock.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use nginx_sys::{
    ngx_cycle_t, ngx_pid_t, ngx_shared_memory_add, ngx_shm_zone_t, ngx_shmtx_t, ngx_slab_alloc,
    ngx_slab_pool_t, ngx_str_t,
};

use super::conf::Conf;
use super::{functions, module, pointers, Failed};

/// Asks nginx for a zone of this module.
pub(crate) fn add(
    cf: Conf,
    mut name: ngx_str_t,
    size: usize,
) -> Result<&'static mut ngx_shm_zone_t, Failed> {
    // SAFETY: nginx gives the zone out while it reads a configuration, and nobody else has a reference
    // to it then. Callers pass a name that is a literal: nginx keeps a pointer to its text.
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

/// The slab pool of a zone. nginx maps the zone before it forks workers, so it has the same address in
/// all of them. No process unmaps it while it may use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlabPool(NonNull<ngx_slab_pool_t>);

impl SlabPool {
    /// None if the zone is not mapped yet.
    pub(crate) fn of(zone: &ngx_shm_zone_t) -> Option<Self> {
        NonNull::new(zone.shm.addr.cast()).map(Self)
    }

    fn mutex(&self) -> &ngx_shmtx_t {
        // SAFETY: the zone is mapped, and nginx has made the mutex. What other processes change of it,
        // they change in C: the lock's word, which it points to, and its semaphore.
        unsafe { &(*self.0.as_ptr()).mutex }
    }

    /// The pointer that a module may keep in the pool; null at first.
    pub(crate) fn data(self) -> *mut c_void {
        // SAFETY: the zone is mapped. A module writes this once, before other processes have the zone.
        unsafe { (*self.0.as_ptr()).data }
    }

    /// Takes all memory of a new zone, zeroed and aligned to a page: from now on [`SlabPool::data`] is
    /// where it begins. Returns how many bytes it has; None if the zone is too small.
    pub(crate) fn take_all(self) -> Option<usize> {
        // SAFETY: callers have just got the zone from nginx, and no other process uses it yet. The slab
        // gives this many bytes, and the first and the last one are among them.
        unsafe {
            let pool = self.0.as_ptr();
            let bytes = (*pool).pfree * nginx_sys::ngx_pagesize;
            let all = ngx_slab_alloc(pool, bytes);
            if all.is_null() {
                return None;
            }
            // The kernel gives memory that is all zero, and most of it is better left untouched. But an
            // nginx that is built to debug memory fills it with other bytes.
            let first = all.cast::<u8>();
            if *first != 0 || *first.add(bytes - 1) != 0 {
                first.write_bytes(0, bytes);
            }
            (*pool).data = all;
            Some(bytes)
        }
    }

    /// Takes the lock if no process has it. Returns whether it did.
    pub(crate) fn try_lock(self) -> bool {
        functions::ngx_shmtx_trylock(self.mutex()) != 0
    }

    /// Unlocks, if this process has the lock.
    pub(crate) fn unlock(self) {
        functions::ngx_shmtx_unlock(self.mutex());
    }

    /// The pid of the process that has the lock; 0 if none has it.
    pub(crate) fn owner(self) -> ngx_pid_t {
        // Pairs with nginx's compare-and-set at lock and unlock: after this pid is read, what the owner
        // wrote before it took the lock is seen, and what earlier owners wrote.
        let owner =
            pointers::lock_word(self.mutex()).map_or(0, |word| word.load(Ordering::Acquire));
        ngx_pid_t::try_from(owner).unwrap_or(0)
    }

    /// Unlocks for another process, if that still has the lock.
    pub(crate) fn unlock_for(self, owner: ngx_pid_t) {
        functions::ngx_shmtx_force_unlock(self.mutex(), owner);
    }
}

/// Whether this build of the module asked for this zone.
pub(crate) fn is_own(zone: &ngx_shm_zone_t) -> bool {
    ptr::eq(zone.tag, module::entry().cast())
}
