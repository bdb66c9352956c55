//! nginx cleans up after an upstream, and does not answer.
//!
//! It takes the answer for one that broke off after its header: all that it does then, when it has
//! cleaned up, is to flush what the client has not got yet. That is where the request is kept.

use core::cell::Cell;

use nginx_sys::{
    ngx_chain_t, ngx_http_output_body_filter_pt, ngx_http_request_t, ngx_http_top_body_filter,
    ngx_int_t, NGX_DONE, NGX_ERROR,
};

use super::watch;
use crate::ffi::nginx::callbacks::callbacks;
use crate::ffi::nginx::flags::{request, upstream};
use crate::ffi::nginx::per_worker::PerWorker;
use crate::ffi::nginx::request::Request;
use crate::ffi::nginx::{attempts, Failed};

/// A request that nginx is cleaning up after.
#[derive(Clone, Copy)]
struct Cut {
    r: Request,
    /// What nginx is about to answer.
    rc: ngx_int_t,
    /// Whether the client's connection is to be kept, which nginx forgets.
    keepalive: bool,
}

static CUT: PerWorker<Cell<Option<Cut>>> = PerWorker::new(Cell::new(None));

/// What comes first among nginx's filters when ours does not. None if ours does not.
static BELOW: PerWorker<Cell<ngx_http_output_body_filter_pt>> = PerWorker::new(Cell::new(None));

callbacks! {
    filter: (Request, *mut ngx_chain_t) as (*mut ngx_http_request_t, *mut ngx_chain_t) -> ngx_int_t;
}

/// nginx, which is about to clean up after this request's upstream, does not answer it.
pub(super) fn off(r: Request, rc: ngx_int_t) {
    r.update_upstream(|u| {
        // nginx is not to keep the error in its cache.
        upstream::CACHEABLE.clear(u);
        upstream::HEADER_SENT.set(u);
    });
    CUT.set(Some(Cut { r, rc, keepalive: request::KEEPALIVE.is_set(&r) }));
    if BELOW.get().is_none() {
        BELOW.set(swap_first(filter(on_flush)));
    }
}

/// Puts a filter before all others. Returns the one that was there.
fn swap_first(first: ngx_http_output_body_filter_pt) -> ngx_http_output_body_filter_pt {
    // SAFETY: nginx reads it on this thread only, each time that something is sent.
    unsafe { (&raw mut ngx_http_top_body_filter).replace(first) }
}

/// nginx has cleaned up after a request, or sends something of another.
extern "C" fn on_flush(r: Request, chain: *mut ngx_chain_t) -> ngx_int_t {
    let below = BELOW.take();
    swap_first(below);
    match CUT.take().filter(|cut| cut.r == r) {
        Some(cut) => match keep(cut) {
            // nginx gives up one reference then.
            Ok(()) => NGX_DONE as ngx_int_t,
            Err(Failed) => NGX_ERROR as ngx_int_t,
        },
        // SAFETY: nginx calls this in the place of that function.
        None => below.map_or(NGX_ERROR as ngx_int_t, |below| unsafe { below(r.as_ptr(), chain) }),
    }
}

/// The request stays, and is its owner's.
fn keep(Cut { r, rc, keepalive }: Cut) -> Result<(), Failed> {
    let watch = watch::find(r).ok_or(Failed)?;
    r.update_upstream(|u| upstream::HEADER_SENT.clear(u));
    r.update(|r| request::KEEPALIVE.put(r, keepalive.into()));
    if watch.first.get().is_none() {
        watch.first.set(Some(attempts::all(&r).len()));
    }
    (watch.owner.hold)(r, rc)?;
    r.update(|r| request::COUNT.put(r, request::COUNT.value(r) + 1));
    Ok(())
}
