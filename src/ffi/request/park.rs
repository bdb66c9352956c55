//! Here a request is held. Also what ends its hold other than its turn: its max_time, a stop, its
//! client, the end of its memory.

use nginx_sys::{
    ngx_int_t, ngx_msec_t, NGX_AGAIN, NGX_HTTP_CLIENT_CLOSED_REQUEST,
    NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_SERVICE_UNAVAILABLE,
};

use super::mark::{self, Mark, Stage, MARKS};
use super::{bypass, failed, given_up, in_flight, release};
use crate::ffi::conf;
use crate::ffi::nginx::log::write;
use crate::ffi::nginx::posting::Post;
use crate::ffi::nginx::recycled::{Recycle, Recycled};
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::Failed;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::ids::SlotId;
use crate::log_lines::requests::RequestEvent;
use crate::log_lines::About;
use crate::settings::{ErrorStatus, PassOr};
use crate::text::AppName;
use crate::time::{MaxTime, Msec};
use crate::zone::{DepartReason, Departure};

/// If max_time is over while the app drains, the request keeps its ticket, and asks again after this
/// many ms.
const ASK_AGAIN: ngx_msec_t = 1000;

/// Lets the request of this mark wait for its turn in its slot. Returns what a phase handler returns.
pub(crate) fn park(this: &ThisWorker, mark: &Mark, slot: SlotId, max_time: MaxTime) -> ngx_int_t {
    if mark.r().suspend(on_write, max_time.msec().0 as ngx_msec_t).is_err() {
        leave(this, mark, slot);
        return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
    }
    release::watch_for_deaths();
    NGX_AGAIN as ngx_int_t
}

/// Lets a request that has come back wait for its turn. If it is to be turned away, that happens soon.
pub(crate) fn park_again(mark: &Mark, max_time: MaxTime) -> Result<(), Failed> {
    let left = match mark.stage.get() {
        Stage::Held(_) => max_time.msec().since(mark.held_for()),
        _ => Msec(0),
    };
    mark.r().suspend(on_write, left.0.max(1) as ngx_msec_t)?;
    release::watch_for_deaths();
    Ok(())
}

/// The write event of a held request: its max_time is over, it is turned away, its client is gone, or
/// nothing has happened. Its turn has another handler: [`release::go_on`].
extern "C" fn on_write(r: Request) {
    let Some(mark) = mark::find(r) else { return };
    match mark.stage.get() {
        Stage::Held(slot) if !r.is_waiting() => expire(r, mark, slot),
        Stage::Held(_) | Stage::Granted if r.has_write_error() => {
            r.finalize(NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t);
        }
        Stage::Held(_) | Stage::Granted => {
            if r.rearm_write().is_err() {
                r.finalize(NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
            }
        }
        Stage::Stopped { retry_after } => {
            r.finalize(turn_away(r, ErrorStatus::UNAVAILABLE, retry_after));
        }
        // These are not held.
        Stage::Passed
        | Stage::Bypassed
        | Stage::Rejected(_)
        | Stage::Released
        | Stage::Expired
        | Stage::Left => {}
    }
}

/// The request was held for its max_time.
fn expire(r: Request, mark: &'static Mark, slot: SlotId) {
    let Some(this) = ThisWorker::current() else { return };
    let answer = match conf::loc_conf(&r).and_then(|conf| conf.expired) {
        Some(PassOr::Answer(code)) => Some(code),
        Some(PassOr::Pass) | None => None,
    };
    let why = if answer.is_some() { DepartReason::Answered } else { DepartReason::Passed };
    match this.zone.visit(|zone| zone.depart(slot, this.id(), mark.cookie(), why)) {
        Departure::Stays => {
            r.start_timer(ASK_AGAIN);
            // The worker that should have woken this one may have died.
            release::schedule(Post::Now);
            release::watch_for_deaths();
        }
        Departure::Gone { report, retry_after } => {
            mark.end_hold(Stage::Expired);
            if let Some(count) = report {
                tell_expired(mark, count, answer);
            }
            match answer {
                Some(code) => {
                    if code.is_temporary() {
                        say_retry_after(r, retry_after);
                    }
                    r.finalize(status_of(code));
                }
                None => {
                    release::freshen_connections(this);
                    in_flight::start(this, mark);
                    release::go_on(r);
                }
            }
        }
    }
}

/// A held request leaves the line, and is not passed on.
fn leave(this: &ThisWorker, mark: &Mark, slot: SlotId) {
    mark.end_hold(Stage::Left);
    let (id, cookie) = (this.id(), mark.cookie());
    this.zone.visit(|zone| zone.depart(slot, id, cookie, DepartReason::Left));
}

fn tell_expired(mark: &Mark, count: u32, answer: Option<ErrorStatus>) {
    let event = match answer {
        Some(_) => RequestEvent::Expired { count },
        None => RequestEvent::ExpiredToApp { count },
    };
    let name = AppName::new(mark.app_name()).unwrap_or_default();
    write(mark.r().log(), &About(&name, event));
}

/// Adds a Retry-After header to the answer.
pub(crate) fn say_retry_after(r: Request, seconds: u64) {
    // If there is no memory for it, the answer goes out without it.
    let _ = r.add_header("Retry-After", &seconds.to_string());
}

/// Turns a request away, and closes its connection after the answer: it takes room. Returns what a phase
/// handler returns.
pub(crate) fn turn_away(r: Request, code: ErrorStatus, seconds: u64) -> ngx_int_t {
    r.forbid_keepalive();
    if code.is_temporary() {
        say_retry_after(r, seconds);
    }
    status_of(code)
}

/// What a phase handler returns if nginx is to answer with this status.
pub(crate) fn status_of(code: ErrorStatus) -> ngx_int_t {
    ngx_int_t::try_from(code.number()).unwrap_or(NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t)
}

impl Recycle for Mark {
    fn places() -> &'static Recycled<Self> {
        &MARKS
    }

    fn new(r: Request) -> Self {
        Self::new(r)
    }

    #[inline(always)]
    fn take(&self, r: Request) {
        self.renew(r);
    }

    /// The request is about to go: gives back all that it has in this worker and in the zone.
    #[inline]
    fn gone(&self) {
        given_up::count_if_given_up(self);
        in_flight::end(self);
        if self.stage.get() != Stage::Passed {
            ended(self);
        }
    }
}

/// A request that has done more than pass is about to go.
#[inline(never)]
fn ended(mark: &Mark) {
    let Some(this) = ThisWorker::current() else { return };
    release::forget(mark);
    match mark.stage.get() {
        Stage::Held(slot) => leave(this, mark, slot),
        Stage::Granted => {
            mark.turn().leave();
            mark.end_hold(Stage::Left);
            release::free_slot(this, mark);
        }
        Stage::Released => {
            if mark.turn().is_linked() {
                release::finish(this, mark);
            }
            failed::count_if_failed(this, mark);
        }
        Stage::Bypassed => bypass::count_if_failed(this, mark),
        Stage::Passed
        | Stage::Rejected(_)
        | Stage::Expired
        | Stage::Stopped { .. }
        | Stage::Left => {}
    }
}
