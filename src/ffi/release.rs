//! This worker's turn: it takes its run of the line, lets each go on in order, hands the baton on.

use nginx_sys::{
    ngx_event_t, ngx_msec_t, ngx_post_event, ngx_posted_events, ngx_posted_next_events, ngx_queue_t,
};

use super::hold::Hold;
use super::workers::{self, ThisWorker};
use super::zone::now;
use super::{halt, kept, room};
use crate::app::Spacing;
use crate::ids::AppId;
use crate::time::Msec;
use crate::zone::{Given, Turn};

/// A released request that takes longer than this is waited for no more.
const LONG: Msec = Msec(10_000);

/// How often the requests under way are looked at, in ms.
const FINISHING_INTERVAL: ngx_msec_t = 500;

/// Sees whether it is this worker's turn, before the event loop turns.
pub(super) fn schedule() {
    post(&raw mut ngx_posted_events);
}

/// Sees whether it is this worker's turn, when the event loop has turned.
pub(super) fn schedule_next() {
    post(&raw mut ngx_posted_next_events);
}

fn post(queue: *mut ngx_queue_t) {
    let Some(this) = workers::this() else { return };
    if this.held.get() > 0 && (this.cut_off.get() || this.zone.gates().any_moving()) {
        // SAFETY: our own event and nginx's own queue, on nginx's one thread.
        unsafe { ngx_post_event(this.turn.event(), queue) };
    }
}

/// Runs between two turns of the event loop, and when the next of a paced drain is due.
pub(super) extern "C" fn on_turn(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    if kept::is_due(this) {
        this.longest_run.set(1);
    }
    let room = room::for_release(this).min(this.longest_run.get());
    let (last, turn) = this.zone.visit(|zone| {
        // SAFETY: this process filled the slot, and its mark lives while it is held.
        let each = |given| unsafe { grant(this, given) };
        if this.cut_off.get() {
            (this.last.get(), zone.cut_off(this.id(), each))
        } else {
            zone.take_turn(this.id(), this.last.get(), room, each)
        }
    });
    this.last.set(last);
    match turn {
        Turn::Nobody => {}
        Turn::Later(at) => this.turn.set(Some(at)),
        Turn::TurnAway { retry_after } => {
            walk(this, |hold| {
                // SAFETY: live, and not touched again.
                unsafe { Hold::turn_away(hold, retry_after) };
                true
            });
            schedule_next();
        }
        Turn::Release(app, spacing) => {
            kept::freshen(this);
            this.longest_run.set(this.longest_run.get().saturating_mul(2));
            go_on(this, app, spacing, 0);
            // Another app's turn may be this worker's too, and it was woken once for both.
            schedule_next();
        }
    }
}

/// Lets those in the run go on, in order; so many have left before. Where one is delayed, those
/// behind it and the baton wait for it.
fn go_on(this: &ThisWorker, app: AppId, spacing: Spacing, left: u32) {
    this.left.set(left);
    let mut delayed = None;
    let passed_on = walk(this, |hold| {
        // SAFETY: live, and not touched again but where it is still there.
        let there = unsafe { Hold::release(hold) };
        delayed = there.filter(|hold| spacing == Spacing::OneByOne && halt::is_delayed(hold));
        delayed.is_none()
    });
    let (me, left) = (this.id(), this.left.get());
    match delayed {
        Some(delayed) => {
            this.longest_run.set(1);
            this.zone.visit(|zone| zone.halt(app, me, passed_on, left));
            this.halts.begin(app, delayed, &this.run, now().monotonic);
        }
        None => this.zone.visit(|zone| zone.give_back(app, me, passed_on, left)),
    }
}

/// Looks whether those that are delayed have set out.
pub(super) extern "C" fn on_delayed(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    let now = now().monotonic;
    while let Some(halt) = this.halts.take_over(now) {
        let late = halt.is_late(now);
        if late {
            this.zone.visit(|zone| zone.hurry(halt.app, this.id()));
        }
        let spacing = if late { Spacing::None } else { Spacing::OneByOne };
        go_on(this, halt.app, spacing, halt.rejoin(&this.run));
    }
    this.halts.look_again(now);
    schedule_next();
}

/// nginx is about to close all connections: nobody waits for another any more.
pub(super) fn hurry(this: &ThisWorker) {
    while let Some(halt) = this.halts.take_any() {
        go_on(this, halt.app, Spacing::None, halt.rejoin(&this.run));
    }
}

/// # Safety
/// The cookie is that of a live mark which is in no queue.
unsafe fn grant(this: &ThisWorker, given: Given) {
    // SAFETY: the caller's.
    let hold = unsafe { &*(given.cookie.0 as usize as *const Hold) };
    hold.grant(&given);
    this.run.push(hold, &hold.link);
}

/// Does something with each in the run, in order, until it says no; what it does may end that one
/// and others. Returns with how many.
fn walk(this: &ThisWorker, mut each: impl FnMut(*const Hold) -> bool) -> u32 {
    let mut count = 0;
    while let Some(hold) = this.run.first() {
        // SAFETY: who is in the run is live.
        unsafe { (*hold).link.leave() };
        count += 1;
        if !each(hold) {
            break;
        }
    }
    count
}

/// A released request is under way.
pub(super) fn set_out(this: &ThisWorker, hold: &Hold) {
    this.under_way.push(hold, &hold.link);
    this.under_way_count.set(this.under_way_count.get() + 1);
    this.finishing.start(FINISHING_INTERVAL);
}

/// A request under way is finished, or is taken for such: somebody else may have its room.
pub(super) fn finished(this: &ThisWorker, hold: &Hold) {
    hold.link.leave();
    this.under_way_count.set(this.under_way_count.get().saturating_sub(1));
    if let Some(slot) = hold.counted.take() {
        this.zone.visit(|zone| zone.finish(slot, this.id(), hold.cookie()));
    }
    room::say_at_rest(this);
    schedule_next();
}

/// Looks after requests that take long, or for ever.
pub(super) extern "C" fn on_finishing(_: *mut ngx_event_t) {
    let Some(this) = workers::this() else { return };
    let now = now().monotonic;
    for hold in this.under_way.iter() {
        let long = now.since(hold.released_at()) >= LONG;
        if long || hold.is_upgraded() || hold.is_answered() {
            finished(this, hold);
        }
    }
    if this.under_way.first().is_some() {
        this.finishing.start(FINISHING_INTERVAL);
    }
}
