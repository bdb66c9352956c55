//! What lies where in the zone: the front, and behind it the tables, without gaps.

use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64};

use super::doorbell::Bells;
use super::file_status::FileStatus;
use crate::shared::app::App;
use crate::shared::holder::Holder;
use crate::shared::in_flight::{CountCell, CountTable, Notice};
use crate::shared::slots::Slot;
use crate::shared::waiters::Wait;
use crate::shared::workers::Worker;
use crate::zone::Header;

const MIN_APPS: usize = 4;
const MAX_APPS: usize = 1024;
/// In words of 64 bits: a bit for each name that a request has come with; names may share one.
const HEARD: usize = 64;
/// How many names can be told apart by when their requests expire.
const EXPIRIES: usize = 256;
/// The most worker processes that the zone has entries for, old ones after reloads included; more only
/// if more are configured.
const MAX_WORKERS: usize = 1024;
/// The most callers that can wait at a time for an app to be quiet, or drained.
const MAX_WAITS: usize = 64;

/// What the zone begins with. Another build of the module reads `not_open`, and nothing else; so it
/// stands first in all builds.
#[repr(C, align(64))]
pub(crate) struct Front {
    pub not_open: AtomicU32,
    /// Written once, when the zone is carved.
    pub sizes: Cell<Sizes>,
    pub waiting: AtomicU32,
    pub epoch: AtomicU64,
    pub endings: AtomicU64,
    pub changes: AtomicU64,
    pub bells: Bells,
    /// The roll's file descriptor. The master writes it before it forks.
    pub roll: AtomicI32,
    pub moving: [AtomicU64; MAX_APPS / 64],
    pub heard: [AtomicU64; HEARD],
    pub expiries: [AtomicU32; EXPIRIES],
    pub lease: AtomicU64,
    pub state_file: AtomicU64,
    pub file: FileStatus,
    pub holder: Holder,
    /// Used under the lock only.
    pub header: UnsafeCell<Header>,
}

/// How many entries each table has.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub apps: usize,
    pub workers: usize,
    pub waits: usize,
    pub slots: usize,
}

impl Sizes {
    /// Of this many bytes apps get at most a quarter, because each worker has counts for each app. Callers
    /// that wait get a sixty-fourth, and held requests get what is left.
    ///
    /// `processes` is how many workers are configured. There are entries for eight times as many, for
    /// old workers after reloads, as long as these take no more than an eighth.
    pub(crate) fn for_bytes(bytes: usize, processes: usize) -> Self {
        let least = size_of::<Worker>()
            + size_of::<Notice>()
            + CountTable::row_length(MIN_APPS) * size_of::<CountCell>();
        let wanted = processes.saturating_mul(8).min(bytes / 8 / least);
        let workers = (bytes / (40 << 10)).clamp(16, MAX_WORKERS).max(wanted);
        let app = size_of::<App>() + size_of::<AtomicU64>() + workers * size_of::<CountCell>();
        let apps = (bytes / 4 / app).clamp(MIN_APPS, MAX_APPS);
        let waits = (bytes / 64 / size_of::<Wait>()).clamp(4, MAX_WAITS);
        let tables = Self { apps, workers, waits, slots: 0 };
        let slots = bytes.saturating_sub(tables.layout().slots.offset) / size_of::<Slot>();
        Self { slots, ..tables }
    }

    /// Where tables of these sizes lie.
    pub(crate) fn layout(&self) -> Layout {
        let counts = self.workers * CountTable::row_length(self.apps);
        let mut end = size_of::<Front>();
        Layout {
            notices: Table::behind(&mut end, self.workers),
            counts: Table::behind(&mut end, counts),
            names: Table::behind(&mut end, self.apps),
            apps: Table::behind(&mut end, self.apps),
            workers: Table::behind(&mut end, self.workers),
            waits: Table::behind(&mut end, self.waits),
            slots: Table::behind(&mut end, self.slots),
        }
    }
}

/// Where the tables are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub notices: Table<Notice>,
    pub counts: Table<CountCell>,
    pub names: Table<AtomicU64>,
    pub apps: Table<App>,
    pub workers: Table<Worker>,
    pub waits: Table<Wait>,
    pub slots: Table<Slot>,
}

/// Where a table begins, in bytes behind the front's beginning, and how many entries it has.
#[derive(Debug)]
pub(crate) struct Table<T> {
    pub offset: usize,
    pub count: usize,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Table<T> {}

impl<T> Table<T> {
    /// The table that begins at `end`, which is moved to the table's own end.
    fn behind(end: &mut usize, count: usize) -> Self {
        let offset = *end;
        *end += count * size_of::<T>();
        Self { offset, count, of: PhantomData }
    }
}

// No table needs a gap before it: all sizes are multiples of 8, and no type wants more alignment.
const _: () = assert!(align_of::<App>() <= 8 && size_of::<App>().is_multiple_of(8));
const _: () = assert!(align_of::<Worker>() <= 8 && size_of::<Worker>().is_multiple_of(8));
const _: () = assert!(align_of::<Wait>() <= 8 && size_of::<Wait>().is_multiple_of(8));
const _: () = assert!(align_of::<Slot>() <= 8 && align_of::<CountCell>() <= 8);
