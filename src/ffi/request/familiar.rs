//! What this worker found out and noted about the last request that passed. The next one is mostly like
//! it: then there is nothing to look up, and nothing is written that other workers read.

use core::cell::RefCell;
use core::ptr;

use crate::ffi::conf::LocConf;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ids::AppId;
use crate::text::{AppName, Text};

/// A `$intermission_max_time` that is kept. Nothing is kept of a request with a longer one.
type MaxTimeText = Text<32>;

/// What the way of a request depends on while its app is open.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub conf: &'static LocConf,
    /// `$app_name`
    pub name: &'a [u8],
    /// `$intermission_max_time`. None if nginx has not made its value.
    pub max_time: Option<&'a [u8]>,
    /// As of this count of [`Signals::changes`](crate::shared::signals::Signals::changes).
    pub changes: u64,
}

struct Last {
    conf: *const LocConf,
    changes: u64,
    name: AppName,
    max_time: Option<MaxTimeText>,
    app: Option<AppId>,
}

/// The last request that passed in this worker.
pub(crate) static LAST: PerWorker<Familiar> = PerWorker::new(Familiar::new());

/// The last request that passed.
pub(crate) struct Familiar(RefCell<Last>);

impl Familiar {
    const fn new() -> Self {
        Self(RefCell::new(Last {
            conf: ptr::null(),
            changes: 0,
            name: AppName::EMPTY,
            max_time: None,
            app: None,
        }))
    }

    /// The app is open, and this is its entry, if it has one. None if the last request that passed was
    /// not like this one.
    #[inline]
    pub(crate) fn app(&self, way: Way<'_>) -> Option<Option<AppId>> {
        let last = self.0.try_borrow().ok()?;
        let same = ptr::eq(last.conf, way.conf)
            && last.changes == way.changes
            && last.name.as_bytes() == way.name
            && last.max_time.as_ref().map(Text::as_bytes) == way.max_time;
        same.then_some(last.app)
    }

    /// A request like this one has passed, and all is noted about it. Its app has this entry, if any.
    pub(crate) fn learn(&self, way: Way<'_>, app: Option<AppId>) {
        let max_time = way.max_time.map(MaxTimeText::new).transpose();
        let (Ok(name), Ok(max_time)) = (AppName::new(way.name), max_time) else { return };
        let Way { conf, changes, .. } = way;
        if let Ok(mut last) = self.0.try_borrow_mut() {
            *last = Last { conf, changes, name, max_time, app };
        }
    }

    /// Nothing of that holds any more.
    pub(crate) fn forget(&self) {
        if let Ok(mut last) = self.0.try_borrow_mut() {
            last.conf = ptr::null();
        }
    }
}
