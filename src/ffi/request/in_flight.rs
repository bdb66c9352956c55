//! What this worker has passed on and is not finished, counted per app for everybody to see.

use core::cell::{Cell, RefCell};

use nginx_sys::{ngx_event_t, ngx_msec_t};

use crate::ffi::nginx::queue::Queue;
use crate::ffi::request::mark::{Mark, Stage};
use crate::ffi::request::oldest;
use crate::ffi::request::room;
use crate::ffi::worker::workers::{self, ThisWorker};
use crate::ffi::worker::zone::now;
use crate::ids::{AppId, Epoch, WorkerId};
use crate::shared::in_flight::{AppIndex, CountCell, Counts};

/// While a caller waits for an app to be quiet, those in flight are looked at this often, in ms:
/// nginx does not tell when an upstream's answer is complete.
const WATCHED_INTERVAL: ngx_msec_t = 20;
/// As long as nobody does.
const INTERVAL: ngx_msec_t = 500;

/// Those in flight, and the apps that they are counted under.
pub(crate) struct InFlight {
    list: Queue<Mark>,
    /// This worker's.
    row: Cell<&'static [CountCell]>,
    known: RefCell<AppIndex>,
    epoch: Cell<Epoch>,
}

/// What a request in flight is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Nothing: its app has no entry.
    Not,
    InFlight(AppId),
    Upgraded(AppId),
}

impl InFlight {
    pub(crate) fn new(row: &'static [CountCell]) -> Self {
        let (list, known) = (Queue::new(), RefCell::default());
        Self { list, row: Cell::new(row), known, epoch: Cell::new(Epoch::default()) }
    }

    /// Once it is where it stays.
    pub(crate) fn init(&self) {
        self.list.init();
    }

    /// Those that were passed on first come first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mark> {
        self.list.iter()
    }

    fn find(&self, name: &[u8]) -> Option<AppId> {
        self.known.try_borrow().ok()?.find(name)
    }

    fn count(&self, app: AppId) -> Option<&'static CountCell> {
        self.row.get().get(app.index())
    }
}

/// A request is passed on.
pub(crate) fn set_out(this: &ThisWorker, mark: &Mark) {
    let app = this.in_flight.find(mark.app_name());
    if let Some((app, count)) = app.and_then(|app| Some((app, this.in_flight.count(app)?))) {
        if mark.stage.get() == Stage::Passed {
            count.pass();
        }
        count.start();
        mark.counted_as.set(Counted::InFlight(app));
        watch(this);
    }
    mark.set_out_at.set(now().monotonic);
    this.in_flight.list.push(mark, &mark.flight);
}

/// A request is not in flight any more.
pub(crate) fn finished(this: &ThisWorker, mark: &Mark) {
    if !mark.flight.is_linked() {
        return;
    }
    mark.flight.leave();
    match mark.counted_as.replace(Counted::Not) {
        Counted::Not => {}
        Counted::InFlight(app) => this.in_flight.count(app).into_iter().for_each(CountCell::end),
        Counted::Upgraded(app) => this.in_flight.count(app).into_iter().for_each(CountCell::close),
    }
}

/// nginx is done with a request, and the app may not be; before [`finished`].
pub(crate) fn given_up(this: &ThisWorker, mark: &Mark) {
    let app = this.in_flight.find(mark.app_name());
    let count = app.and_then(|app| this.in_flight.count(app));
    count.into_iter().for_each(|count| count.give_up(now().monotonic));
}

/// Counts in the row of this entry from now on, beginning anew.
pub(crate) fn take_row(this: &ThisWorker, id: WorkerId) {
    this.in_flight.list.iter().for_each(|mark| mark.counted_as.set(Counted::Not));
    this.in_flight.row.set(this.zone.counts().row(id));
    this.in_flight.epoch.set(Epoch::default());
    this.in_flight.known.replace(AppIndex::default());
}

/// Counts under the apps that there are now, if these are others than before; says that everything
/// is counted that was passed on up to now.
pub(crate) fn refresh(this: &ThisWorker) {
    if !this.id().is_some() || this.zone.signals().epoch() == this.in_flight.epoch.get() {
        return;
    }
    let mut apps = Vec::with_capacity(this.zone.max_apps());
    let room = room::of(this);
    let (epoch, asked) = this.zone.visit(|zone| {
        zone.set_room(this.id(), room);
        apps.extend(zone.known());
        (zone.signals.epoch(), zone.asked())
    });
    let known = AppIndex::new(apps);
    let row = this.in_flight.row.get();
    let mut counts = vec![Counts::default(); row.len()];
    if let Ok(before) = this.in_flight.known.try_borrow() {
        for (index, (flight, count)) in counts.iter_mut().zip(row).enumerate() {
            if known.agrees(&before, AppId::at(index)) {
                let Counts { passed, given_up, .. } = count.get();
                *flight = Counts { passed, given_up, ..Counts::default() };
            }
        }
    }
    for mark in this.in_flight.list.iter() {
        let app = known.find(mark.app_name());
        let flight = app.and_then(|app| Some((app, counts.get_mut(app.index())?)));
        let counted = match flight {
            None => Counted::Not,
            Some((app, flight)) if mark.is_upgraded() => {
                flight.upgraded += 1;
                Counted::Upgraded(app)
            }
            Some((app, flight)) => {
                flight.in_flight += 1;
                Counted::InFlight(app)
            }
        };
        mark.counted_as.set(counted);
    }
    row.iter().zip(counts).for_each(|(count, flight)| count.set(flight));
    let before = this.in_flight.epoch.replace(epoch);
    if let Ok(mut place) = this.in_flight.known.try_borrow_mut() {
        *place = known;
    }
    if asked > before {
        oldest::tell(this, asked);
    }
    this.zone.counts().saw(this.id(), epoch);
}

/// Looks at those in flight after a while: soon, where a caller waits.
pub(crate) fn watch(this: &ThisWorker) {
    if this.in_flight.known.try_borrow().is_ok_and(|known| known.is_empty())
        || this.in_flight.list.is_empty()
    {
        return;
    }
    let waited_for = this.zone.signals().any_caller_waits();
    this.landing.start_within(if waited_for { WATCHED_INTERVAL } else { INTERVAL });
}

pub(crate) extern "C" fn on_landing(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    land(this);
    watch(this);
}

/// The bell rang: counts exactly, if there is anything that was not seen yet.
pub(crate) fn answer_questions(this: &ThisWorker) {
    if this.zone.signals().epoch() != this.in_flight.epoch.get() {
        land(this);
        refresh(this);
    }
}

/// Looks who is answered in full, though its client still takes what we have, and whose connection
/// has become a tunnel.
fn land(this: &ThisWorker) {
    for mark in this.in_flight.list.iter() {
        if mark.is_answered() {
            finished(this, mark);
        } else if let Counted::InFlight(app) = mark.counted_as.get() {
            if mark.is_upgraded() {
                mark.counted_as.set(Counted::Upgraded(app));
                this.in_flight.count(app).into_iter().for_each(CountCell::upgrade);
            }
        }
    }
}
