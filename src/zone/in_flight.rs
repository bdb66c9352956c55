//! What is in flight, as all workers together count it.
#![forbid(unsafe_code)]

use super::{Remaining, Zone};
use crate::ids::{AppId, WorkerId};
use crate::shared::in_flight::Counts;

impl Zone<'_> {
    /// The counts of an app, summed over all workers.
    pub fn sum_counts(&self, id: AppId) -> Counts {
        let Some(app) = self.app(id) else { return Counts::default() };
        let counts = self.live_workers().filter_map(|one| self.counts.of(one, id, app.created()));
        let gone =
            Counts { passed: app.totals.passed, given_up: app.given_up, ..Counts::default() };
        counts.fold(gone, |sum, one| Counts {
            passed: sum.passed + one.passed,
            in_flight: sum.in_flight.saturating_add(one.in_flight),
            upgraded: sum.upgraded.saturating_add(one.upgraded),
            given_up: sum.given_up.and(one.given_up),
        })
    }

    /// What is left in flight of the requests that were passed on before the newest pause. Returns
    /// None if it is certain that nothing is.
    pub(super) fn still_in_flight(&self, id: AppId) -> Option<Remaining> {
        let app = self.app(id)?;
        // Its worker may not have counted it yet.
        let going_on = app.about_to_go_on();
        // Each row is read once: its worker may write meanwhile.
        let counts = self.live_workers().map(|one| self.counts.of(one, id, app.pause_epoch()));
        let (in_flight, silent) = counts.fold(
            (going_on, u32::from(self.lacks_entries().is_some())),
            |(sum, silent), count| match count {
                Some(count) => (sum.saturating_add(count.in_flight), silent),
                None => (sum, silent + 1),
            },
        );
        match (in_flight, silent) {
            (0, 0) => None,
            (0, silent) => Some(Remaining::Silent(silent)),
            (in_flight, _) => Some(Remaining::InFlight(in_flight)),
        }
    }

    /// A worker is gone: adds what it counted to the apps.
    pub(super) fn reap_counts(&mut self, owner: WorkerId) {
        for index in 0..self.apps.len() {
            let Some(app) = self.apps.get_mut(index) else { continue };
            let counted = self.counts.of(owner, AppId::at(index), app.created());
            let Counts { passed, given_up, .. } = counted.unwrap_or_default();
            app.totals.passed += passed;
            app.given_up = app.given_up.and(given_up);
        }
        self.counts.clear(owner);
    }

    pub(super) fn live_workers(&self) -> impl Iterator<Item = WorkerId> + '_ {
        let workers = self.workers.iter().enumerate();
        workers.filter(|(_, worker)| worker.process().is_some()).map(|(at, _)| WorkerId::at(at))
    }
}
