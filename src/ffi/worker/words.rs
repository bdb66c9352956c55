//! What all workers know of the state file.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::shared::health::{Health, Problem};
use crate::shared::signals::Signals;

/// What workers that have the file are to write for one that has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owed(u64);

impl Owed {
    pub(crate) const NOTHING: Self = Self(0);
}

/// What all workers know of the file, in the zone. Zero is the value before the first one.
#[repr(C)]
pub(crate) struct Words {
    /// The newest configuration's file; 0 if it has none. Workers of earlier ones may have another.
    file: AtomicU64,
    /// The process that wrote last, or is writing.
    pub writer: AtomicU32,
    /// One more than the version of the zone that it has; 0 if that is not known.
    written: AtomicU64,
    /// The same of the version that it is to have, which a worker left that does not have it open.
    owed: AtomicU64,
}

impl Words {
    /// This file is the newest configuration's from now on, and nothing is known of it; 0 if there is none.
    pub(crate) fn begin(&self, file: u64) {
        self.file.store(file, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
        self.owed.store(0, Ordering::Relaxed);
    }

    /// Whether this is the newest configuration's file.
    pub(crate) fn is_newest(&self, file: u64) -> bool {
        self.file.load(Ordering::Relaxed) == file
    }

    /// Whether the file has this version of the zone, or a newer one, or need not have it: it is not
    /// the newest configuration's.
    pub(crate) fn has(&self, file: u64, version: u64) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        file != self.file.load(Ordering::Relaxed) || written > version
    }

    /// A worker that does not have the newest configuration's file open leaves it to others to write
    /// what it changed: returns what they owe it. None if there is no such file.
    pub(crate) fn owe(&self, version: u64) -> Option<Owed> {
        if self.file.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let owed = version.wrapping_add(1);
        self.owed.fetch_max(owed, Ordering::Relaxed);
        Some(Owed(owed))
    }

    /// Whether anything is left to those who have the file.
    pub(crate) fn is_owed(&self) -> bool {
        self.owed.load(Ordering::Relaxed) > self.written.load(Ordering::Relaxed)
    }

    /// Whether that has been written, or there is no file any more that it could be written to.
    pub(crate) fn has_paid(&self, owed: Owed) -> bool {
        self.written.load(Ordering::Relaxed) >= owed.0 || self.file.load(Ordering::Relaxed) == 0
    }

    /// A newer configuration has a zone of its own: what is late in this one is not written over that.
    pub(crate) fn retire(&self) {
        self.file.store(0, Ordering::Relaxed);
    }

    /// This version has been written to the file, or could not be.
    pub(crate) fn note(
        &self,
        file: u64,
        version: u64,
        signals: Signals<'_>,
        written: Result<(), Problem>,
    ) {
        if file != self.file.load(Ordering::Relaxed) {
            return;
        }
        match written {
            Ok(()) => {
                self.written.fetch_max(version.wrapping_add(1), Ordering::Relaxed);
                signals.set_state_file(Health::Good);
            }
            Err(problem) => signals.set_state_file(Health::Bad(problem)),
        }
    }
}
