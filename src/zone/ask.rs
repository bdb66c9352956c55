//! Asks all workers for their requests in flight.
#![forbid(unsafe_code)]

use super::{Wake, Zone};
use crate::ids::{AppId, Epoch, WorkerId};
use crate::shared::app::App;
use crate::shared::oldest::Told;
use crate::sync::crash_point;
use crate::text::AppName;
use crate::time::Msec;

/// A question that not all workers have answered is repeated after this time.
pub const PATIENCE: Msec = Msec(500);

impl Zone<'_> {
    /// Gives an app an entry, if it has none and an unused one is left: its requests are counted from
    /// now on.
    pub fn add_app(&mut self, name: &AppName) {
        if self.header.retired.is_on() || self.find(name).is_some() {
            return;
        }
        let Some(free) = self.apps.iter().position(|app| app.name().is_none()) else { return };
        let created = self.coming_epoch();
        if let Some(app) = self.apps.get_mut(free) {
            app.create(*name, created);
        }
        self.publish(AppId::at(free));
        self.effects.wake = Wake::All;
    }

    /// Asks all workers to count their requests in flight and to report the oldest. If a question is
    /// under way, that one serves this caller too. Returns the epoch that workers have seen when they
    /// have answered.
    pub fn ask(&mut self) -> Epoch {
        let (asked, now) = (self.header.asked, self.now.monotonic);
        let is_new = |app: &App| app.name().is_some() && app.created() > asked;
        let is_under_way = !self.all_told(asked) && now.since(self.header.asked_at) < PATIENCE;
        if is_under_way && !self.apps.iter().any(is_new) {
            return asked;
        }
        let asked = self.signals.next_epoch();
        crash_point();
        self.header.asked = asked;
        self.header.asked_at = now;
        self.effects.wake = Wake::All;
        asked
    }

    pub fn asked(&self) -> Epoch {
        self.header.asked
    }

    /// A worker answers this question, with its oldest requests in flight of some apps.
    pub fn tell(&mut self, asked: Epoch, told: &[(AppId, Told)]) {
        if self.header.asked != asked || asked == Epoch(0) {
            return;
        }
        for (id, told) in told {
            if let Some(app) = self.apps.get_mut(id.index()) {
                app.oldest.add(asked, *told);
            }
        }
    }

    /// Whether all workers have answered this question.
    pub fn all_told(&self, asked: Epoch) -> bool {
        self.live_workers().all(|one| self.counts.has_seen(one, asked))
    }

    /// The oldest of an app's requests in flight, as workers answered the newest question.
    pub fn oldest(&self, id: AppId) -> impl Iterator<Item = Told> + '_ {
        self.app(id).into_iter().flat_map(|app| app.oldest.of(self.header.asked))
    }

    /// A worker is gone: forgets its answers.
    pub(super) fn forget_told(&mut self, owner: WorkerId) {
        self.apps.iter_mut().for_each(|app| app.oldest.reap(owner));
    }
}
