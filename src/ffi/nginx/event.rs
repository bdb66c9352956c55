//! A handle for nginx's events.

use core::cell::UnsafeCell;
use core::ops::Deref;
use core::ptr::NonNull;

use nginx_sys::{ngx_connection_t, ngx_event_t};

use super::Failed;

/// An event, by nginx's pointer to it. Not kept after its connection may have been closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Event(NonNull<ngx_event_t>);

impl Deref for Event {
    type Target = ngx_event_t;

    #[inline]
    fn deref(&self) -> &ngx_event_t {
        // SAFETY: an event of our own is a static. Those of connections lie in the cycle's tables, which
        // nginx never frees; those of HTTP/2 streams in the memory of the client's connection.
        unsafe { self.0.as_ref() }
    }
}

impl Event {
    /// The handle of an event of our own.
    pub(crate) fn own(event: &'static UnsafeCell<ngx_event_t>) -> Self {
        Self(NonNull::from(event).cast())
    }

    /// The event by which nginx reads from a connection. Fails if the connection has none.
    pub(crate) fn read(connection: &ngx_connection_t) -> Result<Self, Failed> {
        NonNull::new(connection.read).map(Self).ok_or(Failed)
    }

    /// The event by which nginx writes to a connection. Fails if the connection has none.
    pub(crate) fn write(connection: &ngx_connection_t) -> Result<Self, Failed> {
        NonNull::new(connection.write).map(Self).ok_or(Failed)
    }

    /// Changes its fields. `f` must not call nginx, or use this event in another way.
    pub(crate) fn update<R>(mut self, f: impl FnOnce(&mut ngx_event_t) -> R) -> R {
        // SAFETY: it lives, as in `deref`. All of nginx runs on this thread, and `f` calls nothing of
        // it.
        f(unsafe { self.0.as_mut() })
    }
}
