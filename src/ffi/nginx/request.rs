//! A request, by nginx's pointer to it.

use core::cell::Cell;
use core::ffi::c_void;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use nginx_sys::{ngx_http_request_t, ngx_log_t, ngx_str_t};
use ngx::http::HttpModule;

use super::flags::request;
use super::module::Module;
use super::pointers;

/// A request that is live: within a callback until it is finalized or its phases go on, and as long as
/// something is attached to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Request(NonNull<ngx_http_request_t>);

impl Deref for Request {
    type Target = ngx_http_request_t;

    #[inline]
    fn deref(&self) -> &ngx_http_request_t {
        // SAFETY: live, as its description says.
        unsafe { self.0.as_ref() }
    }
}

impl Request {
    /// As nginx's functions take it.
    pub(crate) fn as_ptr(self) -> *mut ngx_http_request_t {
        self.0.as_ptr()
    }

    /// Changes its fields. Nothing of nginx's may be called meanwhile.
    pub(crate) fn update<R>(mut self, f: impl FnOnce(&mut ngx_http_request_t) -> R) -> R {
        // SAFETY: live, and nobody else runs meanwhile.
        f(unsafe { self.0.as_mut() })
    }

    /// Whether it is a client's own, and no subrequest.
    pub(crate) fn is_main(self) -> bool {
        ptr::eq(self.as_ptr(), self.main)
    }

    /// The client's own request, of which this is a part, or which it is.
    pub(crate) fn main(self) -> Self {
        NonNull::new(self.main).map_or(self, Self)
    }

    /// Whether it has a connection of its own; a stream of HTTP/2 shares one. The field is in the
    /// structure of every nginx, with HTTP/2 or without.
    pub(crate) fn has_connection(self) -> bool {
        self.stream.is_null()
    }

    /// The log of its connection.
    pub(crate) fn log(self) -> *mut ngx_log_t {
        pointers::connection(&self).map_or(ptr::null_mut(), |connection| connection.log)
    }

    /// The client's address, as text.
    pub(crate) fn address(&self) -> &[u8] {
        pointers::connection(self).map_or(&[], |connection| connection.addr_text.as_bytes())
    }

    /// A copy of a text, in the request's memory; None if there is none left.
    pub(crate) fn copy(self, text: &[u8]) -> Option<ngx_str_t> {
        // SAFETY: a live request has a pool.
        unsafe { ngx_str_t::from_bytes(self.pool, text) }
    }

    /// The module's place among the request's contexts.
    pub(crate) fn context(&self) -> &Cell<*mut c_void> {
        // SAFETY: a live request has a table of contexts, one for each HTTP module.
        unsafe { Cell::from_mut(&mut *self.ctx.add(Module::module().ctx_index)) }
    }

    /// Its connection is not kept when it is finished.
    pub(crate) fn closes(self) {
        self.update(|r| request::KEEPALIVE.clear(r));
    }
}
