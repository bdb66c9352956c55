//! Control requests that wait, each for something, and are answered later.

use core::cell::Cell;

use nginx_sys::{ngx_int_t, ngx_msec_t, NGX_HTTP_CLIENT_CLOSED_REQUEST};

use crate::ffi::nginx::attach::{attach, attached, Attached, Kind};
use crate::ffi::nginx::queue::{Link, Linked, Queue};
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::Failed;

/// What a control request waits for.
pub(crate) trait Awaited: Sized + 'static {
    /// The type's own.
    const KIND: &'static Kind;

    /// The requests of this worker that wait for it.
    fn queue() -> &'static Queue<Parked<Self>>;

    /// Its time is over: whether it is to be answered now.
    fn is_over(&self, _: Request) -> bool {
        true
    }

    /// What it waits for has come, or its time is over: finalizes the request, or lets it wait for
    /// something else.
    fn answer(&self, r: Request);

    /// The request is about to go, unanswered.
    fn gone(&self, _: Request) {}
}

/// A control request that waits, in its own memory.
pub(crate) struct Parked<T> {
    link: Link<Parked<T>>,
    r: Request,
    over: Cell<bool>,
    pub awaited: T,
}

impl<T> Parked<T> {
    /// By what link it is in the queue.
    pub(crate) fn link(&self) -> &Link<Parked<T>> {
        &self.link
    }
}

// SAFETY: they are made by `park` only, in their request's memory.
unsafe impl<T> Linked for Parked<T> {}

impl<T: Awaited> Attached for Parked<T> {
    const KIND: &'static Kind = T::KIND;

    fn gone(&self) {
        if !self.over.get() {
            self.awaited.gone(self.r);
        }
    }
}

/// Lets the request wait for this, at most for so many milliseconds. It may be ended by its client.
pub(crate) fn park<T: Awaited>(r: Request, awaited: T, longest: ngx_msec_t) -> Result<(), Failed> {
    let parked = attach(r, Parked { link: Link::new(), r, over: Cell::new(false), awaited })?;
    T::queue().push(parked);
    r.suspend(on_write::<T>, longest)
}

/// Answers those for which what they wait for has come.
pub(crate) fn answer_where<T: Awaited>(has_come: impl Fn(&T, Request) -> bool) {
    // One after the other: an answer may end others.
    while let Some(parked) = T::queue().iter().find(|one| has_come(&one.awaited, one.r)) {
        parked.link.leave();
        parked.over.set(true);
        parked.r.wake();
    }
}

/// The request's write event: it is over, its time is, its client is gone, or nothing at all.
extern "C" fn on_write<T: Awaited>(r: Request) {
    let Some(parked) = attached::<Parked<T>>(r) else { return };
    if !parked.over.get() {
        if r.has_write_error() {
            return r.finalize(NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t);
        }
        if r.is_waiting() || !parked.awaited.is_over(r) {
            return;
        }
        parked.link.leave();
        parked.over.set(true);
    }
    r.stop_timer();
    parked.awaited.answer(r);
}
