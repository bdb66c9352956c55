//! Answers that wait until all that this worker has changed is in the state file.

use core::cell::Cell;

use nginx_sys::{ngx_int_t, ngx_msec_t, NGX_ERROR};

use super::parked::{answer_those, park, Awaited, Parked};
use super::saving::Point;
use super::sending::send;
use crate::control::answer::Answer;
use crate::ffi::conf;
use crate::ffi::nginx::queue::Queue;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::text::AppName;

/// An answer waits for the disk for this time at most, in ms. Then it is sent all the same.
const PATIENCE: ngx_msec_t = 60_000;

/// How often this worker looks whether others have written their part, in ms.
const INTERVAL: ngx_msec_t = 20;

static LATE: Queue<Parked<Late>> = Queue::new(Parked::link);
static TIMER: Timer = Timer::new(on_timer);

/// An answer about the app `name` that waits for this point.
struct Late {
    name: AppName,
    point: Point,
    answer: Cell<Option<Answer>>,
}

/// Sends an answer when all that this worker has changed is on the disk. Returns the code with
/// which the request is finalized; None if the answer waits.
pub(crate) fn answer(r: Request, name: AppName, answer: Answer) -> Option<ngx_int_t> {
    let point = Point::now();
    let Some(this) = ThisWorker::current().filter(|this| r.is_main() && !point.is_reached(this))
    else {
        return Some(send_now(r, name, answer));
    };
    if point.waits_for_others(this) {
        TIMER.start(INTERVAL);
    }
    let late = Late { name, point, answer: Cell::new(Some(answer)) };
    park(r, late, PATIENCE).err().map(|_| NGX_ERROR as ngx_int_t)
}

/// Sends the answers for which the wait is over.
pub(crate) fn answer_due(this: &ThisWorker) {
    answer_those(|late: &Late, _| late.point.is_reached(this));
}

fn on_timer() {
    let Some(this) = ThisWorker::current() else { return };
    answer_due(this);
    if LATE.iter().any(|late| late.awaited.point.waits_for_others(this)) {
        TIMER.start(INTERVAL);
    }
}

fn send_now(r: Request, name: AppName, answer: Answer) -> ngx_int_t {
    let zone = conf::main_conf(&r).and_then(|conf| conf.zone);
    zone.map_or(NGX_ERROR as ngx_int_t, |zone| send(r, &zone, name, answer))
}

impl Awaited for Late {
    fn queue() -> &'static Queue<Parked<Self>> {
        &LATE
    }

    fn answer(&self, r: Request) {
        let answer = self.answer.take();
        r.finalize(answer.map_or(NGX_ERROR as ngx_int_t, |answer| send_now(r, self.name, answer)));
    }
}
