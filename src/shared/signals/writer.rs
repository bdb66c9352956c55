//! What is written under the lock, for those that read without it.
#![forbid(unsafe_code)]

use core::ops::Deref;

use super::{bit, Signals};
use crate::ids::{AppId, Epoch, NameHash};
use crate::sync::{crash_point, Ordering};
use crate::time::Msec;

/// The signals, as a visit under the lock has them: it may also write them.
#[derive(Clone, Copy, Debug)]
pub struct SignalsWriter<'z>(Signals<'z>);

impl<'z> Deref for SignalsWriter<'z> {
    type Target = Signals<'z>;

    fn deref(&self) -> &Signals<'z> {
        &self.0
    }
}

impl<'z> SignalsWriter<'z> {
    /// Only for a visit: the caller holds the lock.
    pub fn new(signals: Signals<'z>) -> Self {
        Self(signals)
    }

    /// Closes the app's gate for this name, or opens it.
    pub(crate) fn set_gate(&self, id: AppId, closed_for: Option<NameHash>) {
        let Some(gate) = self.names.get(id.index()) else {
            return;
        };
        let value = closed_for.map_or(0, |name| name.0);
        let before = gate.load(Ordering::Relaxed);
        if before == value {
            return;
        }
        // Before the gate opens: requests that pass then note it again.
        if let Some(word) = self.expiry(NameHash(before)).filter(|_| value == 0) {
            word.store(0, Ordering::Relaxed);
        }
        // Pairs with the load in `find`.
        gate.store(value, Ordering::Release);
        crash_point();
        let count = self.not_open.load(Ordering::Relaxed);
        // Pair with the load in `all_open`.
        match (before, value) {
            (0, _) => self.not_open.store(count.saturating_add(1), Ordering::Release),
            (_, 0) => self.not_open.store(count.saturating_sub(1), Ordering::Release),
            _ => {}
        }
        // Last of all: a worker that sees this must find the gate closed.
        self.changed();
    }

    /// The app's line moves.
    pub(crate) fn line_moves(&self, id: AppId) {
        self.change_moving(id, |word| word | bit(id));
    }

    /// The app's line stands still.
    pub(crate) fn line_stands(&self, id: AppId) {
        self.change_moving(id, |word| word & !bit(id));
    }

    fn change_moving(&self, id: AppId, change: impl FnOnce(u64) -> u64) {
        if let Some(word) = self.moving.get(id.index() / 64) {
            word.store(change(word.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }

    /// Sets when the first lease ends.
    pub(crate) fn set_lease(&self, end: Option<Msec>) {
        self.lease.store(end.map_or(0, |end| end.0.max(1)), Ordering::Relaxed);
    }

    /// Begins the next epoch, which workers see with all that has changed before.
    pub(crate) fn next_epoch(&self) -> Epoch {
        let epoch = Epoch(self.epoch.load(Ordering::Relaxed).wrapping_add(1));
        // Pairs with the load in `epoch`.
        self.epoch.store(epoch.0, Ordering::Release);
        self.changed();
        epoch
    }

    /// A pause has ended. Called before the gate opens or the line moves.
    pub(crate) fn pause_ended(&self) {
        self.endings.store(self.endings().wrapping_add(1), Ordering::Relaxed);
        self.changed();
        crash_point();
    }

    /// Sets how many callers wait.
    pub(crate) fn set_waiting(&self, count: usize) {
        self.waiting.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Counts the closed gates again, after a worker died in its visit. No gate changes: other workers
    /// may read them at this moment.
    pub(crate) fn recount(&self) {
        let closed = self.names.iter().filter(|gate| gate.load(Ordering::Relaxed) != 0);
        let count = u32::try_from(closed.count()).unwrap_or(u32::MAX);
        self.not_open.store(count, Ordering::Relaxed);
        self.changed();
    }

    /// Something has changed. If a worker dies before it says so, [`Self::recount`] does.
    fn changed(&self) {
        let changes = self.changes.load(Ordering::Relaxed);
        // Pairs with the load in `changes`.
        self.changes.store(changes.wrapping_add(1), Ordering::Release);
    }
}
