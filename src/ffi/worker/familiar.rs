//! What this worker found out and noted about the last request that passed at a place. The next one is
//! mostly like it: then there is nothing to look up, and nothing is written that other workers read.

use core::cell::{Cell, RefCell};

use nginx_sys::ngx_uint_t;

use crate::ffi::nginx::evaluate;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::seen::{Seen, Values};
use crate::ids::AppId;

/// How often all that was found out has become void.
static VOIDED: PerWorker<Cell<u64>> = PerWorker::new(Cell::new(0));

/// What the way of a request to its app depends on while that is open, and what was found out.
struct Last {
    name: Seen<128>,
    /// Nothing is kept of a request with a longer `$intermission_max_time`.
    max_time: Seen<32>,
    changes: u64,
    voided: u64,
    app: Option<AppId>,
}

/// The last request that passed at a place of the configuration.
#[derive(Default)]
pub(crate) struct Familiar(RefCell<Option<Last>>);

/// A request like the last one.
pub(crate) struct Known {
    /// Its `$app_name`, in the memory of the request or of its configuration.
    pub name: &'static [u8],
    /// The entry of its app, which is open.
    pub app: Option<AppId>,
}

impl Familiar {
    /// What is known of a request that has come to this place. `changes` is the count of
    /// [`Signals::changes`](crate::shared::signals::Signals::changes). None if the last request that
    /// passed was not like this one.
    #[inline(always)]
    pub(crate) fn know(&self, r: Request, changes: u64) -> Option<Known> {
        let last = self.0.try_borrow().ok()?;
        let last = last.as_ref()?;
        if last.changes != changes || last.voided != VOIDED.get() {
            return None;
        }
        let values = Values::of(&r);
        let (name, _) = (last.name.same(&values)?, last.max_time.same(&values)?);
        Some(Known { name, app: last.app })
    }

    /// A request has passed here, and all is noted about it: so it was with this count of changes, and
    /// its app has this entry, if any. Nothing is learned of an app's name that nginx makes anew for each
    /// request.
    pub(crate) fn learn(
        &self,
        r: Request,
        [name, max_time]: [ngx_uint_t; 2],
        changes: u64,
        app: Option<AppId>,
    ) {
        let last = || {
            Some(Last {
                name: Seen::new(r, name, evaluate::at_hand(&r, name)?)?,
                max_time: Seen::new(r, max_time, evaluate::at_hand(&r, max_time).unwrap_or(&[]))?,
                changes,
                voided: VOIDED.get(),
                app,
            })
        };
        if let Ok(mut place) = self.0.try_borrow_mut() {
            *place = last();
        }
    }
}

/// Nothing of what was found out holds any more.
pub(crate) fn forget_all() {
    VOIDED.set(VOIDED.get() + 1);
}
