//! Control requests that say what is in flight: all workers are asked first.

use nginx_sys::ngx_msec_t;

use super::parked::{answer_where, park, Awaited, Parked};
use crate::ffi::nginx::attach::{attached, Kind};
use crate::ffi::nginx::event::Timer;
use crate::ffi::nginx::queue::Queue;
use crate::ffi::nginx::request::Request;
use crate::ffi::request::in_flight;
use crate::ffi::worker::this::{self, ThisWorker};
use crate::ids::Epoch;
use crate::zone;

/// For how long such a request waits for workers that do not answer, in ms.
pub(crate) const PATIENCE: ngx_msec_t = zone::PATIENCE.0 as ngx_msec_t;

/// How often it is looked whether they have, in ms; the first time after one.
const INTERVAL: ngx_msec_t = 5;

static ASKING: Queue<Parked<Asking>> = Queue::new(Parked::link);
static KIND: Kind = Kind::new();
static TIMER: Timer = Timer::new(on_timer);

/// The answers of all workers.
struct Asking {
    asked: Epoch,
    then: fn(Request),
}

/// Asks all workers. Returns what they must have seen.
pub(crate) fn ask(this: &ThisWorker) -> Epoch {
    let asked = this.zone.visit(|zone| zone.ask());
    in_flight::answer_questions(this);
    asked
}

/// Whether all of them have answered.
pub(crate) fn all_told(this: &ThisWorker, asked: Epoch) -> bool {
    this.zone.visit(|zone| zone.all_told(asked))
}

/// Whether no control request of this worker waits for them.
pub(crate) fn is_empty() -> bool {
    ASKING.is_empty()
}

/// Whether the request is to wait until all workers have said what they have in flight: `then` is called
/// when they have. It does not wait a second time.
pub(crate) fn waits(r: Request, then: fn(Request)) -> bool {
    let Some(this) = this::current().filter(|this| this.id().is_some()) else { return false };
    // A subrequest has no connection of its own to wait on.
    if !r.is_main() || attached::<Parked<Asking>>(r).is_some() {
        return false;
    }
    let asked = ask(this);
    if all_told(this, asked) || park(r, Asking { asked, then }, PATIENCE).is_err() {
        return false;
    }
    TIMER.start_within(1);
    true
}

fn on_timer() {
    let Some(this) = this::current() else { return };
    answer_where(|asking: &Asking, _| all_told(this, asking.asked));
    if !ASKING.is_empty() {
        TIMER.start(INTERVAL);
    }
}

impl Awaited for Asking {
    const KIND: &'static Kind = &KIND;

    fn queue() -> &'static Queue<Parked<Self>> {
        &ASKING
    }

    fn answer(&self, r: Request) {
        (self.then)(r);
    }
}
