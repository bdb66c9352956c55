//! What all workers share: apps, their lines, the slots of those held, the workers themselves.
//!
//! A [`Zone`] is borrowed for one visit under the lock. Its methods change the tables and note in
//! [`Effects`] what is to be done once the lock is released. A worker may be killed between any
//! two writes: the next visit then finds [`Header::inside`] set and repairs the tables first.
#![forbid(unsafe_code)]

use crate::app::{App, Drained, Enable, Ended, Now, State};
use crate::gates::{Gates, NameHash};
use crate::ids::{AppId, Cookie, PauseId, Process, SlotId, Ticket, WorkerId};
use crate::queue::{self, Held, List, Slot};
use crate::sync::step;
use crate::text::{AppName, Reason};
use crate::workers::{self, Worker};

/// The zone's own words.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Header {
    inside: u32,
    generation: u32,
    pauses: u64,
    owing: u32,
    free: List,
}

impl Header {
    /// Of a zone whose tables are new.
    pub const NEW: Self = Self {
        inside: 0,
        generation: 0,
        pauses: 0,
        owing: 0,
        free: List::EMPTY,
    };
}

/// The tables, for one visit under the lock.
#[derive(Debug)]
pub struct Zone<'z> {
    pub header: &'z mut Header,
    pub gates: Gates<'z>,
    pub apps: &'z mut [App],
    pub workers: &'z mut [Worker],
    pub slots: &'z mut [Slot],
    pub now: Now,
    pub effects: Effects,
}

/// What is to be done when the lock is released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub wake: Wake,
    /// A drain that ended and is to be logged; more may wait for the next visit.
    pub drained: Option<(AppName, Drained)>,
    /// A worker had died inside; the tables were repaired.
    pub repaired: bool,
}

/// Whom to wake: they may have become able to release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wake {
    #[default]
    Nobody,
    One(WorkerId),
    All,
}

/// What becomes of a request that comes while its app may not be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It goes on.
    Passes,
    /// It waits, with so many ahead of it.
    Held {
        slot: SlotId,
        ticket: Ticket,
        ahead: u32,
    },
    /// There is no room; where a line in the log is due, so many were turned away.
    Rejected { report: Option<u32> },
}

/// Why a held request gives up its place without having been released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Its client closed the connection.
    Left,
    /// It was held for its max_time and is now passed on.
    Passed,
    /// It was held for its max_time and is now answered.
    Answered,
}

/// What becomes of a held request that wants to give up its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It is out of the line; where a line in the log is due, so many expired.
    Gone { report: Option<u32> },
    /// It is its app's drain: its turn comes, and nobody is passed on out of turn.
    Stays,
}

/// What `enable` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enabled {
    /// A pause began.
    Begun(PauseId),
    /// The pause under way has another reason.
    Changed,
    /// It is as it was.
    Unchanged,
}

/// Why a verb changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was to touch another pause than the one there is.
    OtherPause,
    /// It was to begin a pause, and the app is not open.
    NotOpen,
    /// The table of apps is full.
    Full,
}

/// Which pause a verb is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    #[default]
    Any,
    /// The one with this number.
    This(PauseId),
    /// One that is yet to begin.
    New,
}

impl<'z> Zone<'z> {
    /// Makes the tables those of a zone that nobody has used.
    pub fn reset(&mut self) {
        *self.header = Header::NEW;
        self.apps.fill(App::UNUSED);
        self.workers.fill(Worker::default());
        self.slots.fill(Slot::FREE);
        self.rebuild();
    }

    /// Begins a visit; the lock is held.
    pub fn enter(&mut self) {
        if self.header.inside != 0 {
            self.rebuild();
            self.effects.repaired = true;
            self.effects.wake = Wake::All;
        }
        self.header.inside = 1;
        step();
    }

    /// Ends the visit.
    pub fn leave(mut self) -> Effects {
        if self.header.owing != 0 {
            self.report();
        }
        step();
        self.header.inside = 0;
        self.effects
    }

    /// Notes one of the drains that ended.
    fn report(&mut self) {
        let mut owing = self.apps.iter_mut().filter(|app| app.owes_report());
        if let Some(app) = owing.next() {
            let name = app.name().copied().unwrap_or(AppName::EMPTY);
            self.effects.drained = app.report().map(|drained| (name, drained));
        }
        self.header.owing = u32::from(owing.next().is_some());
    }

    /// The app of this name.
    pub fn find(&self, name: &AppName) -> Option<AppId> {
        self.apps
            .iter()
            .position(|app| app.name() == Some(name))
            .map(AppId::at)
    }

    /// An app's entry.
    pub fn app(&self, id: AppId) -> Option<&App> {
        self.apps.get(id.index())
    }

    /// The newest pause of the app of this name; 0 before its first.
    pub fn pause(&self, name: &AppName) -> PauseId {
        self.find(name)
            .and_then(|id| self.app(id))
            .map_or(PauseId(0), App::pause)
    }

    /// How many slots are in use.
    pub fn slots_used(&self) -> u32 {
        u32::try_from(self.slots.len())
            .unwrap_or(u32::MAX)
            .saturating_sub(self.header.free.len)
    }

    /// The first in an app's line.
    pub fn head(&self, id: AppId) -> Option<Held> {
        self.slots.get(self.app(id)?.line.head.index())?.held()
    }

    /// Whether any app is not open or has anybody in line.
    pub fn busy(&self) -> bool {
        self.apps
            .iter()
            .any(|app| app.state() != State::Open || app.line.len > 0)
    }
}

/// Holding.
impl Zone<'_> {
    /// A request of the app `name` comes, `id` being what the gates gave for it.
    pub fn arrive(
        &mut self,
        id: AppId,
        name: &AppName,
        owner: WorkerId,
        cookie: Cookie,
    ) -> Arrival {
        let now = self.now.monotonic;
        let Some(app) = self
            .apps
            .get_mut(id.index())
            .filter(|app| app.name() == Some(name))
        else {
            return Arrival::Passes;
        };
        if app.state() == State::Open {
            return Arrival::Passes;
        }
        let owned = self.workers.get_mut(owner.index());
        let room = owned.filter(|worker| worker.process().is_some());
        let room = room.and_then(|worker| Some((worker, self.header.free.pop(self.slots)?)));
        let Some((worker, slot)) = room else {
            app.totals.rejected += 1;
            return Arrival::Rejected {
                report: app.rejections.add(now),
            };
        };
        let held = Held {
            app: id,
            ticket: app.ticket(),
            owner,
            cookie,
            since: now,
        };
        if let Some(place) = self.slots.get_mut(slot.index()) {
            place.fill(held);
        }
        let ahead = app.line.len;
        app.line.push(self.slots, slot);
        app.totals.held += 1;
        worker.held += 1;
        self.publish(id);
        Arrival::Held {
            slot,
            ticket: held.ticket,
            ahead,
        }
    }

    /// A request goes by because of what it is; `id` and `name` as for [`Self::arrive`].
    pub fn bypass(&mut self, id: AppId, name: &AppName) -> bool {
        let app = self
            .apps
            .get_mut(id.index())
            .filter(|app| app.name() == Some(name));
        let Some(app) = app.filter(|app| app.state() != State::Open) else {
            return false;
        };
        app.totals.bypassed += 1;
        true
    }

    /// The request that `owner` holds in `slot` and knows as `cookie` wants to give up its place.
    pub fn depart(
        &mut self,
        slot: SlotId,
        owner: WorkerId,
        cookie: Cookie,
        why: Leaving,
    ) -> Departure {
        let held = self.slots.get(slot.index()).and_then(Slot::held);
        let Some(held) = held.filter(|held| held.owner == owner && held.cookie == cookie) else {
            return Departure::Gone { report: None };
        };
        let Some(app) = self.apps.get_mut(held.app.index()) else {
            return Departure::Gone { report: None };
        };
        if why == Leaving::Passed && app.releases() {
            return Departure::Stays;
        }
        let report = match why {
            Leaving::Left => {
                app.totals.left += 1;
                None
            }
            Leaving::Passed | Leaving::Answered => {
                app.totals.expired += 1;
                app.expiries.add(self.now.monotonic)
            }
        };
        self.vacate(slot);
        self.settle(held.app);
        Departure::Gone { report }
    }
}

/// Releasing: the baton.
impl Zone<'_> {
    /// Gives `me` the baton of an app whose line begins with requests of `me`, and takes at most
    /// `most` of them out of the line, in their order. Apps take turns, from the one behind `last`.
    /// A worker is woken once for all its apps: it asks again after each run, until there is none.
    pub fn take_run(
        &mut self,
        me: WorkerId,
        last: AppId,
        most: u32,
        mut each: impl FnMut(Cookie),
    ) -> Option<AppId> {
        let gates = self.gates;
        let id = gates.moving_after(last).find(|id| {
            let free = self
                .app(*id)
                .is_some_and(|app| app.releases() && !app.baton.is_some());
            free && self.head(*id).is_some_and(|head| head.owner == me)
        })?;
        if let Some(app) = self.apps.get_mut(id.index()) {
            app.run = 0;
            app.baton = me;
            step();
        }
        for _ in 0..most {
            let Some(head) = self.head(id).filter(|head| head.owner == me) else {
                break;
            };
            let Some(app) = self.apps.get_mut(id.index()) else {
                break;
            };
            app.run += 1;
            let slot = app.line.head;
            self.vacate(slot);
            each(head.cookie);
        }
        self.publish(id);
        Some(id)
    }

    /// `me` is done with its run: so many were passed on, so many left before their turn.
    pub fn give_back(&mut self, id: AppId, me: WorkerId, passed_on: u32, left: u32) {
        let Some(app) = self.apps.get_mut(id.index()).filter(|app| app.baton == me) else {
            return;
        };
        app.totals.released += u64::from(passed_on);
        app.totals.left += u64::from(left);
        app.run = 0;
        step();
        app.baton = WorkerId::NONE;
        step();
        self.settle(id);
    }
}

/// The operator's verbs.
impl Zone<'_> {
    /// Pauses the app `name`, or changes its pause.
    pub fn enable(
        &mut self,
        name: &AppName,
        which: Which,
        by: crate::text::Address,
        reason: Option<Reason>,
    ) -> Result<Enabled, Refusal> {
        let known = self.find(name);
        let app = known.and_then(|id| self.app(id));
        let (state, pause) =
            app.map_or((State::Open, PauseId(0)), |app| (app.state(), app.pause()));
        match which {
            Which::Any => {}
            Which::New if state == State::Open => {}
            Which::New => return Err(Refusal::NotOpen),
            Which::This(id) if id == pause && state == State::Paused => {}
            Which::This(_) => return Err(Refusal::OtherPause),
        }
        let id = match known {
            Some(id) => id,
            None => self.create(name).ok_or(Refusal::Full)?,
        };
        let fresh = PauseId(self.header.pauses + 1);
        let Some(app) = self.apps.get_mut(id.index()) else {
            return Err(Refusal::Full);
        };
        if state == State::Paused {
            let Some(reason) = reason.filter(|reason| *reason != *app.cause().0) else {
                return Ok(Enabled::Unchanged);
            };
            app.explain(reason);
            return Ok(Enabled::Changed);
        }
        self.header.pauses = fresh.0;
        step();
        let reason = reason.unwrap_or(Reason::EMPTY);
        app.begin(&Enable { fresh, by, reason }, self.now);
        self.publish(id);
        Ok(Enabled::Begun(fresh))
    }

    /// Ends the pause of the app `name`; nothing to do where it is not paused.
    pub fn disable(&mut self, name: &AppName, which: Which) -> Result<Option<Ended>, Refusal> {
        let known = self.find(name);
        let pause = known
            .and_then(|id| self.app(id))
            .map_or(PauseId(0), App::pause);
        if matches!(which, Which::This(id) if id != pause) {
            return Err(Refusal::OtherPause);
        }
        let now = self.now;
        let paused = known.and_then(|id| Some((id, self.apps.get_mut(id.index())?)));
        let Some((id, app)) = paused.filter(|(_, app)| app.state() == State::Paused) else {
            return Ok(None);
        };
        let ended = app.end(now);
        self.settle(id);
        self.effects.wake = Wake::All;
        Ok(Some(ended))
    }

    /// An entry for a new app: an unused one, else that of the app that has been idle longest.
    fn create(&mut self, name: &AppName) -> Option<AppId> {
        let free = self.apps.iter().position(|app| app.name().is_none());
        let idle = self.apps.iter().enumerate().filter(|(_, app)| app.idle());
        let oldest = idle
            .min_by_key(|(_, app)| app.since().monotonic)
            .map(|(index, _)| index);
        let index = free.or(oldest)?;
        self.apps.get_mut(index)?.create(*name);
        Some(AppId::at(index))
    }
}

/// Workers that come, leave and die.
impl Zone<'_> {
    /// A reload, or the start: the workers that register from now on serve a newer configuration.
    pub fn next_generation(&mut self) -> u32 {
        self.header.generation = self.header.generation.wrapping_add(1);
        self.header.generation
    }

    /// The newest configuration's number.
    pub fn generation(&self) -> u32 {
        self.header.generation
    }

    /// Gives a worker process its entry; none where the table is full.
    pub fn register(&mut self, process: Process) -> WorkerId {
        workers::register(self.workers, process, self.header.generation)
    }

    /// A worker process is gone: so are those whom it held, and nobody waits for it.
    pub fn bury(&mut self, id: WorkerId, process: Process) {
        if self.workers.get(id.index()).and_then(Worker::process) != Some(process) {
            return;
        }
        for index in 0..self.apps.len() {
            self.bury_in(AppId::at(index), id);
        }
        workers::forget(self.workers, id, process);
        self.effects.wake = Wake::All;
    }

    fn bury_in(&mut self, id: AppId, dead: WorkerId) {
        let Some(line) = self.app(id).map(|app| app.line) else {
            return;
        };
        let mut next = line.head;
        while let Some((slot, place)) = self.slots.get(next.index()).map(|place| (next, *place)) {
            next = place.next();
            if place.held().is_some_and(|held| held.owner == dead) {
                self.vacate(slot);
                if let Some(app) = self.apps.get_mut(id.index()) {
                    app.totals.lost += 1;
                }
            }
        }
        if let Some(app) = self
            .apps
            .get_mut(id.index())
            .filter(|app| app.baton == dead)
        {
            app.totals.lost += u64::from(app.run);
            app.run = 0;
            app.baton = WorkerId::NONE;
        }
        self.settle(id);
    }
}

/// Keeping the tables true.
impl Zone<'_> {
    /// Takes a held request out of its line.
    fn vacate(&mut self, slot: SlotId) {
        let Some(place) = self.slots.get_mut(slot.index()) else {
            return;
        };
        let Some(held) = place.held() else { return };
        place.clear();
        if let Some(app) = self.apps.get_mut(held.app.index()) {
            app.line.remove(self.slots, slot);
        }
        if let Some(worker) = self.workers.get_mut(held.owner.index()) {
            worker.held = worker.held.saturating_sub(1);
        }
        self.header.free.push(self.slots, slot);
    }

    /// An app's line or baton changed: ends its drain if that is over, wakes whose turn it is.
    fn settle(&mut self, id: AppId) {
        let head = self.head(id);
        let Some(app) = self.apps.get_mut(id.index()) else {
            return;
        };
        app.settle(head.map(|head| head.ticket), self.now);
        if app.owes_report() {
            self.header.owing = 1;
        }
        if app.releases() && !app.baton.is_some() {
            if let Some(head) = head {
                self.effects.wake_also(head.owner);
            }
        }
        self.publish(id);
    }

    /// Tells those who read without the lock.
    fn publish(&self, id: AppId) {
        let Some(app) = self.app(id) else { return };
        let shut = app.name().filter(|_| app.state() != State::Open);
        self.gates
            .set_gate(id, shut.map(|name| NameHash::of(name.as_bytes())));
        self.gates.set_moving(id, app.releases());
    }

    /// Makes everything that is derived from the slots and the apps' states anew.
    fn rebuild(&mut self) {
        self.header.free = List::EMPTY;
        self.apps.iter_mut().for_each(|app| app.line = List::EMPTY);
        self.workers.iter_mut().for_each(|worker| worker.held = 0);
        let mut next = queue::sort(self.slots);
        for _ in 0..self.slots.len() {
            let id = next;
            let Some(slot) = self.slots.get_mut(id.index()) else {
                break;
            };
            next = slot.next();
            let app = slot.held().and_then(|held| {
                let app = self.apps.get_mut(held.app.index())?;
                let worker = self.workers.get_mut(held.owner.index())?;
                worker.held += 1;
                app.ticket_seen(held.ticket);
                Some(app)
            });
            match app {
                Some(app) => app.line.push(self.slots, id),
                None => {
                    slot.clear();
                    self.header.free.push(self.slots, id);
                }
            }
        }
        self.gates.recount();
        for index in 0..self.apps.len() {
            self.settle(AppId::at(index));
        }
    }
}

impl Effects {
    fn wake_also(&mut self, worker: WorkerId) {
        self.wake = match self.wake {
            Wake::Nobody => Wake::One(worker),
            Wake::One(other) if other == worker => Wake::One(worker),
            _ => Wake::All,
        };
    }
}

#[cfg(any(test, loom))]
pub mod owned;
#[cfg(test)]
mod tests;
