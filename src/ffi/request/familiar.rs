//! What this worker found out and noted about the last request that passed. The next one is mostly like
//! it: then there is nothing to look up, and nothing is written that other workers read.

use core::cell::RefCell;
use core::ptr;

use crate::ffi::conf::LocConf;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ids::AppId;

/// In bytes: of an app's name, or a max_time. If one is longer, nothing is kept.
const LONGEST: usize = 32;

/// A copy of a short text.
#[derive(Clone, Copy)]
struct Text {
    len: usize,
    bytes: [u8; LONGEST],
}

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
    name: Text,
    max_time: Option<Text>,
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
            name: Text::EMPTY,
            max_time: None,
            app: None,
        }))
    }

    /// The app is open, and this is its entry, if it has one. None if the last request that passed was not like this one.
    #[inline]
    pub(crate) fn app(&self, way: Way<'_>) -> Option<Option<AppId>> {
        let last = self.0.try_borrow().ok()?;
        let same = ptr::eq(last.conf, way.conf)
            && last.changes == way.changes
            && last.name.is(way.name)
            && match (&last.max_time, way.max_time) {
                (Some(last), Some(now)) => last.is(now),
                (last, now) => last.is_none() && now.is_none(),
            };
        same.then_some(last.app)
    }

    /// A request like this one has passed, and all is noted about it. Its app has this entry, if any.
    pub(crate) fn learn(&self, way: Way<'_>, app: Option<AppId>) {
        let (name, max_time) = (Text::new(way.name), way.max_time.map(Text::new));
        let (Some(name), None | Some(Some(_))) = (name, max_time) else { return };
        let max_time = max_time.flatten();
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

impl Text {
    const EMPTY: Self = Self { len: 0, bytes: [0; LONGEST] };

    fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { len: text.len(), bytes })
    }

    #[inline]
    fn is(&self, text: &[u8]) -> bool {
        self.bytes.get(..self.len) == Some(text)
    }
}
