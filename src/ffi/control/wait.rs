//! Control requests that are answered when an app is quiet, or drained.

use core::cell::Cell;

use nginx_sys::ngx_msec_t;

use super::parked::{answer_those, park, Awaited, Parked};
use super::{ask, late, saving};
use crate::control::carry_out::{Wait, Waited};
use crate::control::status::Status;
use crate::ffi::nginx::log::write;
use crate::ffi::nginx::queue::Queue;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::nginx::Failed;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ffi::worker::{entry, reap, seek};
use crate::ids::{Cookie, Epoch, WorkerId};
use crate::log_lines::About;
use crate::shared::word::Word;
use crate::zone::{Deadline, WaitResult, Zone};

/// How often the waits are polled, in ms: no worker rings when its last request in flight ends.
const INTERVAL: ngx_msec_t = 20;

static WAITING: Queue<Parked<Waiting>> = Queue::new(Parked::link);
static TIMER: Timer = Timer::new(on_timer);

/// The end of a wait.
struct Waiting {
    wait: Wait,
    result: Cell<WaitResult>,
    /// What all workers were asked when the time was over.
    question: Cell<Option<Epoch>>,
}

/// How the zone identifies the caller. Returns None if this worker has no entry, or the request is
/// a subrequest, which has no connection of its own to wait on.
pub(crate) fn waiter(r: Request) -> Option<(WorkerId, Cookie)> {
    let this = ThisWorker::current().filter(|_| r.is_main())?;
    seek::ensure_entry(this);
    this.id().is_some().then(|| (this.id(), cookie(r)))
}

fn cookie(r: Request) -> Cookie {
    Cookie(r.as_ptr() as usize as u64)
}

/// Whether no control request of this worker waits.
pub(crate) fn is_empty() -> bool {
    WAITING.is_empty()
}

/// Parks the request until its wait is over.
pub(crate) fn begin(r: Request, wait: Wait) -> Result<(), Failed> {
    let this = ThisWorker::current().ok_or(Failed)?;
    let (place, time) = (wait.place, wait.time);
    let (result, question) = (Cell::new(WaitResult::Pending), Cell::new(None));
    let parked = park(r, Waiting { wait, result, question }, time.0 as ngx_msec_t);
    if parked.is_err() {
        visit(this, |zone| zone.cancel_wait(place, this.id(), cookie(r)));
    }
    TIMER.start_within(1);
    parked
}

/// Answers the requests whose wait is over.
pub(crate) fn answer_due(this: &ThisWorker) {
    if WAITING.is_empty() {
        return;
    }
    // Until a worker looks, the zone counts one that had no entry as one that cannot be asked.
    entry::any_lacks_entry(&this.zone);
    answer_those(|waiting: &Waiting, r| {
        let told = || waiting.question.get().is_some_and(|asked| ask::all_told(this, asked));
        let is_over = this.cut_off.get() || told();
        waiting.poll(this, r, if is_over { Deadline::Over } else { Deadline::Ahead })
    });
}

fn on_timer() {
    let Some(this) = ThisWorker::current().filter(|_| !WAITING.is_empty()) else { return };
    reap::reap_dead_workers(&this.zone);
    answer_due(this);
    if !WAITING.is_empty() {
        TIMER.start(INTERVAL);
    }
}

/// Visits the zone. If that changes a pause, the change is on its way to the disk on return.
fn visit<R>(this: &ThisWorker, f: impl FnOnce(&mut Zone<'_>) -> R) -> R {
    let (result, changed) = this.zone.visit(|zone| {
        let before = zone.version();
        (f(zone), zone.version() != before)
    });
    if changed {
        saving::save(this);
    }
    result
}

impl Waiting {
    /// Returns whether the wait is over.
    fn poll(&self, this: &ThisWorker, r: Request, deadline: Deadline) -> bool {
        let result = visit(this, |zone| zone.poll(self.wait.place, this.id(), cookie(r), deadline));
        self.result.set(result);
        result != WaitResult::Pending
    }

    fn status(&self, this: &ThisWorker) -> Status {
        this.zone.visit(|zone| Status::of(zone, self.wait.app))
    }

    /// The time is over, and the answer names the requests that are still in flight. Returns
    /// whether that answer waits for the workers' reports.
    fn waits_for_reports(&self, this: &ThisWorker, r: Request) -> bool {
        if self.question.get().is_some() || self.status(this).state != Word::Paused {
            return false;
        }
        let question = ask::ask(this);
        self.question.set(Some(question));
        if ask::all_told(this, question) {
            return false;
        }
        r.start_timer(ask::PATIENCE);
        TIMER.start_within(1);
        true
    }
}

impl Awaited for Waiting {
    fn queue() -> &'static Queue<Parked<Self>> {
        &WAITING
    }

    fn times_out(&self, r: Request) -> bool {
        let Some(this) = ThisWorker::current() else { return false };
        !self.waits_for_reports(this, r) && self.poll(this, r, Deadline::Over)
    }

    fn answer(&self, r: Request) {
        let Some(this) = ThisWorker::current() else { return };
        let (result, done, app) = (self.result.get(), self.wait.done, self.status(this));
        let waited = Waited { result, done, app };
        if let Some(event) = waited.event() {
            write(r.log(), &About(&self.wait.app, event));
        }
        if let Some(code) = late::answer(r, self.wait.app, waited.answer()) {
            r.finalize(code);
        }
    }

    fn gone(&self, r: Request) {
        if let Some(this) = ThisWorker::current() {
            visit(this, |zone| zone.cancel_wait(self.wait.place, this.id(), cookie(r)));
        }
    }
}
