//! A zone in a test's own memory, which lends its tables for visits.
#![forbid(unsafe_code)]

use super::{Effects, Header, Zone};
use crate::shared::app::App;
use crate::shared::in_flight::{CountCell, CountTable, Notice};
use crate::shared::signals::{Signals, SignalsWriter};
use crate::shared::slots::Slot;
use crate::shared::waiters::Wait;
use crate::shared::workers::Worker;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::{Msec, Now};

/// What is guarded by the lock.
#[derive(Clone, Debug)]
pub struct Tables {
    pub header: Header,
    pub apps: Vec<App>,
    pub workers: Vec<Worker>,
    pub waits: Vec<Wait>,
    pub slots: Vec<Slot>,
}

/// What is read without the lock.
#[derive(Debug)]
pub struct Words {
    not_open: AtomicU32,
    names: Vec<AtomicU64>,
    moving: Vec<AtomicU64>,
    heard: Vec<AtomicU64>,
    expiries: Vec<AtomicU32>,
    lease: AtomicU64,
    epoch: AtomicU64,
    endings: AtomicU64,
    changes: AtomicU64,
    waiting: AtomicU32,
    state_file: AtomicU64,
    pub notices: Vec<Notice>,
    counts: Vec<CountCell>,
}

/// A zone whose lock is the borrow checker.
#[derive(Clone, Debug)]
pub struct Owned {
    pub tables: Tables,
    pub words: Words,
    pub now: Now,
}

impl Tables {
    /// The tables of a new zone, with this many entries of each kind.
    pub fn new(words: &Words, workers: usize, slots: usize) -> Self {
        let mut tables = Self {
            header: Header::NEW,
            apps: vec![App::UNUSED; words.names.len()],
            workers: vec![Worker::default(); workers],
            waits: vec![Wait::FREE; 3],
            slots: vec![Slot::FREE; slots],
        };
        tables.lend(words, Now::default()).reset();
        tables
    }

    /// Lends the tables for one visit.
    pub fn lend<'z>(&'z mut self, words: &'z Words, now: Now) -> Zone<'z> {
        Zone {
            header: &mut self.header,
            signals: SignalsWriter::new(words.signals()),
            counts: words.counts(),
            apps: &mut self.apps,
            workers: &mut self.workers,
            waits: &mut self.waits,
            slots: &mut self.slots,
            now,
            effects: Effects::default(),
        }
    }

    /// A whole visit. The caller holds the lock.
    pub fn visit<R>(
        &mut self,
        words: &Words,
        now: Now,
        f: impl FnOnce(&mut Zone<'_>) -> R,
    ) -> (R, Effects) {
        let mut zone = self.lend(words, now);
        zone.enter();
        let result = f(&mut zone);
        (result, zone.leave())
    }
}

impl Words {
    /// The words of a new zone, for this many apps and workers.
    pub fn new(apps: usize, workers: usize) -> Self {
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            not_open: AtomicU32::new(0),
            names: zeros(apps),
            moving: zeros(apps.div_ceil(64)),
            heard: zeros(4),
            expiries: (0..4).map(|_| AtomicU32::new(0)).collect(),
            lease: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            endings: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            state_file: AtomicU64::new(0),
            notices: (0..workers).map(|_| Notice::default()).collect(),
            counts: (0..workers * CountTable::row_length(apps))
                .map(|_| CountCell::default())
                .collect(),
        }
    }

    pub fn signals(&self) -> Signals<'_> {
        Signals {
            not_open: &self.not_open,
            names: &self.names,
            moving: &self.moving,
            heard: &self.heard,
            expiries: &self.expiries,
            lease: &self.lease,
            epoch: &self.epoch,
            endings: &self.endings,
            changes: &self.changes,
            waiting: &self.waiting,
            state_file: &self.state_file,
            notices: &self.notices,
        }
    }

    pub fn counts(&self) -> CountTable<'_> {
        CountTable { notices: &self.notices, counts: &self.counts, apps: self.names.len() }
    }
}

impl Clone for Words {
    fn clone(&self) -> Self {
        let copies = |words: &[AtomicU64]| {
            let values = words.iter().map(|word| word.load(Ordering::Relaxed));
            values.map(AtomicU64::new).collect()
        };
        let expiries = self.expiries.iter().map(|word| word.load(Ordering::Relaxed));
        Self {
            not_open: AtomicU32::new(self.not_open.load(Ordering::Relaxed)),
            names: copies(&self.names),
            moving: copies(&self.moving),
            heard: copies(&self.heard),
            expiries: expiries.map(AtomicU32::new).collect(),
            lease: AtomicU64::new(self.lease.load(Ordering::Relaxed)),
            epoch: AtomicU64::new(self.epoch.load(Ordering::Relaxed)),
            endings: AtomicU64::new(self.endings.load(Ordering::Relaxed)),
            changes: AtomicU64::new(self.changes.load(Ordering::Relaxed)),
            waiting: AtomicU32::new(self.waiting.load(Ordering::Relaxed)),
            state_file: AtomicU64::new(self.state_file.load(Ordering::Relaxed)),
            notices: self.notices.clone(),
            counts: self.counts.clone(),
        }
    }
}

impl Owned {
    /// A new zone with this many entries of each kind, at a time that is not the zero of the clock.
    pub fn new(apps: usize, workers: usize, slots: usize) -> Self {
        let words = Words::new(apps, workers);
        Self {
            tables: Tables::new(&words, workers, slots),
            words,
            now: Now { monotonic: Msec(1_000), wall: Msec(1_700_000_000_000) },
        }
    }

    /// A whole visit.
    pub fn visit<R>(&mut self, f: impl FnOnce(&mut Zone<'_>) -> R) -> (R, Effects) {
        self.tables.visit(&self.words, self.now, f)
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Msec) {
        let Now { monotonic, wall } = &mut self.now;
        (monotonic.0, wall.0) = (monotonic.0 + time.0, wall.0 + time.0);
    }
}
