//! The mark: what is known of a request that has come to its app's gate, from there to its end.

use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::ptr;

use nginx_sys::ngx_http_upstream_t;

use super::held;
use crate::ffi::nginx::attach::{self, Attached};
use crate::ffi::nginx::cycle::now;
use crate::ffi::nginx::flags::{self, request};
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::queue::Link;
use crate::ffi::nginx::recycled::Recycled;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{pointers, Failed};
use crate::ids::{AppId, Cookie, PauseId, SlotId, Ticket};
use crate::settings::ErrorStatus;
use crate::time::Msec;
use crate::zone::{Given, Release};

/// Goes with its request, a main one.
pub(crate) struct Mark {
    /// In the queue of those in flight while it is in flight.
    pub in_flight: Link<Mark>,
    pub in_flight_as: Cell<InFlightAs>,
    /// `$app_name`, in the request's or the configuration's memory.
    app_name: Cell<&'static [u8]>,
    r: Cell<Request>,
    pub stage: Cell<Stage>,
    /// Some from when it may be held on.
    hold: Cell<Option<&'static Hold>>,
    /// When it was passed on, on the monotonic clock; 0 if it was not.
    pub passed_on_at: Cell<Msec>,
    /// Its subrequests to the app, the newest first.
    pub parts: Cell<Option<&'static Part>>,
}

/// What is known of a request beyond that, once it may be held. It lies in the request's memory, and there is
/// nothing in it to drop: so its mark may use it to the end.
pub(crate) struct Hold {
    /// In the queue of the granted while [`Stage::Granted`]; in that of the released from
    /// [`Stage::Released`] until the request is finished.
    turn: ManuallyDrop<Link<Mark>>,
    /// The slot that a released request keeps until it is finished.
    pub kept_slot: Cell<Option<SlotId>>,
    /// Its ticket, if it was taken out of the line.
    pub ticket: Cell<Option<Ticket>>,
    pub released_by: Cell<Release>,
    /// The app that it was released to try, which is away.
    pub tries: Cell<Option<AppId>>,
    /// Set once the request has come back.
    pub back: Cell<Option<Back>>,
    /// How many were ahead of it in line when it came.
    ahead: Cell<u32>,
    /// When it was held, on the monotonic clock; 0 if it was not.
    since: Cell<Msec>,
    /// How long it was held, when that has ended.
    waited: Cell<Msec>,
}

impl Attached for Hold {}

/// A request that was passed on, and that its app never saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Back {
    /// When it arrived, on the monotonic clock.
    pub arrived: Msec,
    /// Since when it is held because of it, on the monotonic clock. A pause meanwhile does not count.
    pub since: Msec,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has come to the gate, or goes on without having been held.
    Passed,
    /// It went by a pause: a health check, or a privileged client.
    Bypassed,
    /// There was no room to hold it: it is answered with this status.
    Rejected(ErrorStatus),
    /// It waits in line, in this slot.
    Held(SlotId),
    /// It was taken out of the line: it is released or turned away at once.
    Granted,
    /// Its turn has come: it goes on to the app.
    Released,
    /// It was held for its max_time.
    Expired,
    /// It is turned away because its app is stopped or nginx quits; it may come again in this many
    /// seconds.
    Stopped { retry_after: u64 },
    /// It was finished while it was held: mostly its client closed the connection.
    Left,
}

/// What a request in flight is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InFlightAs {
    /// Nothing: its app has no entry.
    Nothing,
    InFlight(AppId),
    Upgraded(AppId),
}

/// A subrequest (SSI, mirror, addition) that may go to the app, of a request with a mark. It lies in the
/// memory that both requests share. nginx drops it before the mark; the memory is there until both are
/// dropped, and there is nothing in it to drop.
pub(crate) struct Part {
    pub r: Request,
    pub next: Option<&'static Part>,
}

impl Attached for Part {}

/// All marks of this worker.
pub(crate) static MARKS: Recycled<Mark> = Recycled::new();

/// A request's mark. None if it has not come to its app's gate.
#[inline]
pub(crate) fn find(r: Request) -> Option<&'static Mark> {
    MARKS.find(r)
}

/// Marks a request that comes to its app's gate. Fails if there is no memory.
#[inline]
pub(crate) fn put(r: Request) -> Result<&'static Mark, Failed> {
    MARKS.attach(r)
}

impl Mark {
    pub(crate) fn new(r: Request) -> Self {
        Self {
            in_flight: Link::new(),
            in_flight_as: Cell::new(InFlightAs::Nothing),
            app_name: Cell::new(&[]),
            r: Cell::new(r),
            stage: Cell::new(Stage::Passed),
            hold: Cell::new(None),
            passed_on_at: Cell::new(Msec(0)),
            parts: Cell::new(None),
        }
    }

    /// Another request's from now on, and as new.
    #[inline(always)]
    pub(crate) fn renew(&self, r: Request) {
        self.r.set(r);
        self.passed_on_at.set(Msec(0));
        self.stage.set(Stage::Passed);
        self.hold.set(None);
        self.parts.set(None);
    }

    /// What is known of its hold, if it may have been held.
    pub(crate) fn hold(&self) -> Option<&'static Hold> {
        self.hold.get()
    }

    /// Its place among the granted or the released.
    pub(crate) fn turn(&self) -> &Link<Mark> {
        /// That of requests that are never held: they are in neither.
        static NONE: PerWorker<Link<Mark>> = PerWorker::new(Link::new());
        self.hold.get().map_or(&NONE, |hold| &hold.turn)
    }

    /// It may be held. Fails if there is no memory.
    pub(crate) fn may_be_held(&self) -> Result<&'static Hold, Failed> {
        if let Some(hold) = self.hold.get() {
            return Ok(hold);
        }
        let hold = attach::attach(
            self.r(),
            Hold {
                turn: ManuallyDrop::new(Link::new()),
                kept_slot: Cell::new(None),
                ticket: Cell::new(None),
                released_by: Cell::new(Release::NONE),
                tries: Cell::new(None),
                back: Cell::new(None),
                ahead: Cell::new(0),
                since: Cell::new(Msec(0)),
                waited: Cell::new(Msec(0)),
            },
        )?;
        self.hold.set(Some(hold));
        Ok(hold)
    }

    /// Its request.
    #[inline]
    pub(crate) fn r(&self) -> Request {
        self.r.get()
    }

    /// What `$intermission_status` says.
    pub(crate) fn status(&self) -> &'static str {
        match self.stage.get() {
            Stage::Passed => "PASSED",
            Stage::Bypassed => "BYPASSED",
            Stage::Rejected(_) => "REJECTED",
            Stage::Released => "HELD",
            Stage::Expired => "EXPIRED",
            Stage::Stopped { .. } => "STOPPED",
            Stage::Held(_) | Stage::Granted | Stage::Left => "LEFT",
        }
    }

    /// How long it was held. None if it was not.
    pub(crate) fn waited(&self) -> Option<Msec> {
        let hold = self.was_held()?;
        Some(match self.stage.get() {
            Stage::Held(_) | Stage::Granted => now().monotonic.since(hold.since.get()),
            _ => hold.waited.get(),
        })
    }

    /// How many were ahead of it in line when it came. None if it was not held.
    pub(crate) fn ahead(&self) -> Option<u32> {
        self.was_held().map(|hold| hold.ahead.get())
    }

    /// When it was released, on the monotonic clock; 0 if it was not.
    pub(crate) fn released_at(&self) -> Msec {
        self.was_held().map_or(Msec(0), |hold| hold.since.get().after(hold.waited.get()))
    }

    /// `$app_name`, as it was at the gate.
    pub(crate) fn app_name(&self) -> &[u8] {
        self.app_name.get()
    }

    /// At the gate: notes `$app_name`.
    pub(crate) fn set_app_name(&self, app_name: &'static [u8]) {
        self.app_name.set(app_name);
    }

    /// Whether its connection has become a tunnel, such as a WebSocket.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.upstream().is_some_and(|upstream| flags::upstream::UPGRADE.is_set(upstream))
    }

    /// Whether it may still ask nginx for a connection to the app.
    pub(crate) fn is_starting(&self) -> bool {
        let connected = |upstream| pointers::upstream_connection(upstream).is_some();
        !request::HEADER_SENT.is_set(&self.r()) && !self.upstream().is_some_and(connected)
    }

    /// Whether its upstream is done and no subrequest runs. Then only the client is left: it takes the
    /// rest of the answer, or sends a body that nginx throws away.
    pub(crate) fn is_answered(&self) -> bool {
        let (r, upstream) = (&*self.r(), self.upstream());
        let only_clients = if request::DONE.is_set(r) {
            // Done and not gone: nginx discards its body, or else a subrequest runs in the background.
            r.lingering_time != 0
        } else {
            upstream.is_some() && request::HEADER_SENT.is_set(r) && request::COUNT.value(r) == 1
        };
        only_clients && upstream.is_none_or(|one| one.cleanup.is_null())
    }

    /// How its worker and the zone identify it.
    pub(crate) fn cookie(&self) -> Cookie {
        Cookie(ptr::from_ref(self) as usize as u64)
    }

    /// It was taken out of the line.
    pub(crate) fn grant(&self, given: &Given) {
        self.stage.set(Stage::Granted);
        let Some(hold) = self.hold.get() else { return };
        hold.kept_slot.set(given.counted);
        hold.ticket.set(Some(given.ticket));
        let before = hold.released_by.replace(given.by);
        if given.by.drain != PauseId(0) && given.by.drain != before.drain {
            hold.back.set(hold.back.get().map(|back| Back { since: now().monotonic, ..back }));
        }
        hold.tries.set(given.tries);
    }

    /// Whether it has come back.
    pub(crate) fn has_come_back(&self) -> bool {
        self.hold.get().is_some_and(|hold| hold.back.get().is_some())
    }

    /// When it arrived, on the monotonic clock.
    pub(crate) fn arrived(&self) -> Msec {
        self.was_held().map_or(self.passed_on_at.get(), |hold| hold.since.get())
    }

    /// How long ago its hold began.
    pub(crate) fn held_for(&self) -> Msec {
        self.was_held().map_or(Msec(0), |hold| now().monotonic.since(hold.since.get()))
    }

    /// Its app never saw it: it is held again, or turned away.
    pub(crate) fn comes_back(&self, hold: &Hold, stage: Stage, back: Back) {
        hold.back.set(Some(back));
        self.stage.set(stage);
        if self.was_held().is_none() {
            hold.since.set(now().monotonic);
        }
        if matches!(stage, Stage::Held(_)) {
            held::begin(self.r());
        }
    }

    /// Its hold begins, in this slot, with this many ahead of it.
    pub(crate) fn begin_hold(&self, hold: &Hold, slot: SlotId, ahead: u32) {
        self.stage.set(Stage::Held(slot));
        hold.ahead.set(ahead);
        hold.since.set(now().monotonic);
        held::begin(self.r());
    }

    /// Its hold ends. Called once for each [`Mark::begin_hold`].
    pub(crate) fn end_hold(&self, stage: Stage) {
        self.stage.set(stage);
        if let Some(hold) = self.hold.get() {
            hold.waited.set(now().monotonic.since(hold.since.get()));
        }
        held::end(self.r());
    }

    pub(crate) fn upstream(&self) -> Option<&ngx_http_upstream_t> {
        pointers::upstream(self.r().lasting())
    }

    fn was_held(&self) -> Option<&'static Hold> {
        self.hold.get().filter(|hold| hold.since.get() != Msec(0))
    }
}
