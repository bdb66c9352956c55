//! A request that its app never saw is held instead of being answered 502 or 504. It is tried again
//! until it gets through, or its time (`intermission_away`) is over.

use core::cell::Cell;

use nginx_sys::{
    ngx_int_t, ngx_msec_t, NGX_HTTP_CLIENT_CLOSED_REQUEST, NGX_HTTP_INTERNAL_SERVER_ERROR,
};

use super::admission;
use super::mark::{self, Stage};
use crate::ffi::conf;
use crate::ffi::nginx::attach::{self, Attached};
use crate::ffi::nginx::cycle::now;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::take_back::{self, Owner};
use crate::ffi::nginx::Failed;
use crate::request::admit::Admission;
use crate::time::Msec;

/// A request is tried again after this, in ms; each time after twice as long, up to the longest.
const SHORTEST: Msec = Msec(50);
const LONGEST: Msec = Msec(1000);

/// What happens to requests that nginx could not send.
pub(crate) static OWNER: Owner = Owner { concerns, may_hold, hold, through };

/// What is known of a request that was taken back, in its own memory.
struct Away {
    /// When it was taken back first, on the monotonic clock.
    since: Msec,
    /// For how long it is held so at most, from then on.
    limit: Msec,
    /// After how long it is tried again.
    interval: Cell<Msec>,
    /// What nginx answers if it gives up.
    answer: Cell<ngx_int_t>,
}

impl Attached for Away {}

impl Away {
    /// How much of its time is left.
    fn left(&self) -> Msec {
        Msec(self.limit.0.saturating_sub(now().monotonic.since(self.since).0))
    }
}

/// Whether a request is one that its app's gate let pass, and no page for one that was turned away.
fn concerns(r: Request) -> bool {
    let stage = mark::find(r).map(|mark| mark.stage.get());
    matches!(stage, Some(Stage::Passed | Stage::Released | Stage::Expired))
}

/// Whether a request that its app never saw is held: no health check is, and no privileged one. Its
/// time counts from the first time on, whatever upstreams it has.
fn may_hold(r: Request, _: ngx_int_t) -> bool {
    if let Some(away) = attach::attached::<Away>(r) {
        return away.left() > Msec(0);
    }
    let limit = conf::loc_conf(&r).and_then(|conf| conf.away).flatten();
    let is_usual = conf::main_conf(&r).map(|main| admission::of(r, main)) == Some(Admission::Usual);
    let Some(limit) = limit.filter(|_| is_usual) else { return false };
    let (interval, answer) = (Cell::new(SHORTEST), Cell::new(0));
    attach::attach(r, Away { since: now().monotonic, limit, interval, answer }).is_ok()
}

/// nginx has let go of it.
fn hold(r: Request, answer: ngx_int_t) -> Result<(), Failed> {
    let away = attach::attached::<Away>(r).ok_or(Failed)?;
    away.answer.set(answer);
    let interval = away.interval.get();
    away.interval.set(Msec(interval.0 * 2).min(LONGEST));
    r.suspend(on_write, interval.min(away.left()).0.max(1) as ngx_msec_t)
}

/// It has a connection to its app.
fn through(r: Request) {
    if let Some(away) = attach::attached::<Away>(r) {
        away.interval.set(SHORTEST);
    }
}

/// The write event of a request that waits: it is to be tried again, its time is over, its client is
/// gone, or nothing at all has happened.
extern "C" fn on_write(r: Request) {
    let Some(away) = attach::attached::<Away>(r) else { return };
    if r.has_write_error() {
        r.finalize(NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t);
    } else if r.is_waiting() {
        if r.rearm_write().is_err() {
            r.finalize(NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
        }
    } else if away.left() > Msec(0) {
        take_back::try_again(r);
    } else {
        // nginx's own answer, by the site's error_page.
        r.finalize(away.answer.get());
    }
}
