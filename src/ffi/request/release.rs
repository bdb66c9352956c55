//! This worker's turn: those of the line that are its own go on in order, then it hands the baton on.

use nginx_sys::{
    ngx_event_t, ngx_msec_t, ngx_post_event, ngx_posted_events, ngx_posted_next_events, ngx_queue_t,
};

use crate::ffi::nginx::kept;
use crate::ffi::request::halt;
use crate::ffi::request::mark::Mark;
use crate::ffi::request::room;
use crate::ffi::worker::workers::{self, ThisWorker};
use crate::ffi::worker::zone::now;
use crate::ids::AppId;
use crate::shared::app::Spacing;
use crate::time::Msec;
use crate::zone::{Given, Spare, Turn};

/// A released request that takes longer than this is waited for no more.
const LONG: Msec = Msec(10_000);

/// How often the requests under way are looked at, in ms.
const FINISHING_INTERVAL: ngx_msec_t = 500;

/// Sees whether it is this worker's turn, before the event loop turns.
pub(crate) fn schedule() {
    post(&raw mut ngx_posted_events);
}

/// Sees whether it is this worker's turn, when the event loop has turned.
pub(crate) fn schedule_next() {
    post(&raw mut ngx_posted_next_events);
}

fn post(queue: *mut ngx_queue_t) {
    let Some(this) = workers::this() else { return };
    if this.held.get() > 0 && (this.cut_off.get() || this.zone.signals().any_moving()) {
        // SAFETY: our own event and nginx's own queue, on nginx's one thread.
        unsafe { ngx_post_event(this.turn.event(), queue) };
    }
}

/// Runs between two turns of the event loop, and when the next of a paced drain is due.
pub(crate) extern "C" fn on_turn(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    let mut passed_on = None;
    for room in (0..=room::for_release(this)).rev() {
        match take_turn(this, passed_on.take(), room) {
            Turn::Nobody => return,
            Turn::Later(at) => return this.turn.set(Some(at)),
            Turn::TurnAway { retry_after } => {
                walk(this, |mark| {
                    // SAFETY: live, and not touched again.
                    unsafe { Mark::turn_away(mark, retry_after) };
                });
                return schedule_next();
            }
            Turn::Release(app, spacing) => {
                kept::freshen(this);
                passed_on = go_on(this, app, spacing);
                // Another app's turn may be this worker's too, and it was woken once for both.
                schedule_next();
            }
        }
    }
}

/// Gives back the baton of the app of which one was passed on, and takes the next turn. Those who go
/// on are taken one by one: whoever is behind one that is delayed is in line for every verb.
fn take_turn(this: &ThisWorker, passed_on: Option<AppId>, room: u32) -> Turn {
    let (last, turn) = this.zone.visit(|zone| {
        if let Some(app) = passed_on {
            zone.give_back(app, this.id());
        }
        // SAFETY: this process filled the slot, and its mark lives while it is held.
        let each = |given| unsafe { grant(this, given) };
        if this.cut_off.get() {
            (this.last.get(), zone.cut_off(this.id(), each))
        } else {
            let spare = if room > 0 { Spare::One } else { Spare::None };
            zone.take_turn(this.id(), this.last.get(), spare, each)
        }
    });
    this.last.set(last);
    turn
}

/// Lets the one go on whose turn it is; returns its app, whose baton is to be given back. Where it
/// is delayed, the baton waits for it.
fn go_on(this: &ThisWorker, app: AppId, spacing: Spacing) -> Option<AppId> {
    let mut delayed = None;
    walk(this, |mark| {
        // SAFETY: live, and not touched again but where it is still there.
        let there = unsafe { Mark::release(mark) };
        delayed = there.filter(|mark| spacing == Spacing::OneByOne && halt::is_delayed(mark));
    });
    let Some(delayed) = delayed else { return Some(app) };
    this.zone.visit(|zone| zone.halt(app, this.id()));
    this.halts.begin(app, delayed, now().monotonic);
    None
}

/// Looks whether those that are delayed have set out.
pub(crate) extern "C" fn on_delayed(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    let now = now().monotonic;
    while let Some(halt) = this.halts.take_over(now) {
        this.zone.visit(|zone| {
            if halt.is_late(now) {
                zone.hurry(halt.app, this.id());
            }
            zone.give_back(halt.app, this.id());
        });
    }
    this.halts.look_again(now);
    schedule();
}

/// nginx is about to close all connections: nobody waits for another any more.
pub(crate) fn hurry(this: &ThisWorker) {
    while let Some(halt) = this.halts.take_any() {
        this.zone.visit(|zone| zone.give_back(halt.app, this.id()));
    }
}

/// # Safety
/// The cookie is that of a live mark which is in no queue.
unsafe fn grant(this: &ThisWorker, given: Given) {
    // SAFETY: the caller's.
    let mark = unsafe { &*(given.cookie.0 as usize as *const Mark) };
    mark.grant(&given);
    this.run.push(mark, &mark.link);
}

/// Does something with each in the run, in order; what it does may end that one and others.
fn walk(this: &ThisWorker, mut each: impl FnMut(*const Mark)) {
    while let Some(mark) = this.run.first() {
        // SAFETY: who is in the run is live.
        unsafe { (*mark).link.leave() };
        each(mark);
    }
}

/// A released request is under way.
pub(crate) fn set_out(this: &ThisWorker, mark: &Mark) {
    this.under_way.push(mark, &mark.link);
    this.under_way_count.set(this.under_way_count.get() + 1);
    this.finishing.start(FINISHING_INTERVAL);
}

/// A request under way is finished, or is taken for such: somebody else may have its room.
pub(crate) fn finished(this: &ThisWorker, mark: &Mark) {
    mark.link.leave();
    this.under_way_count.set(this.under_way_count.get().saturating_sub(1));
    if let Some(slot) = mark.counted.take() {
        this.zone.visit(|zone| zone.finish(slot, this.id(), mark.cookie()));
    }
    room::say_at_rest(this);
    schedule_next();
}

/// Looks after requests that take long, or for ever.
pub(crate) extern "C" fn on_finishing(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    let now = now().monotonic;
    for mark in this.under_way.iter() {
        let long = now.since(mark.released_at()) >= LONG;
        if long || mark.is_upgraded() || mark.is_answered() {
            finished(this, mark);
        }
    }
    if this.under_way.first().is_some() {
        this.finishing.start(FINISHING_INTERVAL);
    }
}
