//! What all workers share: the tables of apps, workers, waiting callers and held requests.
//!
//! A [`Zone`] is borrowed for one visit under the lock. Its methods change the tables, and note in
//! [`Effects`] what is to be done when the lock is released. A worker may be killed between any two
//! writes: then the next visit finds [`Header::dirty`] set, and repairs the tables first.
#![forbid(unsafe_code)]

mod repair;

mod ask;
mod away;
mod hold;
mod in_flight;
mod operate;
mod provisional;
mod release;
mod wait;
mod workers;

#[cfg(any(test, loom))]
pub mod owned;
#[cfg(test)]
mod tests;

pub use ask::PATIENCE;
pub use away::{Absence, Came, TakenBack, Unseen};
pub use hold::{Arrival, DepartReason, Departure};
pub use operate::{Expected, Intent, Opened, Paused, Refusal};
pub use release::{Given, Release, Spare, Turn};
pub use wait::{Deadline, Remaining, WaitResult};
pub use workers::Unlisted;

use crate::flag::Flag;
use crate::ids::{AppId, Epoch, Generation, NameHash, PauseId, SlotId, WorkerId};
use crate::shared::app::{App, Drained, State, Unreported};
use crate::shared::in_flight::CountTable;
use crate::shared::signals::SignalsWriter;
use crate::shared::slots::{Held, List, Slot};
use crate::shared::waiters::Wait;
use crate::shared::workers::Worker;
use crate::sync::crash_point;
use crate::text::AppName;
use crate::time::{Msec, Now};

/// The words of the zone that belong to no table.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Set during a visit. If a visit finds it set, a worker has died in its own.
    dirty: Flag,
    /// The newest configuration.
    generation: Generation,
    /// The number of the newest pause of any app.
    pauses: u64,
    /// Changes with everything that the state file keeps.
    version: u64,
    /// Whether an app has something to report.
    reports_due: Flag,
    /// Whether nginx quits.
    quitting: Flag,
    /// Whether a newer configuration has a zone of its own.
    retired: Flag,
    /// The newest question to all workers.
    asked: Epoch,
    /// When it was asked, on the monotonic clock.
    asked_at: Msec,
    /// How often a worker was without an entry.
    unlisted: u64,
    /// The value that `unlisted` had when no living worker was without an entry, the last time that
    /// this was checked.
    listed: u64,
    /// How many slots were ever used. Those behind them are still all zero, as the memory came.
    touched: u32,
    /// Where the last slot was that a released request lost.
    last_spared: usize,
    /// The free ones of the slots that were ever used.
    free: List,
}

impl Header {
    /// The header of a new zone.
    pub const NEW: Self = Self {
        dirty: Flag::OFF,
        generation: Generation(0),
        pauses: 0,
        version: 0,
        reports_due: Flag::OFF,
        quitting: Flag::OFF,
        retired: Flag::OFF,
        asked: Epoch(0),
        asked_at: Msec(0),
        unlisted: 0,
        listed: 0,
        touched: 0,
        last_spared: 0,
        free: List::EMPTY,
    };

    /// Whether the app's held requests are turned away, and all that come.
    fn turns_away(&self, app: &App) -> bool {
        match app.state() {
            State::Stopped => true,
            State::Paused => self.quitting.is_on(),
            State::Open | State::Draining { .. } => false,
        }
    }

    /// A free slot, taken out of the list; or else one that was never used. None if all are in use.
    fn free_slot(&mut self, slots: &mut [Slot]) -> Option<SlotId> {
        if let Some(slot) = self.free.pop(slots) {
            return Some(slot);
        }
        let fresh = self.touched as usize;
        *slots.get_mut(fresh)? = Slot::FREE;
        crash_point();
        self.touched += 1;
        Some(SlotId::at(fresh))
    }

    /// The slots that were ever used.
    fn used<'s>(&self, slots: &'s mut [Slot]) -> &'s mut [Slot] {
        let touched = (self.touched as usize).min(slots.len());
        slots.get_mut(..touched).unwrap_or_default()
    }
}

/// The tables of the zone, for one visit under the lock.
#[derive(Debug)]
pub struct Zone<'z> {
    pub header: &'z mut Header,
    pub signals: SignalsWriter<'z>,
    pub counts: CountTable<'z>,
    pub apps: &'z mut [App],
    pub workers: &'z mut [Worker],
    pub waits: &'z mut [Wait],
    pub slots: &'z mut [Slot],
    pub now: Now,
    pub effects: Effects,
}

/// What is to be done when the lock has been released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub wake: Wake,
    /// A drain that has ended, for the log. Others may follow with the next visits.
    pub drained: Option<(AppName, Drained)>,
    /// An app that is away since this visit, or no longer, for the log.
    pub absence: Option<(AppName, Absence)>,
    /// A pause that was rolled back, for the log. Others may follow.
    pub rolled_back: Option<(AppName, PauseId, State)>,
    /// Counts of rejected, expired and failed requests, for the log. Others may follow.
    pub unreported: Option<(AppName, Unreported)>,
    /// A worker had died in its visit, and the tables were repaired.
    pub repaired: bool,
}

/// The workers to wake: they may have something to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wake {
    #[default]
    Nobody,
    One(WorkerId),
    All,
}

impl Wake {
    /// Those that one or the other wakes. Two workers are all of them.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, one) | (one, Self::Nobody) => one,
            (one, other) if one == other => one,
            _ => Self::All,
        }
    }
}

impl<'z> Zone<'z> {
    /// Makes all tables empty. The memory of the slots must be all zero, or of valid slots.
    pub fn reset(&mut self) {
        *self.header = Header::NEW;
        self.apps.fill(App::UNUSED);
        self.workers.fill(Worker::default());
        self.waits.fill(Wait::FREE);
        self.rebuild();
    }

    /// Begins a visit. The caller holds the lock.
    pub fn enter(&mut self) {
        if self.header.dirty.is_on() {
            self.rebuild();
            self.effects.repaired = true;
            self.effects.wake = Wake::All;
        }
        self.header.dirty = Flag::ON;
        crash_point();
    }

    /// Ends the visit. The caller then releases the lock.
    pub fn leave(mut self) -> Effects {
        if self.header.reports_due.is_on() {
            self.report();
        }
        crash_point();
        self.header.dirty = Flag::OFF;
        self.effects
    }

    /// Notes in the effects what one app has to report, of either kind.
    fn report(&mut self) {
        let mut reports_due = self.apps.iter_mut().filter(|app| app.owes_report());
        if let Some(app) = reports_due.next() {
            let name = app.name().copied().unwrap_or(AppName::EMPTY);
            self.effects.drained = app.take_drained().map(|drained| (name, drained));
            self.effects.rolled_back =
                app.take_rolled_back().map(|pause| (name, pause, app.state()));
        }
        let more = reports_due.next().is_some();
        let mut reports_due = self.apps.iter_mut().filter(|app| app.has_unreported());
        if let Some(app) = reports_due.next() {
            let name = app.name().copied().unwrap_or(AppName::EMPTY);
            self.effects.unreported = Some((name, app.take_unreported()));
        }
        self.header.reports_due = Flag::from(more || reports_due.next().is_some());
    }

    /// The entry of the app of this name.
    pub fn find(&self, name: &AppName) -> Option<AppId> {
        self.apps.iter().position(|app| app.name() == Some(name)).map(AppId::at)
    }

    /// All apps that have an entry, with the hashes of their names.
    pub fn apps_by_hash(&self) -> impl Iterator<Item = (NameHash, AppId)> + '_ {
        let apps = self.apps.iter().enumerate();
        apps.filter_map(|(at, app)| Some((NameHash::of(app.name()?.as_bytes()), AppId::at(at))))
    }

    pub fn app(&self, id: AppId) -> Option<&App> {
        self.apps.get(id.index())
    }

    /// The newest pause of the app of this name; 0 if it had none.
    pub fn pause(&self, name: &AppName) -> PauseId {
        self.find(name).and_then(|id| self.app(id)).map_or(PauseId(0), App::pause)
    }

    pub fn slots_used(&self) -> u32 {
        self.header.touched.saturating_sub(self.header.free.len)
    }

    /// How many more requests can be held: bounded by the slots that are free or that released requests
    /// can spare, and by the room of all workers together.
    pub fn room(&self) -> u32 {
        let free = self.slots.len().saturating_sub(self.slots_used() as usize);
        let free = u32::try_from(free).unwrap_or(u32::MAX);
        let spared = self.apps.iter().filter(|app| app.spares_slots()).map(|app| app.unfinished);
        spared
            .fold(free, u32::saturating_add)
            .min(crate::shared::workers::room(self.workers, self.header.generation))
    }

    /// The first request in an app's line.
    pub fn head(&self, id: AppId) -> Option<Held> {
        self.slots.get(self.app(id)?.line.head.index())?.held()
    }

    /// Retires the zone, because a newer configuration has one of its own: no pause begins here any
    /// more. Returns false, and does nothing, if an app is not open or holds a request.
    pub fn retire(&mut self) -> bool {
        let busy = |app: &App| app.state() != State::Open || app.line.len > 0;
        self.header.retired = Flag::from(!self.apps.iter().any(busy));
        self.header.retired.is_on()
    }

    /// Undoes [`Self::retire`]: the newer configuration is not used.
    pub fn reinstate(&mut self) {
        self.header.retired = Flag::OFF;
    }
}

impl Effects {
    pub(super) fn wake_also(&mut self, worker: WorkerId) {
        self.wake = self.wake.and(Wake::One(worker));
    }

    /// This worker alone need not be woken: it asks again anyway.
    pub(super) fn wake_no_more(&mut self, worker: WorkerId) {
        if self.wake == Wake::One(worker) {
            self.wake = Wake::Nobody;
        }
    }
}
