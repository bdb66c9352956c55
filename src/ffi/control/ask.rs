//! Control requests that tell what is in flight: all workers are asked first.

use nginx_sys::ngx_msec_t;

use super::parked::{answer_those, park, Awaited, Parked};
use crate::ffi::nginx::attach::attached;
use crate::ffi::nginx::queue::Queue;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::request::in_flight;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ids::Epoch;
use crate::zone;

/// A request waits for the workers' reports for this time at most, in ms.
pub(crate) const PATIENCE: ngx_msec_t = zone::PATIENCE.0 as ngx_msec_t;

/// How often this worker looks whether all have reported, in ms.
const INTERVAL: ngx_msec_t = 5;

static ASKING: Queue<Parked<Asking>> = Queue::new(Parked::link);
static TIMER: Timer = Timer::new(on_timer);

/// The reports of all workers.
struct Asking {
    /// The question that all of them must have seen.
    question: Epoch,
    then: fn(Request),
}

/// Asks all workers what they have in flight. Returns the question.
pub(crate) fn ask(this: &ThisWorker) -> Epoch {
    let question = this.zone.visit(|zone| zone.ask());
    in_flight::answer_questions(this);
    question
}

/// Whether all workers have answered this question.
pub(crate) fn all_told(this: &ThisWorker, question: Epoch) -> bool {
    this.zone.visit(|zone| zone.all_told(question))
}

/// Whether no request of this worker waits for reports.
pub(crate) fn is_empty() -> bool {
    ASKING.is_empty()
}

/// Asks all workers. Returns whether the request waits for their reports: then `then` is called
/// when they are there, or the request has waited long enough. A request waits only once.
pub(crate) fn waits(r: Request, then: fn(Request)) -> bool {
    let Some(this) = ThisWorker::current().filter(|this| this.id().is_some()) else { return false };
    // A subrequest has no connection of its own to wait on.
    if !r.is_main() || attached::<Parked<Asking>>(r).is_some() {
        return false;
    }
    let question = ask(this);
    if all_told(this, question) || park(r, Asking { question, then }, PATIENCE).is_err() {
        return false;
    }
    TIMER.start_within(1);
    true
}

fn on_timer() {
    let Some(this) = ThisWorker::current() else { return };
    answer_those(|asking: &Asking, _| all_told(this, asking.question));
    if !ASKING.is_empty() {
        TIMER.start(INTERVAL);
    }
}

impl Awaited for Asking {
    fn queue() -> &'static Queue<Parked<Self>> {
        &ASKING
    }

    fn answer(&self, r: Request) {
        (self.then)(r);
    }
}
