//! How many requests each worker has in flight: a row of counts per worker, with a cell per app.
//!
//! A worker writes its own row, without the lock, and is the only one that does while it lives. It
//! also says which [`Epoch`] it has seen: everything that it passed on before that epoch is counted
//! then, in the cell of the app that had the entry.
#![forbid(unsafe_code)]

use crate::ids::{AppId, Epoch, NameHash, WorkerId};
use crate::shared::call::Call;
use crate::shared::given_up::GivenUp;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::Msec;

/// One worker's counts for one app.
#[repr(C)]
#[derive(Debug, Default)]
pub struct CountCell {
    passed: AtomicU64,
    in_flight: AtomicU32,
    upgraded: AtomicU32,
    given_up_total: AtomicU32,
    given_up_span: AtomicU32,
    given_up_recent: AtomicU64,
}

/// What a worker and those that need it tell each other, on a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Notice {
    /// The newest epoch that it has seen.
    seen: AtomicU64,
    /// How it hears that its turn may have come.
    pub call: Call,
}

/// The counts of one app: one worker's, or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were passed on without having been held.
    pub passed: u64,
    /// Requests that were passed on and are unfinished.
    pub in_flight: u32,
    /// Connections that became tunnels (WebSocket). They do not keep the app from being quiet.
    pub upgraded: u32,
    /// Requests that nginx gave up before the app was done.
    pub given_up: GivenUp,
}

/// The rows of all workers.
#[derive(Clone, Copy, Debug)]
pub struct CountTable<'z> {
    /// A cell per worker.
    pub notices: &'z [Notice],
    /// A row per worker.
    pub counts: &'z [CountCell],
    /// How many cells of a row are used.
    pub apps: usize,
}

impl CountCell {
    /// A request was passed on without having been held.
    pub fn pass(&self) {
        let passed = self.passed.load(Ordering::Relaxed);
        self.passed.store(passed.saturating_add(1), Ordering::Relaxed);
    }

    /// A request is in flight from now on.
    pub fn start(&self) {
        add(&self.in_flight);
    }

    /// A request in flight is finished.
    pub fn end(&self) {
        subtract(&self.in_flight);
    }

    /// A request in flight became a tunnel.
    pub fn upgrade(&self) {
        add(&self.upgraded);
        subtract(&self.in_flight);
    }

    /// A tunnel was closed.
    pub fn close(&self) {
        subtract(&self.upgraded);
    }

    /// nginx gave up a request before the app was done. Called before [`Self::end`].
    pub fn give_up(&self, now: Msec) {
        self.set_given_up(self.get().given_up.and_one(now));
    }

    fn set_given_up(&self, GivenUp { total, span, recent }: GivenUp) {
        self.given_up_total.store(total, Ordering::Relaxed);
        self.given_up_span.store(span, Ordering::Relaxed);
        self.given_up_recent.store(recent, Ordering::Relaxed);
    }

    /// Replaces all counts.
    pub fn set(&self, counts: Counts) {
        self.passed.store(counts.passed, Ordering::Relaxed);
        self.in_flight.store(counts.in_flight, Ordering::Relaxed);
        self.upgraded.store(counts.upgraded, Ordering::Relaxed);
        self.set_given_up(counts.given_up);
    }

    pub fn get(&self) -> Counts {
        Counts {
            passed: self.passed.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            upgraded: self.upgraded.load(Ordering::Relaxed),
            given_up: GivenUp {
                total: self.given_up_total.load(Ordering::Relaxed),
                span: self.given_up_span.load(Ordering::Relaxed),
                recent: self.given_up_recent.load(Ordering::Relaxed),
            },
        }
    }
}

impl Clone for CountCell {
    fn clone(&self) -> Self {
        let copy = Self::default();
        copy.set(self.get());
        copy
    }
}

impl Clone for Notice {
    fn clone(&self) -> Self {
        Self { seen: AtomicU64::new(self.seen.load(Ordering::Relaxed)), call: Call::default() }
    }
}

// Only the row's own worker writes.
fn add(count: &AtomicU32) {
    count.store(count.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
}

fn subtract(count: &AtomicU32) {
    count.store(count.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
}

impl<'z> CountTable<'z> {
    /// How many cells a row has for this many apps. Rows share no cache line.
    pub const fn row_length(apps: usize) -> usize {
        apps.next_multiple_of(64 / size_of::<CountCell>())
    }

    /// The row of a worker; empty if it has none.
    pub fn row(&self, worker: WorkerId) -> &'z [CountCell] {
        let length = Self::row_length(self.apps);
        let start = worker.index().checked_mul(length);
        let row = start.and_then(|start| self.counts.get(start..start.checked_add(self.apps)?));
        row.unwrap_or_default()
    }

    /// A worker has seen this epoch: its counts are complete up to there.
    pub fn set_seen(&self, worker: WorkerId, epoch: Epoch) {
        if let Some(notice) = self.notices.get(worker.index()) {
            // Pairs with the load in `has_seen`: a worker that sees the epoch sees these counts.
            notice.seen.store(epoch.0, Ordering::Release);
        }
    }

    /// Whether a worker has seen this epoch or a later one.
    pub fn has_seen(&self, worker: WorkerId, epoch: Epoch) -> bool {
        let notice = self.notices.get(worker.index());
        // Pairs with the store in `set_seen`.
        notice.is_some_and(|notice| notice.seen.load(Ordering::Acquire) >= epoch.0)
    }

    /// A worker's counts for an app. Returns None if the worker has not seen the epoch `since`.
    pub fn of(&self, worker: WorkerId, app: AppId, since: Epoch) -> Option<Counts> {
        let count = self.row(worker).get(app.index())?;
        self.has_seen(worker, since).then(|| count.get())
    }

    /// Under the lock: forgets the counts of a worker that is gone.
    pub(crate) fn clear(&self, worker: WorkerId) {
        self.set_seen(worker, Epoch(0));
        self.row(worker).iter().for_each(|count| count.set(Counts::default()));
    }
}

/// The apps that have an entry, as a worker knows them: it finds the cell for a request in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppIndex {
    by_name: Vec<(NameHash, AppId)>,
    /// The name that has each entry, if one has it.
    names: Vec<Option<NameHash>>,
}

impl AppIndex {
    pub fn new(mut apps: Vec<(NameHash, AppId)>) -> Self {
        let entries = apps.iter().map(|(_, app)| app.index() + 1).max().unwrap_or(0);
        let mut names = vec![None; entries];
        for (name, app) in &apps {
            if let Some(place) = names.get_mut(app.index()) {
                *place = Some(*name);
            }
        }
        apps.sort_unstable_by_key(|(name, _)| *name);
        Self { by_name: apps, names }
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn find(&self, name: &[u8]) -> Option<AppId> {
        if self.is_empty() {
            return None;
        }
        let name = NameHash::of(name);
        let index = self.by_name.binary_search_by_key(&name, |(name, _)| *name).ok()?;
        self.by_name.get(index).map(|(_, app)| *app)
    }

    /// Whether the entry `app` belongs to the same name in both, or to none in both.
    pub fn agrees(&self, other: &Self, app: AppId) -> bool {
        self.name_of(app) == other.name_of(app)
    }

    fn name_of(&self, app: AppId) -> Option<NameHash> {
        self.names.get(app.index()).copied().flatten()
    }
}

#[cfg(test)]
mod tests;
