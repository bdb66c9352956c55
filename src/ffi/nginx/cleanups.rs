//! What nginx calls when the memory of a request goes.

use core::cell::Cell;
use core::ptr;

use nginx_sys::{ngx_http_request_t, ngx_pool_cleanup_pt, ngx_pool_cleanup_t};

use super::pointers;
use super::request::Request;

/// Puts a cleanup in front of the others of a request. It must be in none of these lists.
#[inline]
pub(super) fn push(r: Request, cleanup: &'static Cell<ngx_pool_cleanup_t>) {
    // SAFETY: a request that is not finished has a pool. nginx itself puts a cleanup there in this way.
    unsafe {
        let next = (*r.pool).cleanup;
        cleanup.set(ngx_pool_cleanup_t { next, ..cleanup.get() });
        (*r.pool).cleanup = cleanup.as_ptr();
    }
}

/// A request's cleanups with this handler, the newest first. None if its pool is null.
#[inline]
pub(super) fn with(
    r: &ngx_http_request_t,
    handler: ngx_pool_cleanup_pt,
) -> impl Iterator<Item = &ngx_pool_cleanup_t> {
    let first = pointers::pool(r).and_then(pointers::cleanup);
    let all = core::iter::successors(first, |one| pointers::next_cleanup(one));
    all.filter(move |one| {
        one.handler.zip(handler).is_some_and(|(one, ours)| ptr::fn_addr_eq(one, ours))
    })
}
