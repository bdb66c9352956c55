//! The mark that a request carries from its app's gate on, whatever becomes of it.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use nginx_sys::{
    ngx_event_t, ngx_http_request_t, ngx_pool_cleanup_add, ngx_queue_remove, ngx_str_t,
};

use crate::ffi::module;
use crate::ffi::nginx::flags::{self, event, request};
use crate::ffi::nginx::queue::Link;
use crate::ffi::request::bypass;
use crate::ffi::request::failed;
use crate::ffi::request::given_up;
use crate::ffi::request::given_up::Part;
use crate::ffi::request::in_flight::{self, Counted};
use crate::ffi::request::park::stop_timer;
use crate::ffi::request::release;
use crate::ffi::worker::workers;
use crate::ffi::worker::workers::ThisWorker;
use crate::ffi::worker::zone::now;
use crate::ids::{Cookie, SlotId};
use crate::settings::ErrorStatus;
use crate::time::Msec;
use crate::zone::{DepartReason, Given, Release};

/// The mark on a request that has met its app's gate, in the request's own memory. It stands in
/// for the module's context, which internal redirects forget.
pub(crate) struct Mark {
    /// In the worker's run while [`Stage::Granted`]; among those under way while released.
    pub link: Link<Mark>,
    /// Among those in flight while it is.
    pub flight: Link<Mark>,
    pub counted_as: Cell<Counted>,
    /// In the request's own memory.
    app_name: Cell<ngx_str_t>,
    /// The slot that a released request keeps until it is finished.
    pub counted: Cell<Option<SlotId>>,
    pub released_by: Cell<Release>,
    r: *mut ngx_http_request_t,
    pub stage: Cell<Stage>,
    ahead: Cell<u32>,
    /// When it was held, on the monotonic clock; 0 where it was not.
    since: Cell<Msec>,
    waited: Cell<Msec>,
    /// When it was passed on, on the monotonic clock.
    pub set_out_at: Cell<Msec>,
    /// Its subrequests to the app, the newest first.
    pub parts: Cell<*const Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It went on without having been held.
    Passed,
    Bypassed,
    /// There was no room for it: its place answers with this.
    Rejected(ErrorStatus),
    /// It waits in this slot.
    Held(SlotId),
    /// Out of the line, in the worker's run; its turn comes at once.
    Granted,
    /// It goes on, or has.
    Released,
    Expired,
    /// It is turned away, or was; it may come again in so many seconds.
    Stopped {
        retry_after: u64,
    },
    /// Its client closed the connection while it was held.
    Left,
}

impl Mark {
    /// For `$intermission_status`.
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

    /// How long it was held, if it was.
    pub(crate) fn waited(&self) -> Option<Msec> {
        match self.stage.get() {
            Stage::Held(_) | Stage::Granted => Some(now().monotonic.since(self.since.get())),
            _ => self.was_held().then(|| self.waited.get()),
        }
    }

    /// How many were ahead when it came, if it was held.
    pub(crate) fn ahead(&self) -> Option<u32> {
        self.was_held().then(|| self.ahead.get())
    }

    /// When it was released, on the monotonic clock.
    pub(crate) fn released_at(&self) -> Msec {
        self.since.get().after(self.waited.get())
    }

    /// `$app_name`, as it was at the gate.
    pub(crate) fn app_name(&self) -> &[u8] {
        // SAFETY: a value of the request's, which lives as long as the mark.
        unsafe { core::slice::from_raw_parts(self.app_name.get().data, self.app_name.get().len) }
    }

    /// At the gate: whose request it is.
    pub(crate) fn belongs_to(&self, app_name: &[u8]) {
        let data = app_name.as_ptr().cast_mut();
        self.app_name.set(ngx_str_t { len: app_name.len(), data });
    }

    /// Whether its connection has become a tunnel, such as a WebSocket.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.upstream().is_some_and(|upstream| flags::upstream::UPGRADE.is_set(upstream))
    }

    /// Whether it was released and may still want a connection to its upstream.
    pub(crate) fn is_starting(&self) -> bool {
        !self.header_sent()
            && self.upstream().is_none_or(|upstream| upstream.peer.connection.is_null())
    }

    /// Whether nothing is left to do for it but that its client takes what we have, or sends what
    /// nobody reads: its upstream is done with it, and nobody else works for it.
    pub(crate) fn is_answered(&self) -> bool {
        let (r, upstream) = (self.request(), self.upstream());
        let only_clients = if request::DONE.is_set(r) {
            // Else a subrequest in the background keeps it.
            r.lingering_time != 0
        } else {
            upstream.is_some() && self.header_sent() && request::COUNT.value(r) == 1
        };
        only_clients && upstream.is_none_or(|one| one.cleanup.is_null())
    }

    /// What its worker and the zone know it by.
    pub(crate) fn cookie(&self) -> Cookie {
        Cookie(ptr::from_ref(self) as usize as u64)
    }

    /// It is out of the line; its turn comes.
    pub(crate) fn grant(&self, given: &Given) {
        self.stage.set(Stage::Granted);
        self.counted.set(given.counted);
        self.released_by.set(given.by);
    }

    /// It is its turn: it goes on within this call, which may end it and others. Returns it where
    /// it is still there.
    ///
    /// # Safety
    /// The mark is live and granted. Neither it nor its request may be touched afterwards, but
    /// where it is returned, and until nginx runs again.
    pub(crate) unsafe fn release<'a>(mark: *const Self) -> Option<&'a Self> {
        // SAFETY: the caller's.
        unsafe { Self::resume(mark, Stage::Released).then(|| &*mark) }
    }

    /// It is turned away within this call, which may end it and others.
    ///
    /// # Safety
    /// The mark is live and granted. Neither it nor its request may be touched afterwards.
    pub(crate) unsafe fn turn_away(mark: *const Self, retry_after: u64) {
        // SAFETY: the caller's.
        unsafe { Self::resume(mark, Stage::Stopped { retry_after }) };
    }

    /// Returns whether it was released and is still there.
    ///
    /// # Safety
    /// As for [`Self::release`].
    unsafe fn resume(mark: *const Self, stage: Stage) -> bool {
        // SAFETY: the caller's; a granted request is parked on its connection.
        unsafe {
            (*mark).end(stage);
            let connection = (*(*mark).r).connection;
            let (rev, wev) = ((*connection).read, (*connection).write);
            if let (Stage::Released, Some(worker)) = (stage, workers::this()) {
                release::set_out(worker, &*mark);
                in_flight::set_out(worker, &*mark);
                worker.going_on.set(mark);
            }
            stop_timer(&mut *wev);
            // The event's own handler: nginx sets the log's request and runs what it posts.
            if let Some(handler) = (*wev).handler {
                handler(wev);
            }
            let is_there =
                || workers::this().is_some_and(|worker| !worker.going_on.get().is_null());
            if is_there() {
                run_if_posted(rev);
            }
            let stays = is_there();
            if let Some(worker) = workers::this() {
                worker.going_on.set(ptr::null());
            }
            stays
        }
    }

    /// Its wait begins, with so many ahead of it.
    pub(crate) fn begin(&self, slot: SlotId, ahead: u32) {
        self.stage.set(Stage::Held(slot));
        self.ahead.set(ahead);
        self.since.set(now().monotonic);
        if let Some(worker) = workers::this() {
            worker.held.set(worker.held.get() + 1);
            let same_kind = self.held_like_it(worker);
            same_kind.set(same_kind.get() + 1);
        }
    }

    /// Its wait is over.
    pub(crate) fn end(&self, stage: Stage) {
        self.stage.set(stage);
        self.waited.set(now().monotonic.since(self.since.get()));
        if let Some(worker) = workers::this() {
            worker.held.set(worker.held.get().saturating_sub(1));
            let same_kind = self.held_like_it(worker);
            same_kind.set(same_kind.get().saturating_sub(1));
        }
    }

    /// How many the worker holds that take a connection each, or that are streams, as this one is.
    fn held_like_it<'a>(&self, worker: &'a ThisWorker) -> &'a Cell<usize> {
        if has_connection(self.request()) {
            &worker.held_connections
        } else {
            &worker.held_streams
        }
    }

    fn was_held(&self) -> bool {
        self.since.get() != Msec(0)
    }

    fn header_sent(&self) -> bool {
        request::HEADER_SENT.is_set(self.request())
    }

    pub(crate) fn upstream(&self) -> Option<&nginx_sys::ngx_http_upstream_t> {
        // SAFETY: a live request has an upstream or null.
        unsafe { self.request().upstream.as_ref() }
    }

    /// A main one: subrequests meet no gate.
    pub(crate) fn request(&self) -> &ngx_http_request_t {
        // SAFETY: the mark lives in its request's memory.
        unsafe { &*self.r }
    }
}

/// Whether a request has a connection of its own; a stream of HTTP/2 shares one. The field is in
/// the structure of every nginx, with HTTP/2 or without.
pub(crate) fn has_connection(r: &ngx_http_request_t) -> bool {
    r.stream.is_null()
}

/// Over HTTP/2 nginx takes a body in an event that it posts, however long that body has been there.
/// It is to happen before the next one's turn.
///
/// # Safety
/// The event is a live connection's.
unsafe fn run_if_posted(rev: *mut ngx_event_t) {
    // SAFETY: the caller's; what is posted is in nginx's queue.
    unsafe {
        if !event::POSTED.is_set(&*rev) {
            return;
        }
        ngx_queue_remove(&raw mut (*rev).queue);
        event::POSTED.clear(&mut *rev);
        if let Some(handler) = (*rev).handler {
            handler(rev);
        }
    }
}

/// The mark that the request carries, if it has met its app's gate.
pub(crate) fn find(r: &ngx_http_request_t) -> Option<&Mark> {
    // SAFETY: a live request has a table of contexts; what stands in our place is from mark.
    unsafe {
        let context = r.ctx.add(module::context_index());
        if (*context).is_null() {
            *context = cleanup_data(r, on_cleanup);
        }
        (*context).cast::<Mark>().as_ref()
    }
}

/// What the newest of a request's cleanups with this handler has for data; null where it has none.
pub(crate) fn cleanup_data(
    r: &ngx_http_request_t,
    handler: unsafe extern "C" fn(*mut c_void),
) -> *mut c_void {
    // SAFETY: a live request has a pool, whose cleanups are a list.
    unsafe {
        let mut next = (*r.pool).cleanup.as_ref();
        while let Some(cleanup) = next {
            if cleanup.handler.is_some_and(|one| ptr::fn_addr_eq(one, handler)) {
                return cleanup.data;
            }
            next = cleanup.next.as_ref();
        }
    }
    ptr::null_mut()
}

/// Marks a request that has met its app's gate; none where there is no memory.
pub(crate) fn put(r: &mut ngx_http_request_t) -> Option<&'static Mark> {
    // SAFETY: a live request's pool; the mark lives as long as it.
    unsafe {
        let cleanup = ngx_pool_cleanup_add(r.pool, size_of::<Mark>()).as_mut()?;
        let mark = cleanup.data.cast::<Mark>();
        mark.write(Mark {
            link: Link::new(),
            flight: Link::new(),
            counted_as: Cell::new(Counted::Not),
            app_name: Cell::new(ngx_str_t { len: 0, data: ptr::dangling_mut() }),
            counted: Cell::new(None),
            released_by: Cell::new(Release::NONE),
            r,
            stage: Cell::new(Stage::Passed),
            ahead: Cell::new(0),
            since: Cell::new(Msec(0)),
            waited: Cell::new(Msec(0)),
            set_out_at: Cell::new(Msec(0)),
            parts: Cell::new(ptr::null()),
        });
        cleanup.handler = Some(on_cleanup);
        *r.ctx.add(module::context_index()) = cleanup.data;
        mark.as_ref()
    }
}

/// The request's memory is about to go: its place goes with it.
extern "C" fn on_cleanup(data: *mut c_void) {
    // SAFETY: from mark.
    let mark = unsafe { &*data.cast::<Mark>() };
    let Some(worker) = workers::this() else {
        return;
    };
    given_up::finished(worker, mark);
    in_flight::finished(worker, mark);
    if ptr::eq(worker.going_on.get(), mark) {
        worker.going_on.set(ptr::null());
    }
    worker.halts.forget(mark);
    match mark.stage.get() {
        Stage::Held(slot) => {
            mark.end(Stage::Left);
            let cookie = mark.cookie();
            worker.zone.visit(|zone| zone.depart(slot, worker.id(), cookie, DepartReason::Left));
        }
        Stage::Granted => {
            mark.end(Stage::Left);
            mark.link.leave();
            if let Some(slot) = mark.counted.take() {
                worker.zone.visit(|zone| zone.finish(slot, worker.id(), mark.cookie()));
            }
        }
        Stage::Released => {
            if mark.link.is_linked() {
                release::finished(worker, mark);
            }
            failed::finished(worker, mark);
        }
        Stage::Bypassed => bypass::finished(worker, mark, mark.request()),
        _ => {}
    }
}
