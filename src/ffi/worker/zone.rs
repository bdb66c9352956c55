//! The zone: shared memory that is carved once, and then lent to the core under nginx's own lock.

use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};
use core::{mem, ptr};

use super::doorbell::{self, Bells, Doors};
use super::file_status::FileStatus;
use super::layout::{Front, Layout, Sizes, Table};
use super::lock::Locked;

use nginx_sys::ngx_log_t;

use crate::ffi::nginx::cycle::{self, now};
use crate::ffi::nginx::log::write;
use crate::ffi::nginx::shm::SlabPool;
use crate::ffi::os::fd::Fd;
use crate::log_lines::absences::AbsenceEvent;
use crate::log_lines::pauses::PauseEvent;
use crate::log_lines::requests::RequestEvent;
use crate::log_lines::workers::WorkerLine;
use crate::log_lines::About;
use crate::shared::app::Unreported;
use crate::shared::in_flight::CountTable;
use crate::shared::signals::{Signals, SignalsWriter};
use crate::shared::word::Word;
use crate::text::AppName;
use crate::zone::{Effects, Zone};

/// The zone, as a process knows it.
#[derive(Clone, Copy)]
pub(crate) struct SharedZone {
    pool: SlabPool,
    /// Where the front begins. The tables lie behind the front.
    begin: *mut c_void,
    front: &'static Front,
    layout: Layout,
}

impl SharedZone {
    /// The smallest size of a zone, in bytes.
    pub(crate) const LEAST: usize = 128 << 10;

    /// Carves a new zone. `processes` is how many worker processes are configured. Returns None if the
    /// zone is too small.
    pub(crate) fn carve(pool: SlabPool, processes: usize) -> Option<Self> {
        let bytes = pool.take_all()?;
        let front = Self::front(pool)?;
        front.sizes.set(Sizes::for_bytes(bytes, processes));
        let zone = Self::attach(pool)?;
        zone.visit(|zone| zone.reset());
        Some(zone)
    }

    /// A zone that this build of the module has carved. None if it has not been carved.
    pub(crate) fn attach(pool: SlabPool) -> Option<Self> {
        let front = Self::front(pool)?;
        Some(Self { pool, begin: pool.data(), front, layout: front.sizes.get().layout() })
    }

    /// What the zone begins with. None if it has not been carved.
    fn front(pool: SlabPool) -> Option<&'static Front> {
        // SAFETY: null, or what `take_all` left there for this build: memory for a front, aligned to a
        // page, all zero at first. All zero is a front; its parts are atomics or in cells.
        unsafe { pool.data().cast::<Front>().as_ref() }
    }

    /// How many apps are not open in a zone that another build of the module has carved: the front of
    /// each build begins with that. None if it has not been carved.
    pub(crate) fn not_open_in_another_build(pool: SlabPool) -> Option<u32> {
        // SAFETY: null, or what that build's `take_all` left there: its front begins with this atomic.
        let not_open = unsafe { pool.data().cast::<AtomicU32>().as_ref() };
        not_open.map(|not_open| not_open.load(Ordering::Relaxed))
    }

    /// The words that are read without the lock.
    pub(crate) fn signals(&self) -> Signals<'static> {
        let front = self.front;
        Signals {
            not_open: &front.not_open,
            names: self.words(self.layout.names),
            notices: self.words(self.layout.notices),
            moving: &front.moving,
            heard: &front.heard,
            expiries: &front.expiries,
            lease: &front.lease,
            epoch: &front.epoch,
            endings: &front.endings,
            changes: &front.changes,
            waiting: &front.waiting,
            state_file: &front.state_file,
        }
    }

    /// What the workers count.
    pub(crate) fn counts(&self) -> CountTable<'static> {
        CountTable {
            notices: self.words(self.layout.notices),
            counts: self.words(self.layout.counts),
            apps: self.layout.apps.count,
        }
    }

    /// A table that is read and written without the lock.
    fn words<T>(&self, table: Table<T>) -> &'static [T] {
        // SAFETY: the callers' tables were carved for these types, which are atomics or have nothing else.
        // No visit makes an exclusive reference to them.
        unsafe { &*self.table(table) }
    }

    /// What all workers know of the state file.
    pub(crate) fn file(&self) -> &'static FileStatus {
        &self.front.file
    }

    /// How many workers there may be at a time.
    pub(crate) fn max_workers(&self) -> usize {
        self.layout.workers.count
    }

    /// How many apps there may be.
    pub(crate) fn max_apps(&self) -> usize {
        self.layout.apps.count
    }

    /// The doorbells.
    pub(crate) fn bells(&self) -> &'static Bells {
        &self.front.bells
    }

    /// How workers are told that they may have something to do.
    pub(crate) fn doors(&self) -> Doors {
        Doors { bells: self.bells(), notices: self.signals().notices }
    }

    /// The roll of the workers that have no entry.
    pub(crate) fn roll(&self) -> Fd {
        Fd(self.front.roll.load(Ordering::Relaxed))
    }

    /// The roll is this file from now on. Only while no worker of the zone is forked.
    pub(crate) fn set_roll(&self, roll: Fd) {
        self.front.roll.store(roll.0, Ordering::Relaxed);
    }

    /// As [`Self::visit`], but wakes workers only after this turn of the event loop.
    pub(crate) fn visit_and_wake_soon<R>(&self, f: impl FnOnce(&mut Zone<'_>) -> R) -> R {
        let (result, mut effects) = self.lend(f);
        doorbell::wake_soon(self.doors(), mem::take(&mut effects.wake));
        self.carry_out(&effects);
        result
    }

    /// Lends the tables to `f` under the lock. Then, without the lock, wakes workers and writes log
    /// lines as the tables ask for. `f` must not log, allocate, release or end a request, or visit
    /// again.
    pub(crate) fn visit<R>(&self, f: impl FnOnce(&mut Zone<'_>) -> R) -> R {
        let (result, effects) = self.lend(f);
        self.carry_out(&effects);
        result
    }

    fn lend<R>(&self, f: impl FnOnce(&mut Zone<'_>) -> R) -> (R, Effects) {
        let now = now();
        let locked = Locked::new(self.pool, &self.front.holder);
        #[cfg(feature = "faults")]
        super::faults::arm_if_told();
        let Layout { apps, workers, waits, slots, .. } = self.layout;
        // SAFETY: the lock keeps other processes out, and this process is in no other visit: these are
        // the only references to the header and the tables. All of them were valid as zeroed memory,
        // and only visits change them.
        let mut zone = unsafe {
            Zone {
                header: &mut *self.front.header.get(),
                signals: SignalsWriter::new(self.signals()),
                counts: self.counts(),
                apps: &mut *self.table(apps),
                workers: &mut *self.table(workers),
                waits: &mut *self.table(waits),
                slots: &mut *self.table(slots),
                now,
                effects: Effects::default(),
            }
        };
        zone.enter();
        let result = f(&mut zone);
        let effects = zone.leave();
        drop(locked);
        (result, effects)
    }

    fn table<T>(&self, table: Table<T>) -> *mut [T] {
        let first = self.begin.wrapping_byte_add(table.offset);
        ptr::slice_from_raw_parts_mut(first.cast(), table.count)
    }

    fn carry_out(&self, effects: &Effects) {
        doorbell::wake(self.doors(), effects.wake);
        if effects.repaired {
            write(cycle::log(), &WorkerLine::Repaired);
        }
        if let Some((name, absence)) = effects.absence {
            write(cycle::log(), &About(&name, AbsenceEvent(absence)));
        }
        if let Some((name, pause, state)) = effects.rolled_back {
            let event = PauseEvent::RolledBack { pause, state: Word::of(state) };
            write(cycle::log(), &About(&name, event));
        }
        if let Some((name, drained)) = effects.drained {
            write(cycle::log(), &About(&name, PauseEvent::Drained(drained)));
        }
        if let Some((name, unreported)) = effects.unreported {
            write_rest(cycle::log(), &name, unreported);
        }
    }
}

/// Logs what happened to a pause, and then what no line has said yet of the app's requests.
pub(crate) fn write_event(log: *mut ngx_log_t, name: &AppName, event: PauseEvent<'_>) {
    write(log, &About(name, event));
    if let Some(unreported) = event.unreported() {
        write_rest(log, name, unreported);
    }
}

fn write_rest(log: *mut ngx_log_t, name: &AppName, unreported: Unreported) {
    RequestEvent::rest(unreported).for_each(|event| write(log, &About(name, event)));
}

/// The zone that a new configuration replaces: no pause begins there. When this is dropped, pauses may
/// begin there again, because the new configuration was refused. One that is accepted forgets it.
pub(crate) struct Retired(pub SharedZone);

impl Drop for Retired {
    fn drop(&mut self) {
        self.0.visit(|zone| zone.reinstate());
    }
}
