//! The shared memory: carved once, then lent to the core under nginx's own lock.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::os::fd::RawFd;

use nginx_sys::{
    ngx_conf_t, ngx_cycle_t, ngx_event_conf_t, ngx_int_t, ngx_log_t, ngx_shared_memory_add,
    ngx_shm_zone_t, ngx_slab_alloc, ngx_slab_pool_t, ngx_str_t, NGX_ERROR, NGX_OK,
};
use ngx::ngx_string;

use crate::ffi::conf::{self, MainConf};
use crate::ffi::module::{self, Failed};
use crate::ffi::nginx::log::{cycle_log, write};
use crate::ffi::worker::doorbell::{self, Bells, OpenBells};
use crate::ffi::worker::lock;
use crate::ffi::worker::state_file::{Restore, StateFile, Words};
use crate::ffi::worker::unlisted::Roll;
use crate::ids::{Generation, PauseId};
use crate::log_lines::pauses::PauseEvent;
use crate::log_lines::requests::RequestEvent;
use crate::log_lines::workers::{Refused, WorkerLine};
use crate::log_lines::About;
use crate::shared::app::{App, Unreported};
use crate::shared::holder::Holder;
use crate::shared::in_flight::{CountCell, CountTable, SeenEpoch};
use crate::shared::signals::Signals;
use crate::shared::slots::Slot;
use crate::shared::waiters::Wait;
use crate::shared::word::Word;
use crate::shared::workers::Worker;
use crate::text::AppName;
use crate::time::{Msec, Now};
use crate::zone::{Effects, Header, Zone};

const NAME: ngx_str_t = ngx_string!("intermission");

const MIN_APPS: usize = 4;
/// At most this many apps.
const MAX_APPS: usize = 1024;
/// In words of 64 bits: how many names are told from each other of which a request has come.
const HEARD: usize = 64;
/// How many names are told from each other of which it is known when requests expire.
const EXPIRIES: usize = 256;
/// At most this many worker processes at a time, those of reloads included; more only where so
/// many are configured.
const MAX_WORKERS: usize = 1024;

/// At most this many callers who wait for an app to be quiet, or drained.
const MAX_WAITS: usize = 64;

/// What the zone begins with. Another build of the module reads as far as `not_open`.
#[repr(C, align(64))]
struct Front {
    not_open: AtomicU32,
    sizes: Sizes,
    waiting: AtomicU32,
    epoch: AtomicU64,
    endings: AtomicU64,
    bells: Bells,
    roll: RawFd,
    moving: [AtomicU64; MAX_APPS / 64],
    heard: [AtomicU64; HEARD],
    expiries: [AtomicU32; EXPIRIES],
    lease: AtomicU64,
    state_file: AtomicU64,
    file: Words,
    holder: Holder,
    header: Header,
}

/// How many entries each table has.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    apps: usize,
    workers: usize,
    waits: usize,
    slots: usize,
}

impl Sizes {
    /// A quarter at most for apps, whom each worker counts, and a sixty-fourth for those who wait;
    /// the rest for those held.
    ///
    /// There are entries for eight generations of as many workers as are configured, as long as
    /// these take no more than an eighth.
    fn for_bytes(bytes: usize, processes: usize) -> Self {
        let least = size_of::<Worker>()
            + size_of::<SeenEpoch>()
            + CountTable::row_length(MIN_APPS) * size_of::<CountCell>();
        let wanted = processes.saturating_mul(8).min(bytes / 8 / least);
        let workers = (bytes / (40 << 10)).clamp(16, MAX_WORKERS).max(wanted);
        let app = size_of::<App>() + size_of::<AtomicU64>() + workers * size_of::<CountCell>();
        let apps = (bytes / 4 / app).clamp(MIN_APPS, MAX_APPS);
        let waits = (bytes / 64 / size_of::<Wait>()).clamp(4, MAX_WAITS);
        let tables = Self { apps, workers, waits, slots: 0 };
        let slots = bytes.saturating_sub(tables.places().slots) / size_of::<Slot>();
        Self { slots, ..tables }
    }

    /// Where each table begins, in bytes behind the front's beginning.
    fn places(&self) -> Places {
        let seen = size_of::<Front>();
        let counts = seen + self.workers * size_of::<SeenEpoch>();
        let names = counts + self.workers * self.row_length() * size_of::<CountCell>();
        let apps = names + self.apps * size_of::<AtomicU64>();
        let workers = apps + self.apps * size_of::<App>();
        let waits = workers + self.workers * size_of::<Worker>();
        let slots = waits + self.waits * size_of::<Wait>();
        Places { seen, counts, names, apps, workers, waits, slots }
    }

    fn row_length(&self) -> usize {
        CountTable::row_length(self.apps)
    }
}

struct Places {
    seen: usize,
    counts: usize,
    names: usize,
    apps: usize,
    workers: usize,
    waits: usize,
    slots: usize,
}

/// The zone, as a process knows it. Its memory is mapped before the workers are forked, at the same
/// address for all, and unmapped never while one of them may use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedZone {
    pool: NonNull<ngx_slab_pool_t>,
    front: NonNull<Front>,
    sizes: Sizes,
}

impl SharedZone {
    /// The smallest size of a zone, in bytes.
    pub(crate) const LEAST: usize = 128 << 10;

    /// Carves a new zone; none where it is too small.
    fn carve(pool: NonNull<ngx_slab_pool_t>, processes: usize) -> Option<Self> {
        // SAFETY: nginx made the pool just now, in the zone that it passes to init; what the slab
        // gives is aligned to a page where more than one is asked for.
        let front = unsafe {
            let pool = pool.as_ptr();
            let bytes = (*pool).pfree * nginx_sys::ngx_pagesize;
            let front = NonNull::new(ngx_slab_alloc(pool, bytes).cast::<Front>())?;
            // New memory is all zero, and most of it is better left untouched; a slab that is
            // built for debugging fills it with junk.
            let bytes_of_it = front.cast::<u8>().as_ptr();
            if *bytes_of_it != 0 || *bytes_of_it.add(bytes - 1) != 0 {
                bytes_of_it.write_bytes(0, bytes);
            }
            (*front.as_ptr()).sizes = Sizes::for_bytes(bytes, processes);
            (*pool).data = front.as_ptr().cast();
            front
        };
        let zone = Self::attach(pool, front);
        zone.visit(|zone| zone.reset());
        Some(zone)
    }

    fn attach(pool: NonNull<ngx_slab_pool_t>, front: NonNull<Front>) -> Self {
        // SAFETY: the sizes do not change once the zone is carved.
        let sizes = unsafe { (*front.as_ptr()).sizes };
        Self { pool, front, sizes }
    }

    /// The words that are read without the lock.
    pub(crate) fn signals(&self) -> Signals<'static> {
        // SAFETY: atomics, carved for good; no exclusive reference to them is ever made.
        unsafe {
            let front = self.front.as_ptr();
            Signals {
                not_open: &(*front).not_open,
                names: slice::from_raw_parts(self.at(self.sizes.places().names), self.sizes.apps),
                moving: &(*front).moving,
                heard: &(*front).heard,
                expiries: &(*front).expiries,
                lease: &(*front).lease,
                epoch: &(*front).epoch,
                endings: &(*front).endings,
                waiting: &(*front).waiting,
                state_file: &(*front).state_file,
            }
        }
    }

    /// What the workers count.
    pub(crate) fn counts(&self) -> CountTable<'static> {
        let Sizes { apps, workers, .. } = self.sizes;
        let (places, counts) = (self.sizes.places(), workers * self.sizes.row_length());
        // SAFETY: as above.
        unsafe {
            CountTable {
                seen: slice::from_raw_parts(self.at(places.seen), workers),
                counts: slice::from_raw_parts(self.at(places.counts), counts),
                apps,
            }
        }
    }

    /// What lies so many bytes behind the front's beginning.
    fn at<T>(&self, place: usize) -> *mut T {
        self.front.as_ptr().cast::<u8>().wrapping_add(place).cast()
    }

    /// What the workers know of the state file.
    pub(crate) fn file(&self) -> &'static Words {
        // SAFETY: atomics, carved for good; no exclusive reference to them is ever made.
        unsafe { &(*self.front.as_ptr()).file }
    }

    /// How many workers there may be at a time.
    pub(crate) fn max_workers(&self) -> usize {
        self.sizes.workers
    }

    /// How many apps there may be.
    pub(crate) fn max_apps(&self) -> usize {
        self.sizes.apps
    }

    /// The doorbells.
    pub(crate) fn bells(&self) -> &'static Bells {
        // SAFETY: written by the master before it forks any worker, never again.
        unsafe { &(*self.front.as_ptr()).bells }
    }

    /// The file that says which workers have no entry.
    pub(crate) fn roll(&self) -> RawFd {
        // SAFETY: as above.
        unsafe { (*self.front.as_ptr()).roll }
    }

    /// Lends the tables to `f` under the lock, then does what they ask for. `f` must not log, call
    /// nginx, or visit again.
    pub(crate) fn visit<R>(&self, f: impl FnOnce(&mut Zone<'_>) -> R) -> R {
        let now = now();
        // SAFETY: the mutex lives in the zone; the lock keeps others from the tables, and a visit
        // has the only reference to them in this process.
        let (result, effects) = unsafe {
            let mutex = &mut (*self.pool.as_ptr()).mutex;
            let holder = &(*self.front.as_ptr()).holder;
            lock::lock(mutex, holder);
            #[cfg(feature = "faults")]
            super::faults::arm_if_told();
            let mut zone = self.tables(now);
            zone.enter();
            let result = f(&mut zone);
            let effects = zone.leave();
            lock::unlock(mutex, holder);
            (result, effects)
        };
        self.carry_out(&effects);
        result
    }

    /// # Safety
    /// The lock is held, and the tables are borrowed by nobody else in this process.
    unsafe fn tables(&self, now: Now) -> Zone<'_> {
        let (sizes, places) = (self.sizes, self.sizes.places());
        let (signals, counts) = (self.signals(), self.counts());
        // SAFETY: carved by these sizes, one table behind the other; each was filled with valid
        // entries by reset, or is all zero and of a type for which that is valid until then.
        unsafe {
            Zone {
                header: &mut (*self.front.as_ptr()).header,
                signals,
                counts,
                apps: slice::from_raw_parts_mut(self.at(places.apps), sizes.apps),
                workers: slice::from_raw_parts_mut(self.at(places.workers), sizes.workers),
                waits: slice::from_raw_parts_mut(self.at(places.waits), sizes.waits),
                slots: slice::from_raw_parts_mut(self.at(places.slots), sizes.slots),
                now,
                effects: Effects::default(),
            }
        }
    }

    fn carry_out(&self, effects: &Effects) {
        doorbell::wake(self, effects.wake);
        if effects.repaired {
            write(cycle_log(), &WorkerLine::Repaired);
        }
        if let Some((name, pause, state)) = effects.rolled_back {
            let event = PauseEvent::RolledBack { pause, state: Word::of(state) };
            write(cycle_log(), &About(&name, event));
        }
        if let Some((name, drained)) = effects.drained {
            write(cycle_log(), &About(&name, PauseEvent::Drained(drained)));
        }
        if let Some((name, unreported)) = effects.unreported {
            write_rest(cycle_log(), &name, unreported);
        }
    }
}

/// Says what happened to a pause, and what no line has said yet of the app's requests.
pub(crate) fn write_event(log: *mut ngx_log_t, name: &AppName, event: PauseEvent<'_>) {
    write(log, &About(name, event));
    if let Some(unreported) = event.unreported() {
        write_rest(log, name, unreported);
    }
}

fn write_rest(log: *mut ngx_log_t, name: &AppName, unreported: Unreported) {
    RequestEvent::rest(unreported).for_each(|event| write(log, &About(name, event)));
}

// The tables follow each other without gaps.
const _: () = assert!(align_of::<App>() <= 8 && size_of::<App>().is_multiple_of(8));
const _: () = assert!(align_of::<Worker>() <= 8 && size_of::<Worker>().is_multiple_of(8));
const _: () = assert!(align_of::<Wait>() <= 8 && size_of::<Wait>().is_multiple_of(8));
const _: () = assert!(align_of::<Slot>() <= 8 && align_of::<CountCell>() <= 8);

/// nginx's cached time on both clocks.
pub(crate) fn now() -> Now {
    // SAFETY: nginx sets both before anything else, and updates them on this thread only.
    unsafe {
        let time = &*nginx_sys::ngx_cached_time;
        let wall = u64::try_from(time.sec).unwrap_or(0) * 1000 + u64::from(time.msec as u16);
        Now { monotonic: Msec(nginx_sys::ngx_current_msec as u64), wall: Msec(wall) }
    }
}

/// Asks nginx for the zone.
pub(crate) fn add(cf: *mut ngx_conf_t) -> Result<(), Failed> {
    let conf = conf::main_conf_of(cf).ok_or(Failed)?;
    let mut name = NAME;
    // SAFETY: nginx passes a live cf; the name is copied as a pointer to a literal.
    let zone = unsafe {
        let tag = module::this().cast();
        ngx_shared_memory_add(cf, &mut name, conf.zone_size, tag).as_mut().ok_or(Failed)?
    };
    zone.init = Some(init);
    zone.data = (conf as *mut MainConf).cast();
    Ok(())
}

/// The zone is there: new, or that of the configuration before.
extern "C" fn init(shm_zone: *mut ngx_shm_zone_t, old: *mut c_void) -> ngx_int_t {
    // SAFETY: nginx passes the zone that add asked for, with our own MainConf.
    let (shm_zone, conf) = unsafe { (&*shm_zone, &mut *(*shm_zone).data.cast::<MainConf>()) };
    // SAFETY: when nginx tests a configuration only, it says so from the start.
    let testing = unsafe { nginx_sys::ngx_test_config } != 0;
    conf.before.set(old.cast());
    // SAFETY: the cycle that is being set up has its own log by now; ngx_cycle is the one before.
    let log = unsafe { (*conf.cycle).log };
    match take(shm_zone, conf, testing) {
        Ok(zone) => {
            conf.zone = Some(zone);
            match conf.state_path.filter(|path| !path.is_empty()) {
                Some(path) if testing => StateFile::test(path.as_bytes(), log),
                Some(path) => {
                    let restore = if old.is_null() { Restore::Pauses } else { Restore::Nothing };
                    conf.state = Some(StateFile::open(path.as_bytes(), &zone, restore, log));
                }
                None => {}
            }
            NGX_OK as ngx_int_t
        }
        Err(problem) => {
            write(log, &problem);
            NGX_ERROR as ngx_int_t
        }
    }
}

fn take(
    shm_zone: &ngx_shm_zone_t,
    conf: &mut MainConf,
    testing: bool,
) -> Result<SharedZone, Refused<'static>> {
    event_method(conf.cycle)?;
    let pool =
        NonNull::new(shm_zone.shm.addr.cast::<ngx_slab_pool_t>()).ok_or(Refused::TooSmall)?;
    let zone = if !conf.before.get().is_null() {
        // SAFETY: the zone has been carved, which left its front here.
        let front = unsafe { (*pool.as_ptr()).data.cast::<Front>() };
        SharedZone::attach(pool, NonNull::new(front).ok_or(Refused::TooSmall)?)
    } else {
        let replaced = retire_the_old_one()?;
        let before = replaced.as_ref().map_or(0, |old| old.0.visit(|zone| zone.pauses()));
        conf.replaced.set(replaced);
        let zone =
            SharedZone::carve(pool, conf::worker_processes(conf.cycle)).ok_or(Refused::TooSmall)?;
        let first = PauseId::before_first(now().wall);
        zone.visit(|zone| zone.pauses_seen(before.max(first.0)));
        if !testing {
            let (bells, roll) = (
                OpenBells::new().map_err(Refused::NoBells)?,
                Roll::new().map_err(Refused::NoRoll)?,
            );
            // SAFETY: no worker of this zone is forked yet; nobody reads these.
            let front = unsafe { &mut *zone.front.as_ptr() };
            (front.bells, front.roll) = (bells.numbers(), roll.number());
            conf.bells.set(Some(bells));
            conf.roll.set(Some(roll));
        }
        zone
    };
    Ok(zone)
}

/// The newest configuration's, in the master; a worker has what it was when the master forked it.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Which configuration's this process is.
pub(crate) fn generation() -> Generation {
    Generation(GENERATION.load(Ordering::Relaxed))
}

/// The configuration has been accepted: the workers that are forked from now on serve it.
pub(crate) extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes the live cycle, and has set the flag before it read any configuration.
    let (conf, testing) = unsafe { (conf::main_conf_in(&*cycle), nginx_sys::ngx_test_config != 0) };
    let Some(conf) = conf.filter(|_| !testing) else { return NGX_OK as ngx_int_t };
    if let Some(zone) = conf.zone {
        let newest = zone.visit(|zone| zone.next_generation());
        GENERATION.store(newest.0, Ordering::Relaxed);
        let replaced = conf.replaced.take();
        if let Some(Retired(old)) = &replaced {
            old.file().retire();
        }
        core::mem::forget(replaced);
        match &conf.state {
            // SAFETY: nginx passes the live cycle, which is not ngx_cycle yet.
            Some(state) => state.take_over(&zone, unsafe { (*cycle).log }),
            None => StateFile::give_up(&zone),
        }
    }
    // SAFETY: the configuration before lives until this one has taken its place.
    if let Some(before) = unsafe { conf.before.replace(core::ptr::null()).as_ref() } {
        conf.bells.set(before.bells.take());
        conf.roll.set(before.roll.take());
    }
    NGX_OK as ngx_int_t
}

/// All workers are gone: says how many requests were answered because of that.
pub(crate) extern "C" fn exit_master(cycle: *mut ngx_cycle_t) {
    // SAFETY: nginx passes the live cycle.
    let (conf, log) = unsafe { (conf::main_conf_in(&*cycle), (*cycle).log) };
    if let Some(zone) = conf.and_then(|conf| conf.zone) {
        say_who_was_turned_away(&zone, log);
    }
}

/// Says how many requests were answered because nginx quits, and was not said before.
pub(crate) fn say_who_was_turned_away(zone: &SharedZone, log: *mut ngx_log_t) {
    while let Some((name, count)) = zone.visit(|zone| zone.turned_away_by_quit()) {
        write(log, &About(&name, PauseEvent::Quit { count }));
    }
}

/// Only with epoll is a doorbell heard by all who wait for it.
fn event_method(cycle: *mut ngx_cycle_t) -> Result<(), Refused<'static>> {
    // SAFETY: the cycle's configuration has been read, which always makes the event core's.
    let name = unsafe {
        let events = (*cycle).conf_ctx.add(nginx_sys::ngx_events_module.index).read();
        let table = events.read().cast::<*mut ngx_event_conf_t>();
        let conf = table.add(nginx_sys::ngx_event_core_module.ctx_index).read();
        core::ffi::CStr::from_ptr((*conf).name.cast()).to_bytes()
    };
    if name == b"epoll" {
        Ok(())
    } else {
        Err(Refused::NotEpoll(name))
    }
}

/// If the running configuration has a zone of this name, no pause begins there any more. It is not
/// the new one: nginx keeps it only where size and module are the same.
fn retire_the_old_one() -> Result<Option<Retired>, Refused<'static>> {
    // SAFETY: while a configuration is read, ngx_cycle is the one before; its list of zones is
    // walked as nginx does. A zone of our name has been carved by a build of this module.
    unsafe {
        let mut part: *const nginx_sys::ngx_list_part_t =
            &(*nginx_sys::ngx_cycle).shared_memory.part;
        while let Some(some) = part.as_ref() {
            let zones = some.elts.cast::<ngx_shm_zone_t>();
            for index in 0..some.nelts {
                let zone = &*zones.add(index);
                if zone.shm.name.as_bytes() != NAME.as_bytes() || zone.shm.addr.is_null() {
                    continue;
                }
                let front = (*zone.shm.addr.cast::<ngx_slab_pool_t>()).data.cast::<Front>();
                if let Some(front) = front.as_ref() {
                    return retire(zone, front);
                }
            }
            part = some.next;
        }
    }
    Ok(None)
}

fn retire(zone: &ngx_shm_zone_t, front: &Front) -> Result<Option<Retired>, Refused<'static>> {
    if zone.tag != module::this().cast() {
        // Another build's: all that can be told is whether any app is not open.
        let not_open = front.not_open.load(Ordering::Relaxed) != 0;
        return if not_open { Err(Refused::Occupied) } else { Ok(None) };
    }
    let pool = NonNull::new(zone.shm.addr.cast::<ngx_slab_pool_t>()).ok_or(Refused::TooSmall)?;
    let old = SharedZone::attach(pool, NonNull::from(front));
    if old.visit(|zone| zone.retire()) {
        Ok(Some(Retired(old)))
    } else {
        Err(Refused::Occupied)
    }
}

/// The zone that a new configuration replaces. Unless that is accepted, the old one goes on.
pub(crate) struct Retired(SharedZone);

impl Drop for Retired {
    fn drop(&mut self) {
        self.0.visit(|zone| zone.reinstate());
    }
}
