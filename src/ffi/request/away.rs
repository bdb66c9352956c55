//! Requests that the app never saw: nginx could not reach it, and they are held in their place once
//! more.

use nginx_sys::ngx_int_t;

use super::mark::{self, Back, Stage};
use super::{admission, held, in_flight, max_time, park, release, room};
use crate::ffi::conf;
use crate::ffi::nginx::cycle::now;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::take_back::Owner;
use crate::ffi::nginx::Failed;
use crate::ffi::worker::this_worker::ThisWorker;
use crate::request::admit::Admission;
use crate::text::AppName;
use crate::time::Msec;
use crate::zone::{Came, TakenBack, Unseen};

/// What nginx's side asks, and tells.
pub(crate) static OWNER: Owner = Owner { concerns, may_hold, hold, through };

/// Whether a request may be held once more: it was not turned away, and its max_time is not over.
fn concerns(r: Request) -> bool {
    let stage = mark::find(r).map(|mark| mark.stage.get());
    matches!(stage, Some(Stage::Passed | Stage::Released))
}

/// nginx could not send anything of the request, and is about to answer it. If it is to be held instead,
/// it has its place in line when this returns.
fn may_hold(r: Request, status: ngx_int_t) -> bool {
    let (Some(this), Some(mark), Some(main), Some(conf)) =
        (ThisWorker::current(), mark::find(r), conf::main_conf(&r), conf::loc_conf(&r))
    else {
        return false;
    };
    // Another server, to which the site's error_page may send it, does not tell whether the app is back.
    let Ok(hold) = mark.may_be_held() else { return false };
    hold.tries.set(None);
    if !concerns(r) {
        return false;
    }
    let Some(longest) = conf.away.flatten() else { return false };
    if admission::of(r, main) != Admission::Usual {
        return false;
    }
    let Ok(name) = AppName::new(mark.app_name()) else { return false };
    let (now, before) = (now().monotonic, hold.back.get());
    let back = before.unwrap_or(Back { arrived: mark.arrived(), since: now });
    if now >= back.since.after(longest) || this.cut_off.get() {
        return false;
    }
    let unseen = Unseen {
        slot: hold.kept_slot.get(),
        ticket: hold.ticket.get(),
        owner: this.id(),
        cookie: mark.cookie(),
        arrived: back.arrived,
        status: status.unsigned_abs() as u32,
        longest,
        came: if before.is_some() { Came::Again } else { Came::First },
    };
    let bounds = room::bounds(held::kind(r), conf.max_held.unwrap_or(u32::MAX));
    let taken = this.zone.visit(|zone| zone.take_back(&name, unseen, bounds));
    let stage = match taken {
        TakenBack::Held(slot) => Stage::Held(slot),
        TakenBack::Stopped { retry_after } => Stage::Stopped { retry_after },
        TakenBack::No => {
            hold.back.set(Some(Back { since: Msec(0), ..back }));
            return false;
        }
    };
    release::comes_back(mark);
    in_flight::end(mark);
    mark.comes_back(hold, stage, back);
    true
}

/// nginx has let go of the request, which waits for its turn.
fn hold(r: Request, _: ngx_int_t) -> Result<(), Failed> {
    let (mark, main) = (mark::find(r).ok_or(Failed)?, conf::main_conf(&r).ok_or(Failed)?);
    park::park_again(mark, max_time::of(r, main))
}

/// A request has got through to its app.
fn through(r: Request) {
    let (Some(this), Some(mark)) = (ThisWorker::current(), mark::find(r)) else { return };
    let Some(app) = mark.hold().and_then(|hold| hold.tries.take()) else { return };
    if let Ok(name) = AppName::new(mark.app_name()) {
        this.zone.visit(|zone| zone.through(app, &name));
    }
}
