//! nginx's events.

use core::cell::UnsafeCell;
use core::ops::Deref;
use core::ptr::NonNull;

use nginx_sys::{ngx_connection_t, ngx_event_t};

use super::Failed;

/// An event, by nginx's pointer to it: live as long as its connection is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Event(NonNull<ngx_event_t>);

impl Deref for Event {
    type Target = ngx_event_t;

    #[inline]
    fn deref(&self) -> &ngx_event_t {
        // SAFETY: live, as its description says.
        unsafe { self.0.as_ref() }
    }
}

impl Event {
    /// Of an event of our own, which is a static's.
    pub(crate) fn own(event: &'static UnsafeCell<ngx_event_t>) -> Self {
        Self(NonNull::from(event).cast())
    }

    /// By which nginx reads from a connection that is in use.
    pub(crate) fn read(connection: &ngx_connection_t) -> Result<Self, Failed> {
        NonNull::new(connection.read).map(Self).ok_or(Failed)
    }

    /// By which nginx writes to a connection that is in use.
    pub(crate) fn write(connection: &ngx_connection_t) -> Result<Self, Failed> {
        NonNull::new(connection.write).map(Self).ok_or(Failed)
    }

    /// Changes its fields. Nothing of nginx's may be called meanwhile.
    pub(crate) fn update<R>(mut self, f: impl FnOnce(&mut ngx_event_t) -> R) -> R {
        // SAFETY: live, and nobody else runs meanwhile.
        f(unsafe { self.0.as_mut() })
    }
}
