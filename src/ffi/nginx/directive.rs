//! A configuration that is being read, by nginx's pointer to it.

use core::ops::Deref;
use core::ptr::NonNull;

use nginx_sys::ngx_conf_t;

/// What nginx passes to a directive's handler: live, and nobody else's meanwhile.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Conf(NonNull<ngx_conf_t>);

impl Deref for Conf {
    type Target = ngx_conf_t;

    fn deref(&self) -> &ngx_conf_t {
        // SAFETY: live, as its description says.
        unsafe { self.0.as_ref() }
    }
}

impl Conf {
    /// As nginx's functions take it.
    pub(crate) fn as_ptr(self) -> *mut ngx_conf_t {
        self.0.as_ptr()
    }
}
