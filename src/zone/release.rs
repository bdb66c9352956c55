//! Releasing: workers take turns, and the baton goes with the line.
#![forbid(unsafe_code)]

use super::Zone;
use crate::flag::Flag;
use crate::ids::{AppId, Cookie, PauseId, SlotId, WorkerId};
use crate::shared::app::Spacing;
use crate::shared::pace::Allowance;
use crate::shared::slots::Held;
use crate::sync::crash_point;
use crate::text::AppName;
use crate::time::Msec;

/// What a worker is to do with the requests that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was given none.
    Nobody,
    /// It was given none yet: one is due at this time, on the monotonic clock.
    Later(Msec),
    /// It was given one, which goes on; then the baton of this app is to be given back.
    Release(AppId, Spacing),
    /// They are turned away, in any order. They may come again in so many seconds.
    TurnAway { retry_after: u64 },
}

/// Whether a worker has a connection to spare for one more released request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spare {
    One,
    None,
}

/// A request that its worker is given in a [`Turn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    pub cookie: Cookie,
    /// The slot that it keeps until it is finished, if it counts till then.
    pub counted: Option<SlotId>,
    pub by: Release,
}

/// By what a request was released, for what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    pub app: AppId,
    /// The pause whose drain it was; 0 where it only queued behind that.
    pub drain: PauseId,
}

impl Release {
    /// It was not.
    pub const NONE: Self = Self { app: AppId::NONE, drain: PauseId(0) };
}

impl Zone<'_> {
    /// Gives `me` one request of its own to release, if it has a connection to spare for it, or
    /// those of one app to turn away. Apps take turns, from the one behind `last`.
    ///
    /// To release, `me` gets the app's baton: the line must begin with a request of `me`. A worker
    /// is woken once for all its apps: it asks again after each turn, until there is nobody.
    pub fn take_turn(
        &mut self,
        me: WorkerId,
        last: AppId,
        spare: Spare,
        mut each: impl FnMut(Given),
    ) -> (AppId, Turn) {
        let signals = self.signals;
        let mut later: Option<Msec> = None;
        for id in signals.moving_after(last) {
            let Some(app) = self.app(id) else { continue };
            if self.header.turns_away(app) {
                let retry_after = app.retry_after(self.now);
                if self.take_away(id, me, &mut each) > 0 {
                    return (id, Turn::TurnAway { retry_after });
                }
                continue;
            }
            let Some(head) = self.head(id).filter(|head| head.owner == me) else { continue };
            if app.baton.is_some() || !app.releases() {
                continue;
            }
            match app.allowance(self.now) {
                Allowance::Now if spare == Spare::One => {
                    let spacing = app.spacing();
                    if let Some(given) = self.take_head(id, head) {
                        each(given);
                        return (id, Turn::Release(id, spacing));
                    }
                }
                Allowance::Now | Allowance::Full => {}
                Allowance::At(at) => later = Some(later.map_or(at, |other| other.min(at))),
            }
        }
        (last, later.map_or(Turn::Nobody, Turn::Later))
    }

    /// Gives `me` requests of its own to turn away, whatever their app's state, for nginx is about to
    /// cut them off: those of one app. `me` asks again until there is nobody.
    pub fn cut_off(&mut self, me: WorkerId, mut each: impl FnMut(Given)) -> Turn {
        for id in (0..self.apps.len()).map(AppId::at) {
            let waits = self.app(id).filter(|app| app.line.len > 0);
            let Some(retry_after) = waits.map(|app| app.retry_after(self.now)) else { continue };
            if self.take_away(id, me, &mut each) > 0 {
                return Turn::TurnAway { retry_after };
            }
        }
        Turn::Nobody
    }

    /// Takes the first of an app's line out of it, and gives its worker the baton.
    fn take_head(&mut self, id: AppId, head: Held) -> Option<Given> {
        let app = self.apps.get_mut(id.index())?;
        let (counts, by) = (app.counts_unfinished(), Release { app: id, drain: app.drain() });
        let slot = app.line.head;
        app.granted = Flag::OFF;
        app.baton = head.owner;
        crash_point();
        app.granted = Flag::ON;
        app.take_one();
        if counts {
            self.let_go(slot);
        } else {
            self.vacate(slot);
        }
        self.publish(id);
        Some(Given { cookie: head.cookie, counted: counts.then_some(slot), by })
    }

    /// Takes requests of `me` out of the line of an app that turns them away; returns how many.
    fn take_away(&mut self, id: AppId, me: WorkerId, mut each: impl FnMut(Given)) -> u32 {
        let mut count = 0;
        let mut next = self.app(id).map_or(SlotId::NONE, |app| app.line.head);
        while let Some((slot, place)) = self.slots.get(next.index()).map(|place| (next, *place)) {
            next = place.next();
            let Some(held) = place.held().filter(|held| held.owner == me) else {
                continue;
            };
            if count == MAX_TURNED_AWAY {
                self.effects.wake_also(me);
                break;
            }
            count += 1;
            self.vacate(slot);
            each(Given { cookie: held.cookie, counted: None, by: Release::NONE });
        }
        if let Some(app) = self.apps.get_mut(id.index()) {
            if self.header.turns_away(app) {
                app.turned_away(count);
            } else {
                app.totals.stopped += u64::from(count);
            }
        }
        self.line_changed(id);
        count
    }

    /// The request that `me` took has been passed on, but is delayed: `me` keeps the baton for now.
    pub fn halt(&mut self, id: AppId, me: WorkerId) {
        if let Some(app) = self.apps.get_mut(id.index()).filter(|app| app.baton == me) {
            app.granted_goes_on();
        }
    }

    /// The request that `me` took has been delayed for as long as a line waits for anybody: those
    /// behind it go on without waiting for each other, until the next pause ends.
    pub fn hurry(&mut self, id: AppId, me: WorkerId) {
        if let Some(app) = self.apps.get_mut(id.index()).filter(|app| app.baton == me) {
            app.hurry();
        }
    }

    /// A request of the app `name` that was released by this was answered 502, 503 or 504 by nginx
    /// itself. If a line in the log is due, returns how many there were.
    pub fn failed(&mut self, name: &AppName, by: Release) -> Option<u32> {
        let app = self.apps.get_mut(by.app.index()).filter(|app| app.name() == Some(name));
        app?.failed(by.drain, self.now.monotonic)
    }

    /// Of the first app where a line is due about released requests that failed: how many there
    /// were since the last line.
    pub fn failures_due(&mut self) -> Option<(AppName, u32)> {
        let now = self.now.monotonic;
        self.apps.iter_mut().find_map(|app| Some((*app.name()?, app.failed_released.due(now)?)))
    }

    /// Whether such a line will be due.
    pub fn any_unreported_failures(&self) -> bool {
        self.apps.iter().any(|app| app.failed_released.any_unreported())
    }

    /// The same of the first app that has any, due or not.
    pub fn take_unreported_failures(&mut self) -> Option<(AppName, u32)> {
        let app = self.apps.iter_mut().find(|app| app.failed_released.any_unreported())?;
        Some((*app.name()?, app.failed_released.take_unreported()))
    }

    /// `me` gives the baton back: the request that it took has been passed on.
    pub fn give_back(&mut self, id: AppId, me: WorkerId) {
        let Some(app) = self.apps.get_mut(id.index()).filter(|app| app.baton == me) else {
            return;
        };
        app.granted_goes_on();
        crash_point();
        app.baton = WorkerId::NONE;
        crash_point();
        self.line_changed(id);
    }
}

/// How many a worker turns away in one visit at most: others want the lock, and its own event loop
/// is to go round.
const MAX_TURNED_AWAY: u32 = 256;
