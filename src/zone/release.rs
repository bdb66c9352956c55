//! The release: workers take turns. The worker that releases a request has the app's baton.
#![forbid(unsafe_code)]

use super::Zone;
use crate::flag::Flag;
use crate::ids::{AppId, Cookie, PauseId, SlotId, Ticket, WorkerId};
use crate::shared::app::Spacing;
use crate::shared::pace::Allowance;
use crate::shared::slots::Held;
use crate::sync::crash_point;
use crate::text::AppName;
use crate::time::Msec;

/// What a worker is to do with its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Nobody,
    /// Nothing yet: one of them is due at this time, on the monotonic clock.
    Later(Msec),
    /// The one that it was given goes on; then it gives back the baton of this app.
    Release(AppId, Spacing),
    /// Those that it was given are turned away, in any order. `retry_after` is in seconds.
    TurnAway { retry_after: u64 },
}

/// Whether a worker has a connection for one more released request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spare {
    One,
    None,
}

/// A request that its worker is given, to release it or to turn it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    pub cookie: Cookie,
    pub ticket: Ticket,
    /// The slot that it keeps until it is finished, if it counts against the concurrency.
    pub counted: Option<SlotId>,
    pub by: Release,
    /// The app that it is to try, which is away.
    pub tries: Option<AppId>,
}

/// Which drain released a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    pub app: AppId,
    /// The pause whose drain it was; 0 if the request only queued behind one.
    pub drain: PauseId,
}

impl Release {
    /// The request was not released.
    pub const NONE: Self = Self { app: AppId::NONE, drain: PauseId(0) };
}

impl Zone<'_> {
    /// Gives the worker `me` one of its requests to release, or those of one app to turn away. Apps
    /// take turns, beginning with the one behind `last`. Returns the app, for the next call.
    ///
    /// A request is released if it is the first in line and no worker has the app's baton: `me` gets
    /// it. A worker is woken once for all its apps: it must ask again until the answer is
    /// [`Turn::Nobody`] or [`Turn::Later`].
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
            match app.allowance(head.since, self.now) {
                Allowance::Now if spare == Spare::One => {
                    let spacing = app.spacing();
                    if let Some(given) = self.take_head(id, head) {
                        // It asks again anyway.
                        self.effects.wake_no_more(me);
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

    /// Gives `me` its requests of one app to turn away, whatever the state of the app, because nginx is
    /// about to close their connections. `me` asks again until the answer is [`Turn::Nobody`].
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

    /// Takes the first request out of an app's line, and gives its worker the baton.
    fn take_head(&mut self, id: AppId, head: Held) -> Option<Given> {
        let now = self.now.monotonic;
        let app = self.apps.get_mut(id.index())?;
        let (counts, by) = (app.counts_unfinished(), Release { app: id, drain: app.drain() });
        let tries = app.is_away().then_some(id);
        let slot = app.line.head;
        app.baton = head.owner;
        crash_point();
        app.granted_again = Flag::from(head.ticket.came_back());
        app.granted_slot = if counts { slot } else { SlotId::NONE };
        app.granted = Flag::ON;
        app.take_one(slot, now);
        if counts {
            self.let_go(slot);
        } else {
            self.vacate(slot);
        }
        self.publish(id);
        let Held { cookie, ticket, .. } = head;
        Some(Given { cookie, ticket, counted: counts.then_some(slot), by, tries })
    }

    /// Takes requests of `me` out of an app's line to be turned away. Returns how many.
    fn take_away(&mut self, id: AppId, me: WorkerId, mut each: impl FnMut(Given)) -> u32 {
        let mut count = 0;
        let mut next = self.app(id).map_or(SlotId::NONE, |app| app.line.head);
        while let Some((slot_id, slot)) = self.slots.get(next.index()).map(|slot| (next, *slot)) {
            next = slot.next();
            let Some(held) = slot.held().filter(|held| held.owner == me) else {
                continue;
            };
            if count == MAX_TURNED_AWAY {
                self.effects.wake_also(me);
                break;
            }
            count += 1;
            self.vacate(slot_id);
            let Held { cookie, ticket, .. } = held;
            each(Given { cookie, ticket, counted: None, by: Release::NONE, tries: None });
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

    /// The request that `me` took has been passed on but is delayed: `me` keeps the baton for now.
    pub fn halt(&mut self, id: AppId, me: WorkerId) {
        if let Some(app) = self.apps.get_mut(id.index()).filter(|app| app.baton == me) {
            app.granted_goes_on();
        }
    }

    /// The request that `me` took has been delayed for as long as a line ever waits: until the next
    /// pause ends, requests go on without waiting for the one before.
    pub fn hurry(&mut self, id: AppId, me: WorkerId) {
        if let Some(app) = self.apps.get_mut(id.index()).filter(|app| app.baton == me) {
            app.hurry();
        }
    }

    /// A released request of the app `name` was answered 502, 503 or 504 by nginx itself. If a log line
    /// is due, returns how many it reports.
    pub fn failed(&mut self, name: &AppName, by: Release) -> Option<u32> {
        let app = self.apps.get_mut(by.app.index()).filter(|app| app.name() == Some(name));
        app?.failed(by.drain, self.now.monotonic)
    }

    /// The first app for which a log line about failed released requests is due, with how many it
    /// reports.
    pub fn failures_due(&mut self) -> Option<(AppName, u32)> {
        let now = self.now.monotonic;
        self.apps.iter_mut().find_map(|app| Some((*app.name()?, app.failed_released.due(now)?)))
    }

    /// Whether such a line is due for any app, now or later.
    pub fn any_unreported_failures(&self) -> bool {
        self.apps.iter().any(|app| app.failed_released.any_unreported())
    }

    /// The first app with unreported failures, whether a line is due or not, with how many.
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

/// A worker turns away at most this many requests in one visit: other workers want the lock, and its
/// own event loop must not be blocked.
const MAX_TURNED_AWAY: u32 = 256;
