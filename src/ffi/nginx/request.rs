//! A handle for nginx's requests, by nginx's pointer.

use core::ops::Deref;
use core::ptr::{self, NonNull};

use nginx_sys::{
    ngx_http_request_t, ngx_http_script_engine_t, ngx_http_upstream_t, ngx_log_t, ngx_str_t,
};

use super::flags::request;
use super::pointers;

/// A request that lives. A callback may use it until it finalizes the request or lets its phases go
/// on. A value that is attached to the request may use it until the value is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Request(NonNull<ngx_http_request_t>);

impl Deref for Request {
    type Target = ngx_http_request_t;

    #[inline]
    fn deref(&self) -> &ngx_http_request_t {
        self.lasting()
    }
}

impl Request {
    /// Its fields. The caller keeps the reference no longer than the request.
    #[inline]
    pub(crate) fn lasting(self) -> &'static ngx_http_request_t {
        // SAFETY: nginx frees a request together with its memory, after it has dropped what is
        // attached to it; and callbacks use no request after a call that may have ended it.
        unsafe { self.0.as_ref() }
    }

    /// As nginx's functions take it.
    pub(crate) fn as_ptr(self) -> *mut ngx_http_request_t {
        self.0.as_ptr()
    }

    /// Changes its fields. `f` must not call nginx, or use this request in another way.
    pub(crate) fn update<R>(mut self, f: impl FnOnce(&mut ngx_http_request_t) -> R) -> R {
        // SAFETY: it lives, as in `lasting`. All of nginx runs on this thread, and `f` calls nothing of
        // it.
        f(unsafe { self.0.as_mut() })
    }

    /// The one that a value with variables is evaluated for.
    pub(crate) fn of(engine: &ngx_http_script_engine_t) -> Option<Self> {
        NonNull::new(engine.request).map(Self)
    }

    /// Changes the fields of its upstream, if it has one. Nothing of nginx's may be called meanwhile.
    pub(crate) fn update_upstream(self, f: impl FnOnce(&mut ngx_http_upstream_t)) {
        // SAFETY: null or live as long as the request, and nobody else runs meanwhile.
        if let Some(upstream) = unsafe { self.upstream.as_mut() } {
            f(upstream);
        }
    }

    /// Whether it is a client's request, and no subrequest.
    pub(crate) fn is_main(self) -> bool {
        ptr::eq(self.as_ptr(), self.main)
    }

    /// The client's request: this one, or the one that this is a subrequest of.
    pub(crate) fn main(self) -> Self {
        NonNull::new(self.main).map_or(self, Self)
    }

    /// Whether it has a connection of its own: a stream of HTTP/2 shares one. nginx's structure has the
    /// field also if nginx was built without HTTP/2.
    pub(crate) fn has_connection(self) -> bool {
        self.stream.is_null()
    }

    /// The log of its connection; null if it has none.
    pub(crate) fn log(self) -> *mut ngx_log_t {
        pointers::connection(&self).map_or(ptr::null_mut(), |connection| connection.log)
    }

    /// The client's address, as text.
    pub(crate) fn address(&self) -> &[u8] {
        pointers::connection(self).map_or(&[], |connection| connection.addr_text.as_bytes())
    }

    /// A copy of a text in the request's memory. None if there is no memory.
    pub(crate) fn copy(self, text: &[u8]) -> Option<ngx_str_t> {
        // SAFETY: a request that is not finished has a pool.
        unsafe { ngx_str_t::from_bytes(self.pool, text) }
    }

    /// nginx is to close the connection after the answer.
    pub(crate) fn forbid_keepalive(self) {
        self.update(|r| request::KEEPALIVE.clear(r));
    }
}
