//! The requests that this worker has passed on and that are not finished, and their counts per app,
//! which all workers can read.

use core::cell::{Cell, RefCell};

use nginx_sys::ngx_msec_t;

use super::mark::{InFlightAs, Mark, Stage};
use super::{oldest, room};
use crate::ffi::nginx::cycle::now;
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::queue::Queue;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::worker::familiar::{self, Known};
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ids::{AppId, Epoch, WorkerId};
use crate::shared::in_flight::{AppIndex, CountCell, Counts};

/// How often the requests in flight are looked at while a caller waits for an app to be quiet, in ms:
/// nginx does not tell when an upstream's answer is complete.
const WATCHED_INTERVAL: ngx_msec_t = 20;
/// The same while no caller waits.
const INTERVAL: ngx_msec_t = 500;

/// Where the requests in flight are counted.
struct State {
    /// This worker's row in shared memory, a count for each app.
    row: Cell<&'static [CountCell]>,
    /// The apps of which this worker counts requests. None before it has looked.
    known: RefCell<Option<AppIndex>>,
    /// What was the zone's epoch when it looked.
    epoch: Cell<Epoch>,
}

static STATE: PerWorker<State> = PerWorker::new(State {
    row: Cell::new(&[]),
    known: RefCell::new(None),
    epoch: Cell::new(Epoch(0)),
});

/// Those that were passed on first come first.
static IN_FLIGHT: Queue<Mark> = Queue::new(|mark| &mark.in_flight);

static TIMER: Timer = Timer::new(on_timer);

/// Whether the timer is set.
static IS_WATCHED: PerWorker<Cell<bool>> = PerWorker::new(Cell::new(false));

impl State {
    fn find(&self, name: &[u8]) -> Option<AppId> {
        self.known.try_borrow().ok()?.as_ref()?.find(name)
    }

    fn count(&self, app: AppId) -> Option<&'static CountCell> {
        self.row.get().get(app.index())
    }
}

/// Whether all requests in flight are tunnels. No caller waits for a tunnel.
pub(crate) fn only_tunnels() -> bool {
    IN_FLIGHT.iter().all(Mark::is_upgraded)
}

/// The entry of the app with this name. None if it has none.
pub(crate) fn entry_of(name: &[u8]) -> Option<AppId> {
    STATE.find(name)
}

/// A request is passed on.
pub(crate) fn start(this: &ThisWorker, mark: &'static Mark) {
    start_for(this, mark, entry_of(mark.app_name()));
}

/// A request passes like the last one.
#[inline(always)]
pub(crate) fn pass(this: &ThisWorker, mark: &'static Mark, known: Known) {
    mark.set_app_name(known.name);
    start_for(this, mark, known.app);
}

/// As [`start`], for the app that [`entry_of`] finds.
#[inline(always)]
fn start_for(this: &ThisWorker, mark: &'static Mark, app: Option<AppId>) {
    mark.passed_on_at.set(now().monotonic);
    IN_FLIGHT.push(mark);
    if let Some((app, count)) = app.and_then(|app| Some((app, STATE.count(app)?))) {
        if mark.stage.get() == Stage::Passed {
            count.pass();
        }
        count.start();
        mark.in_flight_as.set(InFlightAs::InFlight(app));
        if !IS_WATCHED.get() {
            watch(this);
        }
    }
}

/// A request is not in flight any more. Does nothing if it was not.
#[inline]
pub(crate) fn end(mark: &Mark) {
    if !mark.in_flight.is_linked() {
        return;
    }
    mark.in_flight.leave();
    match mark.in_flight_as.replace(InFlightAs::Nothing) {
        InFlightAs::Nothing => {}
        InFlightAs::InFlight(app) => STATE.count(app).into_iter().for_each(CountCell::end),
        InFlightAs::Upgraded(app) => STATE.count(app).into_iter().for_each(CountCell::close),
    }
}

/// Counts a request that nginx is done with and the app may not be. Called before [`end`].
pub(crate) fn count_given_up(mark: &Mark) {
    let count = STATE.find(mark.app_name()).and_then(|app| STATE.count(app));
    count.into_iter().for_each(|count| count.give_up(now().monotonic));
}

/// From now on counts in the row of this entry, from 0. [`refresh`] then counts what is in flight.
pub(crate) fn take_row(this: &ThisWorker, id: WorkerId) {
    IN_FLIGHT.iter().for_each(|mark| mark.in_flight_as.set(InFlightAs::Nothing));
    STATE.row.set(this.zone.counts().row(id));
    STATE.epoch.set(Epoch::default());
    STATE.known.replace(None);
    familiar::forget_all();
}

/// If the zone's epoch is a new one, the apps may be others, or a caller asks what is in flight: counts
/// everything again, and says in the zone that all requests passed on up to now are counted.
pub(crate) fn refresh(this: &ThisWorker) {
    if !this.id().is_some() || this.zone.signals().epoch() == STATE.epoch.get() {
        return;
    }
    let mut apps = Vec::with_capacity(this.zone.max_apps());
    let room = room::of(this);
    let (epoch, asked) = this.zone.visit(|zone| {
        zone.set_room(this.id(), room);
        apps.extend(zone.apps_by_hash());
        (zone.signals.epoch(), zone.asked())
    });
    count_anew(AppIndex::new(apps));
    let before = STATE.epoch.replace(epoch);
    if asked > before {
        oldest::tell(this, asked, IN_FLIGHT.iter());
    }
    this.zone.counts().set_seen(this.id(), epoch);
}

/// Counts what is in flight for these apps. The totals of an app are kept if it has the same entry as
/// before.
fn count_anew(known: AppIndex) {
    let row = STATE.row.get();
    let mut counts = vec![Counts::default(); row.len()];
    let before = STATE.known.take().unwrap_or_default();
    for (index, (count, cell)) in counts.iter_mut().zip(row).enumerate() {
        if known.agrees(&before, AppId::at(index)) {
            let Counts { passed, given_up, .. } = cell.get();
            *count = Counts { passed, given_up, ..Counts::default() };
        }
    }
    for mark in IN_FLIGHT.iter() {
        let app = known.find(mark.app_name());
        let count = app.and_then(|app| Some((app, counts.get_mut(app.index())?)));
        mark.in_flight_as.set(match count {
            None => InFlightAs::Nothing,
            Some((app, count)) if mark.is_upgraded() => {
                count.upgraded += 1;
                InFlightAs::Upgraded(app)
            }
            Some((app, count)) => {
                count.in_flight += 1;
                InFlightAs::InFlight(app)
            }
        });
    }
    row.iter().zip(counts).for_each(|(cell, count)| cell.set(count));
    STATE.known.replace(Some(known));
}

/// Starts the timer for the next look at the requests in flight: sooner if a caller waits.
pub(crate) fn watch(this: &ThisWorker) {
    let knows_none =
        STATE.known.try_borrow().is_ok_and(|known| known.as_ref().is_none_or(AppIndex::is_empty));
    if knows_none || IN_FLIGHT.is_empty() {
        return;
    }
    let waited_for = this.zone.signals().any_caller_waits();
    TIMER.start_within(if waited_for { WATCHED_INTERVAL } else { INTERVAL });
    IS_WATCHED.set(true);
}

fn on_timer() {
    IS_WATCHED.set(false);
    let Some(this) = ThisWorker::current() else { return };
    review();
    watch(this);
}

/// The bell rang: if the zone's epoch is a new one, counts everything again.
pub(crate) fn answer_questions(this: &ThisWorker) {
    if this.zone.signals().epoch() != STATE.epoch.get() {
        review();
        refresh(this);
    }
}

/// Finds the requests whose answer is complete, although the client has not taken all of it yet, and
/// those whose connection has become a tunnel.
fn review() {
    for mark in IN_FLIGHT.iter() {
        if mark.is_answered() {
            end(mark);
        } else if let InFlightAs::InFlight(app) = mark.in_flight_as.get() {
            if mark.is_upgraded() {
                mark.in_flight_as.set(InFlightAs::Upgraded(app));
                STATE.count(app).into_iter().for_each(CountCell::upgrade);
            }
        }
    }
}
