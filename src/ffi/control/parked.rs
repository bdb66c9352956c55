//! Control requests that wait for something, and are answered later.
//!
//! A request is parked with a value that says what it waits for. The value is attached to the
//! request and linked into the queue of its type. It leaves the queue when the request is answered,
//! or when the request goes.

use core::cell::Cell;

use nginx_sys::{ngx_int_t, ngx_msec_t, NGX_HTTP_CLIENT_CLOSED_REQUEST};

use crate::ffi::nginx::attach::{attach, attached, Attached};
use crate::ffi::nginx::queue::{Link, Queue};
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::Failed;

/// What a control request waits for.
pub(crate) trait Awaited: Sized + 'static {
    /// The requests of this worker that wait for something of this type.
    fn queue() -> &'static Queue<Parked<Self>>;

    /// The longest wait is over. Returns whether the request is answered now; if not, the value has
    /// started the request's timer again.
    fn times_out(&self, _: Request) -> bool {
        true
    }

    /// The wait is over: finalizes the request, or parks it for something else.
    fn answer(&self, r: Request);

    /// The request goes while it waits: its client closed the connection.
    fn gone(&self, _: Request) {}
}

/// A control request that waits, in its own memory.
pub(crate) struct Parked<T: 'static> {
    link: Link<Parked<T>>,
    r: Request,
    /// Whether the wait is over.
    over: Cell<bool>,
    pub awaited: T,
}

impl<T> Parked<T> {
    /// The link by which it is in its type's queue.
    pub(crate) fn link(&self) -> &Link<Parked<T>> {
        &self.link
    }
}

impl<T: Awaited> Attached for Parked<T> {
    fn gone(&self) {
        if !self.over.get() {
            self.awaited.gone(self.r);
        }
    }
}

/// Parks the request, for this many ms at most. Its client may end it meanwhile.
pub(crate) fn park<T: Awaited>(r: Request, awaited: T, longest: ngx_msec_t) -> Result<(), Failed> {
    let parked = attach(r, Parked { link: Link::new(), r, over: Cell::new(false), awaited })?;
    T::queue().push(parked);
    r.suspend(on_write::<T>, longest)
}

/// Answers the requests for which `is_over` says so.
pub(crate) fn answer_those<T: Awaited>(is_over: impl Fn(&T, Request) -> bool) {
    // One after the other: an answer may end other requests of the queue.
    while let Some(parked) = T::queue().iter().find(|one| is_over(&one.awaited, one.r)) {
        parked.link.leave();
        parked.over.set(true);
        parked.r.wake();
    }
}

/// The request's write event: the wait is over, its time is, the client is gone, or nothing is new.
extern "C" fn on_write<T: Awaited>(r: Request) {
    let Some(parked) = attached::<Parked<T>>(r) else { return };
    if !parked.over.get() {
        if r.has_write_error() {
            return r.finalize(NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t);
        }
        if r.is_waiting() || !parked.awaited.times_out(r) {
            return;
        }
        parked.link.leave();
        parked.over.set(true);
    }
    r.stop_timer();
    parked.awaited.answer(r);
}
