//! What all workers know of the state file: which one it is, and which version of the zone it has.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::shared::health::{Health, Problem};
use crate::shared::signals::Signals;

/// What a worker without the newest file left to others to write: one more than the zone's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owed(u64);

impl Owed {
    pub(crate) const NOTHING: Self = Self(0);
}

/// Lies in the zone; read and written without the lock. All zero: there is no file.
#[repr(C)]
pub(crate) struct FileStatus {
    /// Identifies the newest configuration's file; 0 if it has none. Workers of earlier configurations
    /// may have another file open.
    file: AtomicU64,
    /// The pid of the process that wrote last, or is writing.
    pub writer: AtomicU32,
    /// One more than the version of the zone that the file has; 0 if that is not known.
    written: AtomicU64,
    /// One more than the newest version that a worker without the file left to others to write.
    owed: AtomicU64,
}

impl FileStatus {
    /// From now on this is the newest configuration's file; nothing is known yet of what it has.
    pub(crate) fn begin(&self, file: u64) {
        self.file.store(file, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
        self.owed.store(0, Ordering::Relaxed);
    }

    /// Whether this is the newest configuration's file.
    pub(crate) fn is_newest(&self, file: u64) -> bool {
        self.file.load(Ordering::Relaxed) == file
    }

    /// Whether the file has this version of the zone or a newer one, or need not have it because it is
    /// not the newest configuration's file.
    pub(crate) fn has(&self, file: u64, version: u64) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        file != self.file.load(Ordering::Relaxed) || written > version
    }

    /// A worker that does not have the newest configuration's file open leaves it to others to write
    /// this version. Returns what they owe it; None if there is no such file.
    pub(crate) fn owe(&self, version: u64) -> Option<Owed> {
        if self.file.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let owed = version.wrapping_add(1);
        self.owed.fetch_max(owed, Ordering::Relaxed);
        Some(Owed(owed))
    }

    /// Whether the workers that have the file still owe others something.
    pub(crate) fn is_owed(&self) -> bool {
        self.owed.load(Ordering::Relaxed) > self.written.load(Ordering::Relaxed)
    }

    /// Whether what is owed has been written, or there is no file any more to write it to.
    pub(crate) fn has_paid(&self, owed: Owed) -> bool {
        self.written.load(Ordering::Relaxed) >= owed.0 || self.file.load(Ordering::Relaxed) == 0
    }

    /// There is no file any more for this zone: the newest configuration has none, or has a zone of its
    /// own, and what this zone has must not be written over that.
    pub(crate) fn retire(&self) {
        self.file.store(0, Ordering::Relaxed);
    }

    /// Notes that this version has been written to the file, or why it could not be.
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
