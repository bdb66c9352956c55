//! While lines move, a worker that holds requests looks out for its turn: between any two events of its
//! event loop, and for a short time before it sleeps. Whoever gives it the turn meanwhile need not wake
//! it, and the line need not wait until it has handled all events that came with the call.

use core::cell::Cell;
use core::time::Duration;
use std::thread::yield_now;
use std::time::Instant;

use super::held;
use crate::ffi::nginx::cycle;
use crate::ffi::nginx::event_loop::{self, Wait, Waited};
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::posting::Post;
use crate::ffi::nginx::timer::Timer;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::shared::call::Call;

/// How long it looks out before it sleeps: about as long as others take to wake it. Meanwhile it leaves
/// the processor to those that have something to do.
const PATIENCE: Duration = Duration::from_micros(100);

/// It looks out before it sleeps if its last turn came so soon after the one before.
const SOON: Duration = Duration::from_micros(300);

/// What it calls when it hears that its turn may have come, and to look for that later.
struct Turns {
    take: Cell<fn()>,
    schedule: Cell<fn(Post)>,
}

static TURNS: PerWorker<Turns> =
    PerWorker::new(Turns { take: Cell::new(|| {}), schedule: Cell::new(|_| {}) });

/// Whether it looks for a call again before it sleeps.
static LOOKS: PerWorker<Cell<bool>> = PerWorker::new(Cell::new(false));

/// When its last turn was over.
static LAST: PerWorker<Cell<Option<Instant>>> = PerWorker::new(Cell::new(None));

/// Whether the next turn may come soon.
static HOPES: PerWorker<Cell<bool>> = PerWorker::new(Cell::new(false));

static GLANCE: Timer = Timer::new(on_glance);

/// What it is to call when a turn may have come, and if it is too late to take one now.
pub(crate) fn begin(take: fn(), schedule: fn(Post)) {
    TURNS.take.set(take);
    TURNS.schedule.set(schedule);
}

/// It looks whether it is its turn. From now on it looks out, while lines move and it holds requests.
pub(crate) fn hear(this: &ThisWorker) {
    event_loop::wrap(wait);
    let called = call_of(this).is_some_and(|call| call.hear(LOOKS.get()));
    if let Some(last) = LAST.get().filter(|_| called) {
        HOPES.set(has_own_processor() && last.elapsed() < SOON);
    }
}

/// Whether there is a processor for each worker. Else one that looks out takes it from one that works.
fn has_own_processor() -> bool {
    let workers = cycle::running().map_or(0, |cycle| cycle::core_conf(cycle).worker_processes);
    workers <= cycle::process().processors as isize
}

/// Its turn is over: it has passed on a request.
pub(crate) fn turn_is_over() {
    LAST.set(Some(Instant::now()));
}

fn call_of(this: &ThisWorker) -> Option<&'static Call> {
    this.zone.signals().notices.get(this.id().index()).map(|notice| &notice.call)
}

/// nginx's event loop waits for events.
fn wait(wait: Wait<'_>) -> Waited {
    let this = ThisWorker::current();
    let Some((this, call)) = this.and_then(|this| Some((this, call_of(this)?))) else {
        return wait.as_ever();
    };
    LOOKS.set(held::any() && this.zone.signals().any_moving());
    if !LOOKS.get() {
        if !call.fall_asleep() {
            call.hear(false);
            (TURNS.schedule.get())(Post::Now);
        }
        event_loop::unwrap();
        return wait.as_ever();
    }
    call.wake_up();
    let waited = look_out(wait, call);
    GLANCE.post_first();
    waited
}

fn look_out(wait: Wait<'_>, call: &Call) -> Waited {
    if !wait.may_sleep() || call.is_called() {
        return wait.post_ready();
    }
    if HOPES.get() {
        let began = Instant::now();
        loop {
            let waited = wait.post_ready();
            if event_loop::any_posted() || call.is_called() {
                return waited;
            }
            if began.elapsed() >= PATIENCE {
                break;
            }
            yield_now();
        }
        HOPES.set(false);
    }
    if !call.fall_asleep() {
        return wait.post_ready();
    }
    let waited = wait.post();
    call.wake_up();
    waited
}

/// Between two events.
fn on_glance() {
    let Some(call) = ThisWorker::current().and_then(call_of) else { return };
    if call.is_called() {
        (TURNS.take.get())();
    }
    GLANCE.post_second();
}
